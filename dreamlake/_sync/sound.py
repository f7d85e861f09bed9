# Generated from dreamlake/_async/sound.py by scripts/unasync.py. Edit that file, then run it.
"""Where sound comes from: a recording of a lake, the sound of one of its videos, or a file as it lies."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from dreamlake._sync._runtime import gather, offload
from dreamlake._sync.asset import ready
from dreamlake._sync.download import download_original
from dreamlake._sync.lake import Lake
from dreamlake._sync.segments import Chunks, LakeKey, Segments, lake_key, lake_of
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import VIDEO, Kind, kind_named
from dreamlake.core.sampleindex import SampleIndex
from dreamlake.core.targets import bss_uri
from dreamlake.errors import MediaError, NotFoundError, UsageError
from dreamlake.media.files import MediaFile
from dreamlake.media.remote import media_file
from dreamlake.progress import Progress

__all__ = ["FileSound", "LakeSound", "SoundFacts", "SoundSource"]


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


class SoundSource(Segments):
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

    def _version(self, number: int) -> Hashable:
        return "sound", bytes(self.loaded().segment_sha256[number])

    def _read(self, number: int) -> Any:
        from dreamlake.media.sound import StoredSound

        return StoredSound(self._chunk(number, bytes(self.loaded().segment_sha256[number]).hex()))

    @abstractmethod
    def _chunk(self, number: int, digest: str) -> bytes:
        """The bytes of a segment."""

    @abstractmethod
    def metadata(self) -> Any:
        """What the lake knows of the asset."""


class LakeSound(SoundSource):
    """A recording of a lake, or the sound of a video there.

    Args:
        where: which lake, as ``lake_key`` has it.
        kind: the name of the asset's kind: ``audio`` or ``video``.
        object_id: of the asset.
        lake: the client to use, if there is one already.
    """

    def __init__(self, where: LakeKey, kind: str, object_id: str, lake: Lake | None = None) -> None:
        super().__init__(("sound", where, kind, object_id))
        self._lake = lake or lake_of(where)
        self._kind, self._object_id = kind_named(kind), object_id
        # The sound of a video is its second stream, beside the one with the pictures.
        self._stream = 1 if self._kind == VIDEO else 0
        self._chunks = Chunks(self._lake, self._kind, object_id, self.uri, self._stream)

    @classmethod
    def of(cls, lake: Lake, kind: Kind, object_id: str) -> Self:
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

    def load(self) -> None:
        if self._index is None:
            asset = partial(self._lake.asset, self._kind, self._object_id)
            meta, packed = gather(asset, self._packed_index)
            if packed is None or meta.status != "ready":
                meta = self._processed()
                packed = self._packed_index()
            if packed is None or len(meta.streams) <= self._stream:
                raise MediaError(f"{self.uri}: there is no sound that can be decoded")
            self._index, self._chunks.meta = offload(partial(SampleIndex.from_bytes, packed)), meta

    def _packed_index(self) -> Any:
        try:
            return self._lake.sample_index(self._kind, self._object_id)
        except NotFoundError:
            return None  # there is none before it is processed

    def _processed(self) -> Any:
        meta: Any = ready(self._lake, self._kind, self._object_id, progress=False)
        if len(meta.streams) <= self._stream:  # by a version of the lake that knew no sound
            self._lake.trigger_by_id(self._kind, self._object_id)
            meta = ready(self._lake, self._kind, self._object_id, progress=False)
        return meta

    def metadata(self) -> Any:
        return self._lake.asset(self._kind, self._object_id)

    def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:
        return download_original(self._lake, self._kind, self._object_id, None, to, progress)

    def _chunk(self, number: int, digest: str) -> bytes:
        return self._chunks.get(number, digest)


class FileSound(SoundSource):
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

    def load(self) -> None:
        if self._index is None:
            self._index = self._shared.call("index", self._cut)

    def _cut(self) -> Any:
        from dreamlake.media.originalsound import cut_sound

        return offload(partial(cut_sound, self._file))

    def metadata(self) -> Any:
        raise UsageError(f"{self.uri} lies outside of any lake, which would know more of it")

    def _chunk(self, number: int, digest: str) -> bytes:
        from dreamlake.media.originalsound import sound_chunk

        return offload(partial(sound_chunk, self._file, number, digest))


Segments.kinds |= {"sound": LakeSound, "file-sound": FileSound}
