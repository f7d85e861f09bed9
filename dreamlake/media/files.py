"""Media files, wherever they lie: how they are read, and that they are still what they were."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

from dreamlake.errors import FileChangedError, SourceNotFoundError

__all__ = ["LocalFile", "MediaFile", "Seekable", "Version"]

# Equal as long as the file is the same; a value that can be kept on disk.
Version: TypeAlias = "tuple[str | int, ...]"


class Seekable(Protocol):
    """What FFmpeg reads from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move as files do, and return where we are."""

    def tell(self) -> int:
        """Where we are."""

    def skim(self) -> None:
        """From now on the payload of MP4 is of no interest: read it as zeros."""


class MediaFile(ABC):
    """A file in the version that was met first: what is read later is of that version, or an error.

    Attributes:
        name: for messages.
        uri: of the file; no secret is in either.
        gap: bytes that are rather read than skipped between two wanted pieces.
        remote: whether it is on another machine.
    """

    name: str
    uri: str
    gap: int
    remote: bool

    def __init__(self) -> None:
        self._version: Version | None = None

    @property
    def version(self) -> Version:
        """The version that was met first.

        Raises:
            SourceNotFoundError: there is no such file.
        """
        if self._version is None:
            self._version = self.look()
        return self._version

    @abstractmethod
    def look(self) -> Version:
        """The version that lies there now.

        Raises:
            SourceNotFoundError: there is no such file.
        """

    def is_current(self) -> bool:
        """Whether the file is still the one that was met first, if it was met at all."""
        if self._version is None:
            return True
        try:
            return self.look() == self._version
        except SourceNotFoundError:
            return False

    @abstractmethod
    def opened(self) -> AbstractContextManager[str | Seekable]:
        """The file for FFmpeg: a URL that it opens itself, or what it reads from.

        Raises:
            FileChangedError: not the version that was met first; also when that turns out only at the end.
        """

    @abstractmethod
    def read(self, begin: int, end: int) -> bytes:
        """The bytes from ``begin`` to just before ``end``.

        Raises:
            FileChangedError: not the version that was met first.
        """

    def prepare(self, begin: int, end: int) -> None:  # noqa: B027 (nothing to be done for most files)
        """Bytes that are about to be read from ``opened``; where asking takes time they are fetched at once.

        Raises:
            FileChangedError: not the version that was met first.
        """

    def changed(self) -> FileChangedError:
        """The error that says so."""
        return FileChangedError(f"{self.name}: changed since it was opened")


class LocalFile(MediaFile):
    """A file of this machine.

    Args:
        path: absolute.
    """

    gap = 64 * 1024
    remote = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.name, self.uri = path.name, path.as_uri()

    def look(self) -> Version:
        if not self._path.is_file():
            raise SourceNotFoundError(f"{self._path}: there is no such file")
        return _version(self._path.stat())

    @contextmanager
    def opened(self) -> Iterator[str]:
        if self._version is None:
            self._version = self.look()
        self._check()
        # The file: prefix keeps names with a colon in them from being taken for a protocol.
        yield f"file:{self._path}"
        self._check()

    def read(self, begin: int, end: int) -> bytes:
        try:
            with self._path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), end - begin, begin)
                # Looked at after reading, so that a change meanwhile is seen too.
                current = _version(os.fstat(file.fileno()))
        except OSError as error:
            raise self.changed() from error
        if current != self.version or len(data) != end - begin:
            raise self.changed()
        return data

    def _check(self) -> None:
        if not self.is_current():
            raise self.changed()


def _version(stat: os.stat_result) -> Version:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
