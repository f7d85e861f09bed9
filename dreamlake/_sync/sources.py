# Generated from dreamlake/_async/sources.py by scripts/unasync.py. Edit that file, then run it.
"""Where the pictures of a video come from: a lake, or a file as it lies.

A source knows the frame index and hands out packets by segment.
"""

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
from dreamlake._sync.sound import FileSound, LakeSound, SoundSource
from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import VIDEO
from dreamlake.core.targets import bss_uri
from dreamlake.core.wireassets import VideoMeta
from dreamlake.errors import NotFoundError, UsageError
from dreamlake.media.remote import media_file
from dreamlake.progress import Progress

__all__ = ["Facts", "FileSource", "LakeSource", "Source"]


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


class Source(Segments):
    """A video that frames can be read from, once it is loaded.

    Args:
        key: what ``find`` needs to make the same source in another process.
    """

    def __init__(self, key: tuple[Any, ...]) -> None:
        super().__init__(key)
        self._index: FrameIndex | None = None

    @abstractmethod
    def sound(self) -> SoundSource:
        """The source of the video's own sound."""

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

    def loaded(self) -> FrameIndex:
        """The frame index of a loaded video."""
        if self._index is None:
            raise UsageError(f"{self.uri} is not loaded yet: `await video.load()` first")
        return self._index


class LakeSource(Source):
    """A video of a lake.

    Args:
        where: which lake, as ``lake_key`` has it.
        object_id: of the video.
        lake: the client to use, if there is one already.
    """

    def __init__(self, where: LakeKey, object_id: str, lake: Lake | None = None) -> None:
        super().__init__(("lake", where, object_id))
        self._lake = lake or lake_of(where)
        self._object_id = object_id
        self._chunks = Chunks(self._lake, VIDEO, object_id, self.uri)
        self._init: bytes | None = None

    @classmethod
    def of(cls, lake: Lake, object_id: str) -> Self:
        """The source of a video in this lake."""
        source: Self = cls.shared(cls(lake_key(lake), object_id, lake))
        return source

    @property
    def id(self) -> str:
        return resource_id(VIDEO, self._object_id)

    @property
    def uri(self) -> str:
        return bss_uri(self._lake.address.host, VIDEO, self._object_id)

    def load(self) -> None:
        if self._index is None:
            # Both at once: most videos that are loaded have been processed long ago.
            meta, packed = gather(partial(self._lake.video, self._object_id), self._packed_index)
            if packed is None or meta.status != "ready":
                meta = self.ready(progress=False)
                packed = self._lake.frame_index(self._object_id)
            self._index, self._chunks.meta = offload(partial(FrameIndex.from_bytes, packed)), meta

    def _packed_index(self) -> Any:
        try:
            return self._lake.frame_index(self._object_id)
        except NotFoundError:
            return None  # there is none before the video is processed

    def ready(self, progress: Progress = None) -> VideoMeta:
        """Wait until the lake has processed the video.

        Raises:
            ProcessingError: it could not.
        """
        meta: VideoMeta = ready(self._lake, VIDEO, self._object_id, progress)
        return meta

    def download(self, to: str | os.PathLike[str] | None, progress: Progress) -> Path:
        return download_original(self._lake, VIDEO, self._object_id, None, to, progress)

    def sound(self) -> SoundSource:
        return LakeSound.of(self._lake, VIDEO, self._object_id)

    def _version(self, number: int) -> Hashable:
        return self._object_id, number, bytes(self.loaded().segment_sha256[number])

    def _read(self, number: int) -> Any:
        from dreamlake.media.stored import demux_segment

        index = self.loaded()
        fetch = [partial(self._chunks.get, number, bytes(index.segment_sha256[number]).hex())]
        if index.header.init_hash and self._init is None:
            fetch.append(partial(self._shared.call, "initialisation", self._initialisation))
        data, *_ = gather(*fetch)
        return offload(partial(demux_segment, data, self._init or b"", index, number))

    def _initialisation(self) -> bytes:
        if self._init is None:
            self._init = self._chunks.get(None, self.loaded().header.init_hash or "")
        return self._init


class FileSource(Source):
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

    def load(self) -> None:
        from dreamlake.media.scancache import scan_once

        if self._index is None:
            self._scan = offload(partial(scan_once, self._file))
            self._index = self._scan.index

    def _version(self, number: int) -> Hashable:
        return self._location, self._file.version, number

    def _read(self, number: int) -> Any:
        from dreamlake.media.original import read_segment

        return offload(partial(read_segment, self._file, self._scan, number))

    def sound(self) -> SoundSource:
        return FileSound.of(self._file, self._location)

    def is_current(self) -> bool:
        """Whether the file is still the one that was loaded, or none was loaded yet."""
        return offload(self._file.is_current)


Segments.kinds |= {"file": FileSource, "lake": LakeSource}
