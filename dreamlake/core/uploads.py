"""What is uploaded where: the files that paths, folders and patterns name, their places, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from dreamlake.core.kinds import Kind
from dreamlake.core.parts import CONCURRENCY, PUT_SECONDS, part_size_for
from dreamlake.errors import DreamlakeError, UsageError

__all__ = ["Found", "UploadOptions", "UploadReport", "UploadResult", "is_excluded", "is_pattern"]

A = TypeVar("A", covariant=True)

MAX_CONCURRENCY = 64


@dataclass(frozen=True)
class UploadOptions:
    """How parts are sent.

    Attributes:
        concurrency: parts that are under way at once, of all files together.
        part_size: bytes; None for 10 MB. Very large files have larger ones.
        timeout: seconds that the storage may take to acknowledge a part which was sent.
        skip_bad_lines: whether lines of tracks that cannot be read are left out and counted.

    Raises:
        UsageError: a value that cannot be.
    """

    concurrency: int = CONCURRENCY
    part_size: int | None = None
    timeout: float = PUT_SECONDS
    skip_bad_lines: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(f"1 to {MAX_CONCURRENCY} parts can be under way at once, and not {self.concurrency}")
        if not 0 < self.timeout < float("inf"):
            raise UsageError(f"a timeout is a number of seconds, and not {self.timeout}")
        part_size_for(0, self.part_size)


@dataclass(frozen=True)
class Found:
    """A file to upload.

    Attributes:
        path: of the file.
        relative: its path below the folder that was named, or its own name.
        named: whether it was named itself. Files of unknown types are left out of a folder, and refused when named.
    """

    path: Path
    relative: PurePath
    named: bool


@dataclass(frozen=True)
class UploadResult(Generic[A]):
    """What became of one file.

    Attributes:
        path: of the file.
        name: of the asset, such as ``/camera/front/run01.mp4``; None where it did not come that far.
        kind: of the asset.
        asset: None if the upload failed.
        error: why it failed.
        known: whether the lake had the same bytes under the same name already.
    """

    path: Path
    name: str | None = None
    kind: Kind | None = None
    asset: A | None = None
    error: DreamlakeError | None = None
    known: bool = False


@dataclass(frozen=True)
class UploadReport(Generic[A]):
    """What became of several files.

    Attributes:
        results: one for each file, in the order of the files.
        skipped: files of folders whose type Dreamlake does not know.
    """

    results: Sequence[UploadResult[A]]
    skipped: Sequence[Path] = field(default_factory=tuple)

    @property
    def ok(self) -> int:
        """How many files are in the lake."""
        return sum(result.error is None for result in self.results)

    @property
    def known(self) -> int:
        """How many of these were there already."""
        return sum(result.known for result in self.results)

    @property
    def failed(self) -> int:
        """How many files are not in the lake."""
        return len(self.failures)

    @property
    def failures(self) -> list[UploadResult[A]]:
        """The results of these, with their errors."""
        return [result for result in self.results if result.error is not None]

    @property
    def assets(self) -> list[A]:
        """What was uploaded, in the order of the files."""
        return [result.asset for result in self.results if result.asset is not None]

    def raise_for_failures(self) -> None:
        """Raise the error of the first file that failed, if any did."""
        for result in self.failures:
            assert result.error is not None
            raise result.error

    def __repr__(self) -> str:
        return f"UploadReport(ok={self.ok}, failed={self.failed}, known={self.known}, skipped={len(self.skipped)})"


def is_pattern(text: str) -> bool:
    """Whether a path is a pattern such as ``runs/**/*.mp4``."""
    return any(mark in text for mark in "*?[")


def is_excluded(relative: PurePath, patterns: Iterable[str]) -> bool:
    """Whether a pattern fits a path below a folder, one of its parts, or the file's own name.

    Args:
        relative: the path below the folder.
        patterns: as of the shell: ``*.jpg``, ``calibration``, ``run-0?/*``.
    """
    text = relative.as_posix()
    return any(
        fnmatchcase(text, pattern) or any(fnmatchcase(part, pattern) for part in relative.parts) for pattern in patterns
    )
