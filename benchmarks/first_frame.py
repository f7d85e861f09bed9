"""From an id to the first frame, ms: ``dl.load_video(id)[0].numpy()`` in a warm process, against torchcodec.

Once with nothing of the video in this process, and once with its packets still there from an earlier reader.
torchcodec opens the file with ``seek_mode="exact"``, which is the promise that ours makes too.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import dreamlake as dl
from benchmarks.bench import Bench, torch_decoder
from benchmarks.measure import MILLISECONDS, Contender, Row, compare, interleave

__all__ = ["measure"]

COLD, WARM, TORCH = "cold", "warm", "torchcodec"


def measure(bench: Bench) -> list[Row]:
    """All videos."""
    return [row for name, path in bench.media.all().items() for row in _measure(bench, name, path)]


def _measure(bench: Bench, name: str, path: Path) -> list[Row]:
    video_id = bench.uploaded(path)
    decoder = torch_decoder()
    contenders = [
        Contender(COLD, partial(_ours, video_id), _forget),
        Contender(WARM, partial(_ours, video_id)),
        Contender(TORCH, partial(_torch, decoder, path) if decoder else None),
    ]
    seconds = interleave(contenders, bench.pick(25, 7), warmup=2)
    return [
        compare(f"first frame, {what}, {name}", MILLISECONDS, 1, seconds, ours, TORCH)
        for ours, what in ((COLD, "nothing cached"), (WARM, "packets cached"))
    ]


def _ours(video_id: str) -> None:
    dl.load_video(video_id)[0].numpy()


def _torch(decoder: Any, path: Path) -> None:
    decoder(path, seek_mode="exact", dimension_order="NHWC")[0].numpy()


def _forget() -> None:
    from dreamlake.media import cache

    cache.segments._forget()
