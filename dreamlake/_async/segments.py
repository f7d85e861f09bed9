"""What pictures and sound have in common: segments of a lake, fetched, proved to be the right ones, and kept.

A source hands out what is in its segments by their numbers. All clips of one recording share a source, and a clip that
was pickled finds the source of its process again by its key.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from dreamlake._async._runtime import Shared, offload
from dreamlake._async.lake import AsyncLake
from dreamlake.config import LakeAddress
from dreamlake.core.kinds import Kind
from dreamlake.core.playlist import Playlist, parse_playlist
from dreamlake.core.wireassets import StreamedMeta
from dreamlake.errors import AccessError, IntegrityError, UsageError
from dreamlake.progress import Progress

__all__ = ["AsyncChunks", "AsyncSegments", "LakeKey", "lake_key", "lake_of", "matches"]

# URLs of the storage service and the catalog; of an embedded lake its folder, and where its bytes are if not there.
LakeKey: TypeAlias = tuple[str, str, str | None, str | None]

log = logging.getLogger("dreamlake")


class AsyncSegments(ABC):
    """A recording whose segments can be read, once it is loaded.

    Args:
        key: what ``find`` needs to make the same source in another process; its first part says of which kind it is.
    """

    kinds: dict[str, Callable[..., AsyncSegments]] = {}  # noqa: RUF012 (one table for all sources, filled where they are written)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self._shared: Shared[Any] = Shared()

    @property
    @abstractmethod
    def id(self) -> str | None:
        """The resource id; None for a file outside of any lake."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """The URI of the recording."""

    @property
    @abstractmethod
    def facts(self) -> Any:
        """What the index says in short."""

    @abstractmethod
    def loaded(self) -> Any:
        """The index of a loaded recording."""

    @property
    def nbytes(self) -> int:
        """Bytes of the whole recording, as it is stored."""
        return int(self.loaded().segment_size.sum())

    @property
    def _file_version(self) -> Hashable:
        return None

    @abstractmethod
    async def load(self) -> None:
        """Get the index, if it is not there yet."""

    @abstractmethod
    async def _version(self, number: int) -> Hashable:
        """What tells the content of this segment from all others, as long as it is what the index says."""

    @abstractmethod
    async def _read(self, number: int) -> Any:
        """What is in a segment, from where it is stored."""

    async def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:  # noqa: ARG002 (of lakes)
        """Fetch the original file."""
        raise UsageError(f"{self.uri} lies outside of any lake: there is nothing to download")

    async def segment(self, number: int) -> Any:
        """What is in a segment: out of memory if it is there, and read once by all who want it at once.

        Raises:
            IntegrityError: stored bytes are not what they were.
            FileChangedError: nor is the file.
        """
        from dreamlake.media import cache

        key = await self._version(number)
        found = cache.segments.get(key)
        return await self._shared.call(key, partial(self._keep, key, number)) if found is None else found

    async def _keep(self, key: Hashable, number: int) -> Any:
        from dreamlake.media import cache

        found = cache.segments.get(key)  # another thread may have kept it since we looked
        if found is None:
            found = await self._read(number)
            cache.segments.put(key, found)
        return found

    async def release(self, number: int) -> None:
        """Let go of a segment that was read on the way through a recording that memory does not hold."""
        from dreamlake.media import cache

        cache.segments.discard(await self._version(number))

    @staticmethod
    def forget(key: tuple[Any, ...]) -> None:
        """Make a new source the next time: clips that are in use keep theirs."""
        _sources.pop(key, None)

    @staticmethod
    def shared(made: AsyncSegments) -> Any:
        """The source that all clips of this process use; this one, if there is none with its key."""
        return _sources.setdefault(made.key, made)

    @classmethod
    def find(cls, key: tuple[Any, ...]) -> Any:
        """The source with this key, shared by all clips of the recording in this process."""
        source = _sources.get(key)
        if source is None:
            kind, *arguments = key
            source = _sources[key] = cls.kinds[kind](*arguments)
        return source


class AsyncChunks:
    """The chunks of one stream of an asset.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        uri: of the asset, for messages.
        stream: which of its streams.
    """

    def __init__(self, lake: AsyncLake, kind: Kind, object_id: str, uri: str, stream: int = 0) -> None:
        self.meta: StreamedMeta | None = None
        self._lake, self._kind, self._object_id, self._uri, self._stream = lake, kind, object_id, uri, stream
        self._playlist: Playlist | None = None
        self._shared: Shared[Any] = Shared()

    async def get(self, number: int | None, digest: str) -> bytes:
        """The bytes of a segment, or of the initialisation section, proved to be the right ones.

        They may arrive damaged and be whole the next time; what is damaged in the lake is an error.
        """
        from dreamlake.media import diskcache

        address = self._lake.address
        remote = address.data is None or address.storage is not None  # else it is on this disk already
        if remote:
            kept = await offload(lambda: diskcache.chunks().get(digest))
            if kept is not None and await offload(partial(matches, kept, digest)):
                return kept
        what = f"{self._uri}: {'the initialisation section' if number is None else f'segment {number}'}"
        for last in (False, True):
            data = await self._fetch(number)
            if await offload(partial(matches, data, digest)):
                break
            if last:
                raise IntegrityError(f"{what} does not match its hash")
            log.warning("%s arrived damaged; fetching it again", what)
        if remote:
            await offload(lambda: diskcache.chunks().put(digest, data))
        return data

    async def _fetch(self, number: int | None) -> bytes:
        """The bytes of a segment, or of the initialisation section, as they arrive."""
        for signed_before in (self._playlist is not None, False):
            playlist = self._playlist or await self._shared.call("playlist", self._signed)
            url = playlist.init if number is None else playlist.uris[number]
            try:
                return await self._lake.chunk(url or "")
            except AccessError:
                if not signed_before:
                    raise
                if self._playlist is playlist:
                    self._playlist = None  # its URLs have expired
        raise AssertionError("the second time returns or raises")

    async def _signed(self) -> Playlist:
        playlist = self._playlist  # another reader may have got it since, or find that its URLs have expired
        if playlist is None:
            meta: Any = self.meta or await self._lake.asset(self._kind, self._object_id)
            name = meta.streams[self._stream]
            playlist = parse_playlist(await self._lake.playlist(self._kind, self._object_id, name))
            self.meta, self._playlist = meta, playlist
        return playlist


def lake_key(lake: AsyncLake) -> LakeKey:
    """What ``lake_of`` needs to make the same client in another process: nothing secret."""
    address = lake.address
    return address.bss_url, address.remote, str(address.data) if address.data else None, address.storage


def lake_of(key: LakeKey) -> AsyncLake:
    """The client of a lake, with this process's key: keys do not travel in pickles."""
    from dreamlake.config import lake_at

    bss_url, remote, data, storage = key
    address = LakeAddress(bss_url, remote, Path(data) if data else None, storage=storage)
    configured = lake_at(address.host)
    same = (configured.bss_url, configured.data, configured.storage) == (address.bss_url, address.data, address.storage)
    return AsyncLake(configured if same else address)


def matches(data: bytes, digest: str) -> bool:
    """Whether bytes have this SHA-256, in hex."""
    return sha256(data).hexdigest() == digest


_sources: WeakValueDictionary[tuple[Any, ...], AsyncSegments] = WeakValueDictionary()
