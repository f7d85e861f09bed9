"""What was fetched, on this machine's disk, so that a second epoch or another process fetches nothing.

Any number of processes may use the folder at once: files appear whole under their final name, and one that another
process has removed is just not there. What is read is checked against its hash by the reader, so nothing is synced.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from dreamlake.config import cache_bytes, home

__all__ = ["DiskCache", "chunks", "scans"]

KEPT = 0.9  # of the bound, once it is reached: so that not every new file looks through the folder


class DiskCache:
    """A folder of files that is kept below a bound; those that were used last stay.

    Args:
        folder: made when it is first needed.
        max_bytes: of all files together; with 0 nothing is kept.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._room: int | None = None  # bytes that can be written before the folder is looked through again
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """The content of a file, if it is there; it is now the last to go."""
        if not self._max_bytes:
            return None
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a file, and let go of those that have not been used for longest. A full disk is no error."""
        if len(data) > self._max_bytes:
            return
        path = self._path(name)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                try:
                    file.write(data)
                    file.close()
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink()
                    raise
        with self._lock:
            if self._room is not None:
                self._room -= len(data)
            if self._room is None or self._room < 0:
                # Other processes fill the same folder: none takes all the room that is left for itself.
                self._room = min(self._max_bytes - self._shrink(), int(self._max_bytes * (1 - KEPT) / 2))

    def discard(self, name: str) -> None:
        """Remove a file that turned out to be damaged."""
        with suppress(OSError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _shrink(self) -> int:
        """Remove the files used least recently until the rest is below the bound; returns the rest's bytes."""
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.rglob("*"):
            with suppress(OSError):
                stat = path.stat()
                if S_ISREG(stat.st_mode):
                    found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self._max_bytes:
            return total
        for _, size, path in sorted(found):
            if total <= self._max_bytes * KEPT:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        return total


def chunks() -> DiskCache:
    """The segments of remote lakes, in ``~/.dreamlake/cache/chunks``, up to ``DREAMLAKE_CACHE_BYTES`` (10 GB)."""
    return _cache("chunks", cache_bytes())


def scans() -> DiskCache:
    """What scans of remote files found, in ``~/.dreamlake/cache/scans``: up to a tenth of what segments may take."""
    return _cache("scans", cache_bytes() // 10)


def _cache(name: str, max_bytes: int) -> DiskCache:
    key = (home() / "cache" / name, max_bytes)
    with _lock:
        if key not in _caches:
            _caches[key] = DiskCache(*key)
        return _caches[key]


_caches: dict[tuple[Path, int], DiskCache] = {}
_lock = threading.Lock()


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    _caches.clear()  # their locks may be held by threads that a forked child does not have


os.register_at_fork(after_in_child=_start_anew)
