"""Splitting a minute of 1080p into segments, ms: dreamlake.media against ``ffmpeg -c copy -f hls``.

Ours walks the file for the exact frame index, copies the packets, reads every segment back and hashes it; ffmpeg only
copies. Both are also compared as whole processes, because an FFmpeg binary starts faster than Python. And the bytes
that are stored, as a multiple of the source's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measure import MILLISECONDS, Contender, Row, compare, interleave
from benchmarks.media import BIG

__all__ = ["measure"]

INSIDE, PROCESS, FFMPEG = "inside", "process", "ffmpeg"
SCRIPT = """
import sys
from pathlib import Path
from dreamlake.media.scan import scan
from dreamlake.media.split import Splitter
path, folder = map(Path, sys.argv[1:])
for _ in Splitter(path, scan(path), folder).segments(): pass
"""


def measure(bench: Bench) -> list[Row]:
    """Ours inside of this process and as one of its own, and ffmpeg."""
    path, folder = bench.media.path(BIG), bench.folder / "segments"
    stored: dict[str, int] = {}

    def contender(name: str, run: Callable[[], object] | None) -> Contender:
        return Contender(name, run, folder.mkdir, lambda: stored.update({name: _clear(folder)}))

    command = _ffmpeg(path, folder)
    contenders = [
        contender(INSIDE, partial(_split, path, folder)),
        contender(PROCESS, partial(_run, [sys.executable, "-c", SCRIPT, str(path), str(folder)])),
        contender(FFMPEG, partial(_run, command) if command else None),
    ]
    seconds = interleave(contenders, bench.pick(9, 3))
    inside = compare("split a minute of 1080p, in process", MILLISECONDS, 1, seconds, INSIDE, FFMPEG, goal=1.3)
    whole = compare("split a minute of 1080p, whole process", MILLISECONDS, 1, seconds, PROCESS, FFMPEG)
    source = path.stat().st_size
    theirs = stored.get(FFMPEG)
    size = Row(
        "bytes stored ÷ bytes of the source",
        f"{stored[INSIDE] / source:.3f}",
        f"ffmpeg: {theirs / source:.3f}" if theirs else "ffmpeg: not installed",
        f"{stored[INSIDE] / theirs:.3f}" if theirs else "",
        better="lower",
    )
    return [inside, whole, size]


def _split(path: Path, folder: Path) -> None:
    from dreamlake.media.scan import scan
    from dreamlake.media.split import Splitter

    for _ in Splitter(path, scan(path), folder).segments():
        pass


def _ffmpeg(path: Path, folder: Path) -> list[str] | None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        return None
    playlist = ["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", str(folder / "stream.m3u8")]
    return [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-c", "copy", *playlist]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)


def _clear(folder: Path) -> int:
    """Remove a folder; the bytes of the segments that were in it."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".m3u8")
    shutil.rmtree(folder)
    return size
