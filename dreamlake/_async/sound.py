"""Where sound comes from: a recording of a lake, the sound of one of its videos, or a file as it lies."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from dreamlake._async._runtime import gather, offload
from dreamlake._async.asset import ready
from dreamlake._async.download import download_original
from dreamlake._async.lake import AsyncLake
from dreamlake._async.segments import AsyncChunks, AsyncSegments, LakeKey, lake_key, lake_of
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import VIDEO, Kind, kind_named
from dreamlake.core.sampleindex import SampleIndex
from dreamlake.core.targets import bss_uri
from dreamlake.errors import MediaError, NotFoundError, UsageError
from dreamlake.media.files import MediaFile
from dreamlake.media.remote import media_file
from dreamlake.progress import Progress

__all__ = ["AsyncFileSound", "AsyncLakeSound", "AsyncSoundSource", "SoundFacts"]


@dataclass(frozen=True)
class SoundFacts:
    """What a clip knows of its recording without the index; the sample rate is in Hz.

    Attributes:
        version: of a file in place, by which a clip from elsewhere knows that it is still the same one.
    """

    sample_rate: int
    channels: int
    codec: str
    samples: int
    version: Hashable = None


class AsyncSoundSource(AsyncSegments):
    """Sound that can be read, once it is loaded; a segment of it is the bytes of its chunk."""

    def __init__(self, key: tuple[Any, ...]) -> None:
        super().__init__(key)
        self._index: SampleIndex | None = None

    @property
    def index(self) -> SampleIndex | None:
        """The sample index; None before ``load``."""
        return self._index

    def loaded(self) -> SampleIndex:
        """The sample index of loaded sound."""
        if self._index is None:
            raise UsageError(f"{self.uri} is not loaded yet: `await audio.load()` first")
        return self._index

    @property
    def facts(self) -> SoundFacts:
        """What the index says in short."""
        header = self.loaded().header
        return SoundFacts(header.sample_rate, header.channels, header.codec, header.samples, self._file_version)

    async def _version(self, number: int) -> Hashable:
        return "sound", bytes(self.loaded().segment_sha256[number])

    async def _read(self, number: int) -> Any:
        from dreamlake.media.sound import StoredSound

        return StoredSound(await self._chunk(number, bytes(self.loaded().segment_sha256[number]).hex()))

    @abstractmethod
    async def _chunk(self, number: int, digest: str) -> bytes:
        """The bytes of a segment."""

    @abstractmethod
    async def metadata(self) -> Any:
        """What the lake knows of the asset."""


class AsyncLakeSound(AsyncSoundSource):
    """A recording of a lake, or the sound of a video there.

    Args:
        where: which lake, as ``lake_key`` has it.
        kind: the name of the asset's kind: ``audio`` or ``video``.
        object_id: of the asset.
        lake: the client to use, if there is one already.
    """

    def __init__(self, where: LakeKey, kind: str, object_id: str, lake: AsyncLake | None = None) -> None:
        super().__init__(("sound", where, kind, object_id))
        self._lake = lake or lake_of(where)
        self._kind, self._object_id = kind_named(kind), object_id
        # The sound of a video is its second stream, beside the one with the pictures.
        self._stream = 1 if self._kind == VIDEO else 0
        self._chunks = AsyncChunks(self._lake, self._kind, object_id, self.uri, self._stream)

    @classmethod
    def of(cls, lake: AsyncLake, kind: Kind, object_id: str) -> Self:
        """The source of a recording, or of a video's sound, in this lake."""
        source: Self = cls.shared(cls(lake_key(lake), kind.name, object_id, lake))
        return source

    @property
    def id(self) -> str:
        return resource_id(self._kind, self._object_id)

    @property
    def uri(self) -> str:
        uri = bss_uri(self._lake.address.host, self._kind, self._object_id)
        return f"{uri}#audio" if self._kind == VIDEO else uri

    async def load(self) -> None:
        if self._index is None:
            asset = partial(self._lake.asset, self._kind, self._object_id)
            meta, packed = await gather(asset, self._packed_index)
            if packed is None or meta.status != "ready":
                meta = await self._processed()
                packed = await self._packed_index()
            if packed is None or len(meta.streams) <= self._stream:
                raise MediaError(f"{self.uri}: there is no sound that can be decoded")
            self._index, self._chunks.meta = await offload(partial(SampleIndex.from_bytes, packed)), meta

    async def _packed_index(self) -> Any:
        try:
            return await self._lake.sample_index(self._kind, self._object_id)
        except NotFoundError:
            return None  # there is none before it is processed

    async def _processed(self) -> Any:
        meta: Any = await ready(self._lake, self._kind, self._object_id, progress=False)
        if len(meta.streams) <= self._stream:  # by a version of the lake that knew no sound
            await self._lake.trigger_by_id(self._kind, self._object_id)
            meta = await ready(self._lake, self._kind, self._object_id, progress=False)
        return meta

    async def metadata(self) -> Any:
        return await self._lake.asset(self._kind, self._object_id)

    async def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:
        return await download_original(self._lake, self._kind, self._object_id, None, to, progress)

    async def _chunk(self, number: int, digest: str) -> bytes:
        return await self._chunks.get(number, digest)


class AsyncFileSound(AsyncSoundSource):
    """The sound of a video file that lies outside of any lake.

    It is cut as a lake would cut it, once, and what comes of that is kept in the cache on disk.

    Args:
        location: absolute path, or an ``s3://`` or ``https://`` URL.
        version: that the video was opened in.
    """

    def __init__(self, location: str, version: Hashable) -> None:
        super().__init__(("file-sound", location, version))
        self._file = media_file(location)

    @classmethod
    def of(cls, file: MediaFile, location: str) -> Self:
        """The source of the sound of a file that was opened."""
        made = cls(location, file.version)
        made._file = file
        source: Self = cls.shared(made)
        return source

    @property
    def id(self) -> None:
        return None

    @property
    def uri(self) -> str:
        return f"{self._file.uri}#audio"

    @property
    def _file_version(self) -> Hashable:
        return self._file.version

    async def load(self) -> None:
        if self._index is None:
            self._index = await self._shared.call("index", self._cut)

    async def _cut(self) -> Any:
        from dreamlake.media.originalsound import cut_sound

        return await offload(partial(cut_sound, self._file))

    async def metadata(self) -> Any:
        raise UsageError(f"{self.uri} lies outside of any lake, which would know more of it")

    async def _chunk(self, number: int, digest: str) -> bytes:
        from dreamlake.media.originalsound import sound_chunk

        return await offload(partial(sound_chunk, self._file, number, digest))


AsyncSegments.kinds |= {"sound": AsyncLakeSound, "file-sound": AsyncFileSound}
