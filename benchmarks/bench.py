"""What every benchmark is given: videos, lakes in folders of the run, and how thorough to be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dreamlake as dl
from benchmarks.media import Media

__all__ = ["CORES", "Bench", "decord_reader", "forget", "served", "torch_decoder", "torch_reader"]

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Bench:
    """One run of benchmarks.

    Attributes:
        folder: of this run; all that is written goes there, and it is removed at the end.
        quick: fewer rounds over less material.
        hour: the memory of reading on is measured over an hour.
        media: the videos.
    """

    folder: Path
    quick: bool
    hour: bool
    media: Media
    _ids: dict[Path, str] = field(default_factory=dict)

    def pick(self, full: int, quick: int) -> int:
        """One of two numbers."""
        return quick if self.quick else full

    @property
    def lake(self) -> Path:
        """The folder of the embedded lake."""
        return self.folder / "lake"

    def uploaded(self, path: Path) -> str:
        """The id of a video in the embedded lake, which is in use from now on."""
        dl.connect(data=self.lake)
        if path not in self._ids:
            video = dl.upload(path, progress=False)
            assert video.id is not None
            self._ids[path] = video.id
        return self._ids[path]


@contextmanager
def served(data: Path, *options: str) -> Iterator[str]:
    """A lake that ``dreamlake serve`` serves in a process of its own, with more options of it; gives its URL."""
    command = [sys.executable, "-m", "dreamlake.cli", "serve", "--port", "0", "--data", str(data), *options]
    data.parent.mkdir(parents=True, exist_ok=True)
    with (
        data.with_suffix(".log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"at (http://\S+)", line)
            if found is None:
                raise RuntimeError(f"dreamlake serve did not begin: {line or data.with_suffix('.log').read_text()}")
            yield found[1]
        finally:
            process.terminate()


def torch_decoder() -> Any:
    """torchcodec's VideoDecoder; None where it is not installed, or lacks its FFmpeg libraries."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):
        return None
    return VideoDecoder


def torch_reader(path: Path, threads: int = 1) -> Any:
    """A file that torchcodec has opened in its exact mode; None without torchcodec."""
    decoder = torch_decoder()
    if decoder is None:
        return None
    return decoder(path, dimension_order="NHWC", num_ffmpeg_threads=threads, device="cpu", seek_mode="exact")


def decord_reader(path: Path) -> Any:
    """A file that decord has opened, with as many threads as it likes; None where it is not installed."""
    try:
        import decord
    except (ImportError, OSError, RuntimeError):
        return None
    return decord.VideoReader(str(path))


def forget() -> None:
    """Let go of all packets in memory: what is read next is fetched."""
    from dreamlake.media import cache

    cache.segments._forget()
