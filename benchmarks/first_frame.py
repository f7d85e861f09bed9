"""From an id to the first frame, ms: ``dl.load_video(id)[0].numpy()`` in a warm process, against torchcodec.

Once with nothing of the video in this process, and once with its packets still there from an earlier reader.
torchcodec opens the file with ``seek_mode="exact"``, which is the promise that ours makes too.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import dreamlake as dl
from benchmarks.bench import Bench, forget, torch_decoder, torch_reader
from benchmarks.measure import MILLISECONDS, Contender, Row, compare, interleave
from benchmarks.media import LONG

__all__ = ["measure"]

COLD, WARM, TORCH = "cold", "warm", "torchcodec"
GOAL = 0.3  # for the long video; a short one leaves the peer nothing to scan


def measure(bench: Bench) -> list[Row]:
    """All videos, and a long one."""
    videos = {LONG.name: bench.media.path(LONG), **bench.media.all()}
    return [row for name, path in videos.items() for row in _measure(bench, name, path)]


def _measure(bench: Bench, name: str, path: Path) -> list[Row]:
    video_id = bench.uploaded(path)
    contenders = [
        Contender(COLD, partial(_ours, video_id), forget),
        Contender(WARM, partial(_ours, video_id)),
        Contender(TORCH, partial(_torch, path) if torch_decoder() else None),
    ]
    seconds = interleave(contenders, bench.pick(25, 7), warmup=2)
    goal = GOAL if name == LONG.name else None
    return [
        compare(f"first frame, {what}, {name}", MILLISECONDS, 1, seconds, ours, TORCH, goal)
        for ours, what in ((COLD, "nothing cached"), (WARM, "packets cached"))
    ]


def _ours(video_id: str) -> None:
    dl.load_video(video_id)[0].numpy()


def _torch(path: Path) -> None:
    torch_reader(path)[0].numpy()
