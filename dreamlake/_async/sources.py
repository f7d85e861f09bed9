"""Where the pictures of a video come from: a lake, or a file as it lies.

A source knows the frame index and hands out packets by segment. All clips of a video share one, and a clip that was
pickled finds the source of its process again by its key.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

from dreamlake._async._runtime import Shared, gather, offload
from dreamlake._async.asset import AsyncAsset, ready
from dreamlake._async.download import download_asset
from dreamlake._async.lake import AsyncLake
from dreamlake.config import LakeAddress
from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import VIDEO
from dreamlake.core.playlist import Playlist, parse_playlist
from dreamlake.core.targets import bss_uri
from dreamlake.core.wire import VideoMeta
from dreamlake.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from dreamlake.media.remote import media_file
from dreamlake.progress import Progress

__all__ = ["AsyncFileSource", "AsyncLakeSource", "AsyncSource", "Facts"]

log = logging.getLogger("dreamlake")


@dataclass(frozen=True)
class Facts:
    """What a clip knows of its video without the index. Seconds and pixels.

    Attributes:
        version: of a file in place, by which a clip from elsewhere knows that it is still the same one; None in a lake,
            where nothing changes.
    """

    fps: float
    width: int
    height: int
    frames: int
    duration: float
    version: Hashable = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class AsyncSource(ABC):
    """A video that frames can be read from, once it is loaded.

    Args:
        key: what ``find`` needs to make the same source in another process.
    """

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self._index: FrameIndex | None = None
        self._shared: Shared[Any] = Shared()

    @property
    @abstractmethod
    def id(self) -> str | None:
        """The resource id; None for a file outside of any lake."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """The URI of the video."""

    @abstractmethod
    async def load(self) -> None:
        """Get the frame index, if it is not there yet."""

    @abstractmethod
    async def _version(self, number: int) -> Hashable:
        """What tells the packets of this segment from all others, as long as they are what the index says."""

    @abstractmethod
    async def _read(self, number: int) -> Any:
        """The packets of a segment, from where it is stored."""

    async def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:  # noqa: ARG002 (of lakes)
        """Fetch the original file."""
        raise UsageError(f"{self.uri} lies outside of any lake: there is nothing to download")

    async def segment(self, number: int) -> Any:
        """The packets of a segment: out of memory if they are there, and read once by all who want them at once.

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
        """Let go of a segment that was read on the way through a video that memory does not hold."""
        from dreamlake.media import cache

        cache.segments.discard(await self._version(number))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole video, as it is stored."""
        return int(self.loaded().segment_size.sum())

    @property
    def index(self) -> FrameIndex | None:
        """The frame index; None before ``load``."""
        return self._index

    @property
    def facts(self) -> Facts:
        """What the index says in short."""
        index = self.loaded()
        width, height = index.display_size
        return Facts(index.fps, width, height, len(index), index.timeline.end, self._file_version)

    @property
    def _file_version(self) -> Hashable:
        return None

    def loaded(self) -> FrameIndex:
        """The frame index of a loaded video."""
        if self._index is None:
            raise UsageError(f"{self.uri} is not loaded yet: `await video.load()` first")
        return self._index

    @staticmethod
    def forget(key: tuple[Any, ...]) -> None:
        """Make a new source the next time: clips that are in use keep theirs."""
        _sources.pop(key, None)

    @staticmethod
    def find(key: tuple[Any, ...]) -> AsyncSource:
        """The source with this key, shared by all clips of the video in this process."""
        source = _sources.get(key)
        if source is None:
            kind, *arguments = key
            source = _sources[key] = AsyncFileSource(*arguments) if kind == "file" else AsyncLakeSource(*arguments)
        return source


class AsyncLakeSource(AsyncSource):
    """A video of a lake.

    Args:
        bss_url: the storage service of the lake.
        remote: its catalog.
        data: the folder of an embedded lake, else None.
        storage: where an embedded lake keeps its bytes, if not there.
        object_id: of the video.
        lake: the client to use, if there is one already.
    """

    def __init__(
        self,
        bss_url: str,
        remote: str,
        data: str | None,
        storage: str | None,
        object_id: str,
        lake: AsyncLake | None = None,
    ) -> None:
        super().__init__(("lake", bss_url, remote, data, storage, object_id))
        address = LakeAddress(bss_url, remote, Path(data) if data else None, storage=storage)
        self._lake = lake or AsyncLake(_with_key(address))
        self._object_id = object_id
        self._meta: VideoMeta | None = None
        self._playlist: Playlist | None = None
        self._init: bytes | None = None

    @classmethod
    def of(cls, lake: AsyncLake, object_id: str) -> Self:
        """The source of a video in this lake."""
        address = lake.address
        data = str(address.data) if address.data else None
        made = cls(address.bss_url, address.remote, data, address.storage, object_id, lake)
        source = _sources.setdefault(made.key, made)
        assert isinstance(source, cls)
        return source

    @property
    def id(self) -> str:
        return resource_id(VIDEO, self._object_id)

    @property
    def uri(self) -> str:
        return bss_uri(self._lake.address.host, VIDEO, self._object_id)

    async def load(self) -> None:
        if self._index is None:
            # Both at once: most videos that are loaded have been processed long ago.
            meta, packed = await gather(partial(self._lake.video, self._object_id), self._packed_index)
            if packed is None or meta.status != "ready":
                meta = await self.ready(progress=False)
                packed = await self._lake.frame_index(self._object_id)
            self._index, self._meta = await offload(partial(FrameIndex.from_bytes, packed)), meta

    async def _packed_index(self) -> Any:
        try:
            return await self._lake.frame_index(self._object_id)
        except NotFoundError:
            return None  # there is none before the video is processed

    async def ready(self, progress: Progress = None) -> VideoMeta:
        """Wait until the lake has processed the video.

        Raises:
            ProcessingError: it could not.
        """
        meta: VideoMeta = await ready(self._lake, VIDEO, self._object_id, progress)
        return meta

    async def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:
        return await download_asset(AsyncAsset(self._lake, VIDEO, self._object_id), to, progress)

    async def _version(self, number: int) -> Hashable:
        return self._object_id, number, bytes(self.loaded().segment_sha256[number])

    async def _read(self, number: int) -> Any:
        from dreamlake.media.stored import demux_segment

        index = self.loaded()
        fetch = [partial(self._chunk, number, bytes(index.segment_sha256[number]).hex())]
        if index.header.init_hash and self._init is None:
            fetch.append(partial(self._shared.call, "initialisation", self._initialisation))
        data, *_ = await gather(*fetch)
        return await offload(partial(demux_segment, data, self._init or b"", index, number))

    async def _initialisation(self) -> bytes:
        if self._init is None:
            self._init = await self._chunk(None, self.loaded().header.init_hash or "")
        return self._init

    async def _chunk(self, number: int | None, digest: str) -> bytes:
        """The bytes of a segment, or of the initialisation section, proved to be the right ones.

        They may arrive damaged and be whole the next time; what is damaged in the lake is an error.
        """
        from dreamlake.media import diskcache

        address = self._lake.address
        remote = address.data is None or address.storage is not None  # else it is on this disk already
        if remote:
            kept = await offload(lambda: diskcache.chunks().get(digest))
            if kept is not None and await offload(partial(_matches, kept, digest)):
                return kept
        what = f"{self.uri}: {'the initialisation section' if number is None else f'segment {number}'}"
        for last in (False, True):
            data = await self._fetch(number)
            if await offload(partial(_matches, data, digest)):
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
            meta = self._meta or await self._lake.video(self._object_id)
            playlist = parse_playlist(await self._lake.playlist(self._object_id, meta.streams[0]))
            self._meta, self._playlist = meta, playlist
        return playlist


class AsyncFileSource(AsyncSource):
    """A video file, of this machine or another, read where it lies.

    Args:
        location: absolute path, or an ``s3://`` or ``https://`` URL.
    """

    def __init__(self, location: str) -> None:
        super().__init__(("file", location))
        self._location = location
        self._file = media_file(location)
        self._scan: Any = None

    @property
    def id(self) -> None:
        return None

    @property
    def uri(self) -> str:
        return self._file.uri

    @property
    def nbytes(self) -> int:
        return int(self._scan.packet_bytes.sum())

    @property
    def _file_version(self) -> Hashable:
        return self._file.version

    async def load(self) -> None:
        from dreamlake.media.scancache import scan_once

        if self._index is None:
            self._scan = await offload(partial(scan_once, self._file))
            self._index = self._scan.index

    async def _version(self, number: int) -> Hashable:
        return self._location, self._file.version, number

    async def _read(self, number: int) -> Any:
        from dreamlake.media.original import read_segment

        return await offload(partial(read_segment, self._file, self._scan, number))

    async def is_current(self) -> bool:
        """Whether the file is still the one that was loaded, or none was loaded yet."""
        return await offload(self._file.is_current)


def _matches(data: bytes, digest: str) -> bool:
    return sha256(data).hexdigest() == digest


_sources: WeakValueDictionary[tuple[Any, ...], AsyncSource] = WeakValueDictionary()


def _with_key(address: LakeAddress) -> LakeAddress:
    """An address from a pickle, with this process's key: keys do not travel in pickles."""
    from dreamlake.config import lake_at

    configured = lake_at(address.host)
    same = (configured.bss_url, configured.data, configured.storage) == (address.bss_url, address.data, address.storage)
    return configured if same else address
