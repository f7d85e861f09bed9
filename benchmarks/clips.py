"""The first frame of each of 300 chunks as one tensor, frames/s: ``clips[:, 0].tensor()``, against torchcodec.

torchcodec has to be asked frame by frame, as one writes it first, and the frames are stacked. Once the chunks are short
and lie next to each other, and once they are spread over twenty minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dreamlake as dl
from benchmarks.bench import Bench, torch_reader
from benchmarks.measure import RATE, Contender, Row, compare, interleave
from benchmarks.media import LONG, SMALL, Recipe

__all__ = ["measure"]

CHUNKS = 300
OURS, BY_NUMBER, BY_TIME = "ours", "torchcodec, get_frame_at", "torchcodec, get_frame_played_at"
GOAL = 2.0


def measure(bench: Bench) -> list[Row]:
    """Short chunks, and long ones that begin somewhere between two key frames; the quick run has the short ones."""
    spread = [] if bench.quick else _measure(bench, LONG, 1.3, 3.99)
    return [*_measure(bench, SMALL, 0.0, 0.2), *spread]


def _measure(bench: Bench, recipe: Recipe, begin: float, length: float) -> list[Row]:
    import torch

    path = bench.media.path(recipe)
    video = dl.load_video(bench.uploaded(path))
    decoder = torch_reader(path)
    clips = video[begin : begin + CHUNKS * length].chunk(length)
    assert len(clips) == CHUNKS
    stamps = np.concatenate([clip.timestamps[:1] for clip in clips])
    numbers = np.searchsorted(video.timestamps, stamps).tolist()
    times = (stamps + 0.5 / video.fps).tolist()  # while the frame is on display, whatever is rounded

    def loop(one_frame: Any, keys: list[Any]) -> Any:
        return torch.stack([one_frame(key).data for key in keys])

    contenders = [
        Contender(OURS, lambda: clips[:, 0].tensor()),
        Contender(BY_NUMBER, decoder and (lambda: loop(decoder.get_frame_at, numbers))),
        Contender(BY_TIME, decoder and (lambda: loop(decoder.get_frame_played_at, times))),
    ]
    if bench.quick:
        contenders.pop()
    work = f"{CHUNKS} chunks of {length:g} s, {recipe.name}"
    rows = []
    if decoder:  # which warms both up
        differ = (clips[:, 0].tensor() != loop(decoder.get_frame_at, numbers)).flatten(1).any(1).sum().item()
        found, what = f"{differ} of {CHUNKS}", f"frames that differ, {work}"
        rows.append(Row(what, found, BY_NUMBER, better="lower", goal="0", met=not differ))
    seconds = interleave(contenders, bench.pick(3, 1), warmup=0)
    return [
        *(compare(f"[:, 0] of {work}", RATE, CHUNKS, seconds, OURS, peer.name, GOAL) for peer in contenders[1:]),
        *rows,
    ]
