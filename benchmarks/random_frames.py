"""Frames from anywhere in a video, frames/s: one at a time, and 30 spread over the video, against torchcodec.

Warm: the video is open, and its packets (ours) or the file (torchcodec) have been read before. Both are asked for the
same frame numbers. A sample is compared pixel by pixel; a single frame that differs is reported in the table.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

import dreamlake as dl
from benchmarks.bench import CORES, Bench, torch_decoder
from benchmarks.measure import RATE, Contender, Row, compare, interleave
from benchmarks.media import BIG

__all__ = ["measure"]

BATCH = 30
OURS = "ours"
TORCH, TORCH_CORES = "torchcodec", f"torchcodec, {CORES} threads"
GOALS = {  # one frame, a batch
    "1080p H.264": (1.3, 1.2),
    "480p H.264": (1.3, 1.8),
    "480p AV1": (1.0, 1.8),
    "720p real": (1.0, 1.2),
}


def measure(bench: Bench) -> list[Row]:
    """All videos; the quick run has fewer peers, and no batches from the large one."""
    return [row for name, path in bench.media.all().items() for row in _measure(bench, name, path)]


def _measure(bench: Bench, name: str, path: Path) -> list[Row]:
    video = dl.load_video(bench.uploaded(path))
    chance = random.Random(7)
    singles = [chance.randrange(len(video)) for _ in range(bench.pick(8, 5))]
    step = len(video) // BATCH
    batches = [range(at, at + step * BATCH, step) for at in chance.sample(range(step), 1)]
    single_goal, batch_goal = GOALS[name]

    decoders = {TORCH: _opened(path, 1)}
    if not bench.quick:
        decoders[TORCH_CORES] = _opened(path, CORES)
    one_by_one = [Contender(OURS, lambda: [video[number].numpy().shape for number in singles])]
    in_batches = [Contender(OURS, lambda: [_batch(video, batch).shape for batch in batches])]
    for peer, decoder in decoders.items():
        one_by_one.append(Contender(peer, (lambda d=decoder: _singles(d, singles)) if decoder else None))
        in_batches.append(Contender(peer, (lambda d=decoder: _batches(d, batches)) if decoder else None))
    works = [("one random frame", one_by_one, len(singles), single_goal)]
    if not (bench.quick and name == BIG.name):
        works.append((f"batch of {BATCH}", in_batches, BATCH * len(batches), batch_goal))
    rows = []
    for work, contenders, count, goal in works:
        seconds = interleave(contenders, bench.pick(4, 2))
        rows += [
            compare(f"{work}, {name}", RATE, count, seconds, OURS, peer, goal=goal if peer == TORCH else None)
            for peer in decoders
        ]
    return [*rows, _compare_pixels(name, video, decoders[TORCH], sorted({*singles, *batches[0]})[:: bench.pick(1, 4)])]


def _batch(video: dl.Video, numbers: range) -> np.ndarray:
    return video[numbers.start : numbers.stop : numbers.step].numpy()


def _opened(path: Path, threads: int) -> Any:
    decoder = torch_decoder()
    return decoder and decoder(path, dimension_order="NHWC", num_ffmpeg_threads=threads, device="cpu")


def _singles(decoder: Any, numbers: list[int]) -> None:
    for number in numbers:
        decoder.get_frame_at(number).data.numpy()


def _batches(decoder: Any, batches: list[range]) -> None:
    for batch in batches:
        decoder.get_frames_at(list(batch)).data.numpy()


def _compare_pixels(name: str, video: dl.Video, decoder: Any, numbers: list[int]) -> Row:
    work = f"frames that differ, {name}"
    if decoder is None:
        return Row(work, "?", "torchcodec: not installed", better="lower", goal="0")
    differ, most = 0, 0
    for number in numbers:
        mine, theirs = video[number].numpy(), decoder.get_frame_at(number).data.numpy()
        if not np.array_equal(mine, theirs):
            differ += 1
            most = max(most, int(np.abs(mine.astype(int) - theirs).max()))
    found = f"{differ} of {len(numbers)}" + (f", by up to {most}" if differ else "")
    return Row(work, found, "torchcodec", better="lower", goal="0", met=not differ)
