"""A file that is opened where it lies, ms: the walk over its packets, and then a random frame, against torchcodec.

Twenty minutes, as MP4 and as MKV. Both sides walk all packets once, for the promise of exact frames; MKV has no table
of them, so all of the file is read. A file that was opened is asked for frames with nothing of it in memory.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import dreamlake as dl
from benchmarks.bench import Bench, forget, torch_decoder, torch_reader
from benchmarks.measure import MILLISECONDS, Contender, Row, compare, interleave
from benchmarks.media import LONG, LONG_MKV

__all__ = ["measure"]

OURS, TORCH = "ours", "torchcodec"


def measure(bench: Bench) -> list[Row]:
    """Both containers."""
    return [row for recipe in (LONG, LONG_MKV) for row in _measure(bench, recipe.name, bench.media.path(recipe))]


def _measure(bench: Bench, name: str, path: Path) -> list[Row]:
    there = torch_decoder() is not None
    scan = [
        Contender(OURS, lambda: dl.load_video(path)),
        Contender(TORCH, (lambda: torch_reader(path)) if there else None),
    ]
    seconds = interleave(scan, bench.pick(7, 3))
    video, decoder = dl.load_video(path), torch_reader(path)
    numbers = random.Random(3).choices(range(len(video)), k=bench.pick(12, 6))

    def ours() -> None:
        for number in numbers:
            forget()
            video[number].numpy()

    def torch(decoder: Any = decoder) -> None:
        for number in numbers:
            decoder.get_frame_at(number).data.numpy()

    frames = [Contender(OURS, ours), Contender(TORCH, torch if there else None)]
    return [
        compare(f"opening in place, {name}", MILLISECONDS, 1, seconds, OURS, TORCH),
        compare(f"cold random frame in place, {name}", MILLISECONDS, len(numbers), interleave(frames, 3), OURS, TORCH),
    ]
