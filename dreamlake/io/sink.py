"""Sinks of bulk inference: where rollouts go, and the metadata that says what each of them is."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dreamlake.core.wireengine import JobSink
from dreamlake.errors import SinkError, UsageError
from dreamlake.media.rollout import write_whole

__all__ = ["METADATA", "SHARDS", "VIDEOS", "DirSink", "LakeSink", "RolloutSink"]

VIDEOS = "videos"
SHARDS = "metadata"
METADATA = "metadata.parquet"


class RolloutSink(ABC):
    """Where rollouts go: ``RolloutSink.dir``, ``.s3``, ``.hf``, ``.lake``, or a class of your own.

    All methods may block, and are called by several threads at once.

    Attributes:
        keeps_metadata: whether parquet files of metadata are written to it.
    """

    keeps_metadata = True

    @staticmethod
    def dir(path: str | os.PathLike[str]) -> RolloutSink:
        """A folder of this machine: ``videos/<row_id>.mp4`` and ``metadata.parquet``.

        Args:
            path: of the folder; it is made where there is none.

        Example:
            >>> sink = RolloutSink.dir("./out")
        """
        return DirSink(Path(path).expanduser().absolute())

    @staticmethod
    def s3(uri: str) -> RolloutSink:
        """The same in S3, below a prefix, with the credentials that AWS's own tools would use.

        Args:
            uri: ``s3://bucket/prefix``.

        Raises:
            InvalidTargetError: not such a URI.
            MissingExtraError: without the extra ``s3``.
        """
        from dreamlake.io.s3sink import S3Sink

        return S3Sink(uri)

    @staticmethod
    def hf(repo: str, *, token: str | None = None, private: bool = False, endpoint: str | None = None) -> RolloutSink:
        """A dataset of Hugging Face: the same files, committed up to 499 rollouts at a time.

        Args:
            repo: ``owner/name``; it is made where there is none.
            token: None for the one that ``hf auth login`` has kept, or ``HF_TOKEN``.
            private: whether a dataset that is made is for its owners alone.
            endpoint: of a Hub other than huggingface.co.

        Raises:
            MissingExtraError: without the extra ``hf``.
        """
        from dreamlake.io.hfsink import HfSink

        return HfSink(repo, token=token, private=private, endpoint=endpoint)

    @staticmethod
    def lake(space: str | None = None, prefix: str | None = None) -> RolloutSink:
        """Videos of the lake in use, ``<prefix>/<row_id>.mp4``; the catalog keeps what the metadata says of each.

        Args:
            space: as of ``upload``.
            prefix: as of ``upload``.
        """
        return LakeSink(space, prefix)

    @property
    @abstractmethod
    def uri(self) -> str:
        """Where it is; what ``output_uri`` of the result is."""

    def describe(self) -> JobSink:
        """The sink as a job of the engine is told of it.

        Raises:
            UsageError: an engine cannot reach it.
        """
        raise UsageError(f"{self.uri} cannot be reached by a job; use predict_many")

    def journal_folder(self, home: Path) -> Path:
        """Where the journal of what is written to it is kept.

        Args:
            home: where Dreamlake keeps things.
        """
        return home / "runs" / sha256(self.uri.encode()).hexdigest()[:24]

    def open(self, folder: Path, *, resumed: bool) -> None:  # noqa: B027 (not every sink needs it)
        """Make ready for rollouts.

        Args:
            folder: that lasts from call to call, for what the sink has to remember.
            resumed: whether an earlier call has written to it.

        Raises:
            SinkError: it cannot be written to, or holds what another run has written.
        """

    def has(self, row_id: str) -> bool:
        """Whether the rollout that an earlier call has written is still there."""
        return bool(row_id)

    @abstractmethod
    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Store a rollout, whole or not at all.

        Args:
            row_id: safe as the name of a file.
            video: the mp4.
            record: its line of the metadata.
        """

    def write_metadata(self, name: str, path: Path) -> None:  # noqa: B027 (as above)
        """Store a file of metadata, whole or not at all.

        Args:
            name: ``metadata.parquet`` or ``metadata/part-00000.parquet``.
            path: of the parquet file, which goes when this returns.
        """

    def finalize(self, shards: list[str]) -> str:
        """Everything is written.

        Args:
            shards: the names of parts of the metadata that ``metadata.parquet`` has made superfluous.

        Returns:
            Where the rollouts are.
        """
        del shards
        return self.uri


class DirSink(RolloutSink):
    """A folder of this machine.

    Args:
        root: absolute.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        """The path of the folder."""
        return str(self._root)

    def describe(self) -> JobSink:
        """A folder of the engine's machine."""
        return JobSink(type="dir", location=str(self._root))

    def journal_folder(self, home: Path) -> Path:
        """In the folder itself, so that who moves or deletes it does so with the journal."""
        del home
        return self._root / ".dreamlake"

    def open(self, folder: Path, *, resumed: bool) -> None:
        """Refuse a folder with the metadata of others in it, and clear away what a crash has left half written."""
        del folder
        if not resumed and (self._root / METADATA).exists():
            raise SinkError(f"{self._root} has a {METADATA} already, which no journal knows of; write to another place")
        (self._root / VIDEOS).mkdir(parents=True, exist_ok=True)
        for part in (self._root / VIDEOS).glob(".*.part"):
            part.unlink(missing_ok=True)

    def has(self, row_id: str) -> bool:
        """Whether the file is there."""
        return (self._root / VIDEOS / f"{row_id}.mp4").is_file()

    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Write the file beside its place, and move it there."""
        del record
        write_whole(self._root / VIDEOS / f"{row_id}.mp4", video)

    def write_metadata(self, name: str, path: Path) -> None:
        """The same with metadata."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        shutil.copyfile(path, beside)
        beside.replace(target)

    def finalize(self, shards: list[str]) -> str:
        """Remove what is superfluous."""
        for name in shards:
            (self._root / name).unlink(missing_ok=True)
        folder = self._root / SHARDS
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return self.uri


class LakeSink(RolloutSink):
    """Videos of the lake in use. The client uploads them itself, so this only says where to.

    Args:
        space: as of ``upload``.
        prefix: as of ``upload``.
    """

    keeps_metadata = False

    def __init__(self, space: str | None, prefix: str | None) -> None:
        self.space = space
        self.prefix = prefix
        self.target = ""  # which lake, space and folder: the client says it, who knows them

    @property
    def uri(self) -> str:
        """The lake, the space and the folder."""
        return self.target or f"lake: {self.space or 'default'} {self.prefix or '/'}"

    def describe(self) -> JobSink:
        """A space of the lake that the engine works on."""
        options = {} if self.prefix is None else {"prefix": self.prefix}
        return JobSink(type="lake", location=self.space or "default", options=options)

    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Never called.

        Raises:
            SinkError: always.
        """
        del video, record
        raise SinkError(f"{row_id}: rollouts reach the lake through predict_many")
