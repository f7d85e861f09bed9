"""Files that take their place whole, that survive a power cut, and that are deleted by age without a race."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dreamlake.server.storage.base import Listed

__all__ = ["TEMPORARY", "regular_file", "replacing", "sync_folder", "touch", "unlink_if_older", "walk"]

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}", re.DOTALL)  # names of what is not an object yet, or not any more


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its place only when it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def walk(folder: Path, base: str, begin: str) -> Iterator[Listed]:
    """The objects whose key is ``base`` and a path in a folder that begins so; one folder is open at each depth."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(begin) or TEMPORARY.fullmatch(entry.name):
                continue
            if entry.is_dir():
                yield from walk(Path(entry.path), f"{base}{entry.name}/", "")
                continue
            with suppress(FileNotFoundError):  # deleted meanwhile
                found = entry.stat()
                yield Listed(base + entry.name, found.st_size, found.st_mtime)


def regular_file(path: Path) -> os.stat_result:
    """The status of a file. Raises FileNotFoundError, also for a folder."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return found


def touch(path: Path) -> bool:
    """Make a file as young as a new one; False when there is none."""
    # The lock decides between us and unlink_if_older: either it sees the new time, or we see that the file is gone.
    with suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            now = time.time_ns()  # the filesystem's own clock may be some milliseconds behind
            os.utime(file.fileno(), ns=(now, now))
            return True
    return False


def unlink_if_older(path: Path, before: float) -> bool:
    """Delete a file that was last written or touched before a time, in seconds since the epoch."""
    aside = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}")
    try:
        if regular_file(path).st_mtime >= before:
            return False
        path.rename(aside)  # whoever writes the key now writes another file
        with aside.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_mtime < before:
                aside.unlink()
                return True
            with suppress(FileExistsError):  # touched or written since we looked: it goes back, unless there is a newer
                os.link(aside, path)
            aside.unlink()
    except FileNotFoundError:
        pass  # somebody else has deleted it
    return False
