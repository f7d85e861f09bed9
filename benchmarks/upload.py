"""Upload of a large file, MB/s: into an embedded and a served lake, against copying it.

Only the transfer is measured, with ``wait=False``: the file is a short clip filled up with bytes that players skip, so
its processing takes no time, and is waited for between the rounds. The honest floor is a copy that ends on the disk
(fsync) and whose bytes were hashed once: every lake that names files by content must do that much. Some of the
filling is overwritten before each run, so that no lake knows the file already.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path

import dreamlake as dl
from benchmarks.bench import Bench, served
from benchmarks.measure import MEGABYTES, Contender, Row, compare, interleave
from benchmarks.media import SMALL, pad

__all__ = ["measure"]

BLOCK = 1 << 20
COPY = "copy + fsync"
HASHED_COPY = "hash + copy + fsync"


def measure(bench: Bench) -> list[Row]:
    """Four contenders over one file."""
    size = bench.pick(500, 40) * 1_000_000
    path, target = bench.folder / "large.mp4", bench.folder / "copy"
    filling = pad(bench.media.path(SMALL), path, size)
    fresh = partial(_overwrite, path, filling)
    with ExitStack() as lakes:
        contenders = []
        for name, data in (("embedded", bench.folder / "upload-embedded"), ("served", bench.folder / "upload-served")):
            url = lakes.enter_context(served(data)) if name == "served" else None
            lake = _Lake(data, url, path)
            contenders.append(Contender(name, lake.upload, lambda lake=lake: (fresh(), lake.connect()), lake.tidy))
        for name, hashed in ((COPY, False), (HASHED_COPY, True)):
            contenders.append(Contender(name, partial(_copy, path, target, hashed), fresh, target.unlink))
        seconds = interleave(contenders, bench.pick(3, 2))
    path.unlink()
    return [
        compare(f"upload, {lake} lake", MEGABYTES, size, seconds, lake, peer)
        for lake in ("embedded", "served")
        for peer in (COPY, HASHED_COPY)
    ]


class _Lake:
    """A lake that takes the file, and forgets it again."""

    def __init__(self, data: Path, url: str | None, path: Path) -> None:
        self._data = data
        self._url = url
        self._path = path
        self._video: dl.Video | None = None

    def connect(self) -> None:
        dl.connect(self._url, data=None if self._url else self._data)

    def upload(self) -> None:
        self._video = dl.upload(self._path, wait=False, progress=False)

    def tidy(self) -> None:
        """Wait for the processing, and take the large file away: many of them fill a disk."""
        assert self._video is not None
        self._video.load()
        large = self._path.stat().st_size // 2
        for path in self._data.rglob("*"):
            if path.is_file() and path.stat().st_size > large:
                path.unlink()


def _overwrite(path: Path, filling: range) -> None:
    """Make other content of a file, and let the disk come to rest."""
    with path.open("r+b") as file:
        for at in filling[:: len(filling) // 16]:
            file.seek(at)
            file.write(os.urandom(1))
    os.sync()


def _copy(source: Path, target: Path, hashed: bool) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        if hashed:
            digest = sha256()
            while block := reader.read(BLOCK):
                digest.update(block)
                writer.write(block)
        else:
            shutil.copyfileobj(reader, writer, BLOCK)
        writer.flush()
        os.fsync(writer.fileno())
