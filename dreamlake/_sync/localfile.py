# Generated from dreamlake/_async/localfile.py by scripts/unasync.py. Edit that file, then run it.
"""A file that is uploaded, as it was when it was hashed: from then on it must not change."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

from dreamlake._sync._runtime import Stream, gather, offload, open_file
from dreamlake.core.events import UploadEvent
from dreamlake.core.parts import HASH_DIGITS, Digests, Part, part_size_for
from dreamlake.errors import FileChangedError, SourceError, SourceNotFoundError

__all__ = ["LocalFile", "Report", "changed", "check_file", "identity", "unreadable"]

BLOCK = 8 * 1024**2  # read and hashed at once; two of them are in memory
PIECE = 1024**2  # sent at once

Report = Callable[[UploadEvent], None]


class LocalFile:
    """A file that was read and hashed.

    Args:
        path: of the file.
        stat: when it was read.
        digest: SHA-256 in hex.
        part_size: bytes.
        parts: the SHA-256 of each part, from the same reading as the whole's. The storage compares them with what
            comes, so that bytes that have changed since are refused even where nothing else shows it. Empty as long as
            it is likely that the lake has the file, and nothing need be sent.
    """

    def __init__(self, path: Path, stat: os.stat_result, digest: str, part_size: int, parts: tuple[bytes, ...]) -> None:
        self.path = path
        self.stat = stat
        self.size = stat.st_size
        self.sha256 = digest
        self.part_size = part_size
        self.parts = parts

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256, which name the file in the staging pool."""
        return self.sha256[:HASH_DIGITS]

    @classmethod
    def read(cls, path: Path, part_size: int | None, report: Report, *, known: bool = False) -> LocalFile:
        """Hash the file.

        Args:
            path: of the file.
            part_size: bytes; None for the usual.
            report: told how far it is.
            known: whether the lake is likely to have it: then its parts are hashed only if they have to be sent.

        Raises:
            FileChangedError: it changed meanwhile.
            SourceError: it cannot be read.
        """
        stat = None
        try:
            stat = offload(path.stat)
            size = part_size_for(stat.st_size, part_size)
            whole, parts = _hash(path, stat.st_size, size, report, known=known)
        except FileNotFoundError as error:
            if stat is None:
                raise unreadable(path, error) from error
            raise changed(path, "was deleted") from None
        except OSError as error:
            raise unreadable(path, error) from error
        local = cls(path, stat, whole, size, parts)
        local.check()
        return local

    def hash_parts(self) -> None:
        """Hash the parts, if that was not done; the file is read once more for that, and must be what it was.

        Raises:
            FileChangedError: it is not.
        """
        if not self.parts:
            again = self.read(self.path, self.part_size, lambda _: None)
            if again.sha256 != self.sha256:
                raise changed(self.path, "changed")
            self.parts = again.parts

    def pieces(self, part: Part) -> Stream[bytes]:
        """The bytes of one part, some at a time.

        Raises:
            FileChangedError: there are fewer than there were.
        """
        try:
            with open_file(self.path, "rb") as file:
                file.seek(part.offset)
                left = part.size
                while left:
                    data = file.read(min(PIECE, left))
                    if not data:
                        raise changed(self.path, "became shorter")
                    left -= len(data)
                    yield data
        except FileNotFoundError:
            raise changed(self.path, "was deleted") from None

    def has_changed(self, part: Part) -> bool:
        """Whether the bytes of a part are not those that were hashed."""
        digest = sha256()
        try:
            for piece in self.pieces(part):
                offload(partial(digest.update, piece))
        except (OSError, FileChangedError):
            return True
        return digest.digest() != self.parts[part.number - 1]

    def check(self) -> None:
        """Raise FileChangedError if the file is not the one that was hashed."""
        try:
            same = identity(offload(self.path.stat)) == identity(self.stat)
        except OSError:
            same = False
        if not same:
            raise changed(self.path, "changed")


def check_file(path: Path) -> os.stat_result:
    """What the system says of the regular file at a path, possibly behind a symbolic link.

    Raises:
        SourceError: there is none.
    """
    try:
        stat = offload(path.stat)
    except OSError as error:
        raise unreadable(path, error) from error
    if not S_ISREG(stat.st_mode):
        raise SourceError(f"{path}: is not a file")
    return stat


def identity(stat: os.stat_result) -> tuple[int, ...]:
    """What changes when a file's content does. The time of the last change of the inode cannot be set back."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _hash(path: Path, size: int, part_size: int, report: Report, *, known: bool) -> tuple[str, tuple[bytes, ...]]:
    """The SHA-256 of a file and of its parts, in one reading; a small file is its only part."""
    whole = sha256()
    single = size <= part_size
    parts = None if single or known else Digests(part_size)
    report(UploadEvent("hash", 0, size))
    digests: list[Any] = [digest for digest in (whole, parts) if digest is not None]
    if size <= BLOCK:  # threads would take longer to start than they save
        offload(partial(_hash_at_once, path, size, digests))
        report(UploadEvent("hash", size, size))
    else:
        _hash_blocks(path, size, digests, report)
    return whole.hexdigest(), (whole.digest(),) if single else () if parts is None else parts.finish()


def _hash_blocks(path: Path, size: int, digests: Sequence[Any], report: Report) -> None:
    # One is filled while the other is hashed. New memory for every block would cost as much as the reading.
    blocks = [memoryview(bytearray(BLOCK)) for _ in range(2)]
    done = 0
    with open_file(path, "rb") as file:
        count = file.readinto(blocks[0])
        while count:
            block = blocks[0][:count]
            blocks.reverse()
            updates = [partial(offload, partial(digest.update, block)) for digest in digests]
            done += len(block)
            following, *_ = gather(partial(file.readinto, blocks[0]), *updates)
            count = following or 0
            report(UploadEvent("hash", done, max(done, size)))


def _hash_at_once(path: Path, size: int, digests: Sequence[Any]) -> None:
    with path.open("rb") as file:
        data = file.read(BLOCK)
    if len(data) != size:
        raise changed(path, "changed")
    for digest in digests:
        digest.update(data)


def changed(path: Path, how: str) -> FileChangedError:
    """The error for a file that is not what it was when the upload began."""
    return FileChangedError(f"{path.name}: {how} while it was uploaded; nothing was registered")


def unreadable(path: Path, error: OSError) -> SourceError:
    """What an error of the system is to the callers of an upload."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, FileNotFoundError):
        return SourceNotFoundError(f"{path}: there is no such file")
    return SourceError(f"{path}: cannot be read ({error.strerror or error})")
