"""Frames from anywhere in a video, frames/s: one at a time, and 30 at once, against torchcodec and decord.

Warm: the video is open, and its packets (ours) or the file (peers) have been read before. All are asked for the same
frame numbers, those of a batch in no order. A sample is compared pixel by pixel with torchcodec's; a single frame that
differs is reported in the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dreamlake as dl
from benchmarks.bench import CORES, Bench, decord_reader, torch_reader
from benchmarks.measure import RATE, Contender, Row, compare, interleave
from benchmarks.media import BIG

__all__ = ["measure"]

BATCH = 30
OURS = "ours"
TORCH, TORCH_CORES, DECORD = "torchcodec", f"torchcodec, {CORES} threads", "decord"
GOALS = {  # one frame, a batch; half of the packets of the made H.264 are droppable
    "1080p H.264": (1.3, 1.2),
    "480p H.264": (1.3, 1.8),
    "480p AV1": (1.0, 1.8),
    "720p real": (1.0, 1.2),
}


def measure(bench: Bench) -> list[Row]:
    """All videos."""
    return [row for name, path in bench.media.all().items() for row in _measure(bench, name, path)]


def _measure(bench: Bench, name: str, path: Path) -> list[Row]:
    video = dl.load_video(bench.uploaded(path))
    single_goal, batch_goal = GOALS[name]
    big = name == BIG.name
    brief = bench.quick and big
    chance = random.Random(7)
    singles = [chance.randrange(len(video)) for _ in range(3 if brief else bench.pick(8, 5))]
    # A batch from all of the large video takes torchcodec ten seconds: the quick run takes it from two GOPs.
    batch = chance.sample(range(2 * BIG.gop if brief else len(video)), BATCH)

    reference = torch_reader(path)
    peers: dict[str, tuple[Any, Callable[[Any, int], Any], Callable[[Any, list[int]], Any]]] = {
        TORCH: (reference, _torch_frame, _torch_batch),
    }
    if not brief:
        peers[DECORD] = decord_reader(path), _decord_frame, _decord_batch
    if not bench.quick:
        peers[TORCH_CORES] = torch_reader(path, CORES), _torch_frame, _torch_batch
    one_by_one = [Contender(OURS, lambda: [video[number].numpy().shape for number in singles])]
    in_batches = [Contender(OURS, lambda: video[batch].numpy())]
    for peer, (reader, frame, frames) in peers.items():
        missing = reader is None
        one_by_one.append(
            Contender(peer, None if missing else lambda r=reader, f=frame: [f(r, number).shape for number in singles])
        )
        in_batches.append(Contender(peer, None if missing else lambda r=reader, f=frames: f(r, batch)))
    pixels = _compare_pixels(name, video, reference, sorted({*singles, *batch})[:: bench.pick(1, 4)])
    rows = []
    for work, contenders, count, goal in (
        ("one random frame", one_by_one, len(singles), single_goal),
        (f"batch of {BATCH}", in_batches, BATCH, batch_goal),
    ):
        seconds = interleave(contenders, 1 if brief else 3 if big else bench.pick(4, 2), warmup=0 if big else 1)
        rows += [
            compare(f"{work}, {name}", RATE, count, seconds, OURS, peer, goal=goal if peer == TORCH else None)
            for peer in peers
        ]
    return [*rows, pixels]


def _torch_frame(decoder: Any, number: int) -> Any:
    return decoder.get_frame_at(number).data.numpy()


def _torch_batch(decoder: Any, numbers: list[int]) -> Any:
    return decoder.get_frames_at(numbers).data.numpy()


def _decord_frame(reader: Any, number: int) -> Any:
    return reader[number].asnumpy()


def _decord_batch(reader: Any, numbers: list[int]) -> Any:
    return reader.get_batch(numbers).asnumpy()


def _compare_pixels(name: str, video: dl.Video, decoder: Any, numbers: list[int]) -> Row:
    work = f"frames that differ, {name}"
    if decoder is None:
        return Row(work, "?", "torchcodec: not installed", better="lower", goal="0")
    differ, most = 0, 0
    for mine, theirs in zip(video[numbers].numpy(), _torch_batch(decoder, numbers), strict=True):
        if not np.array_equal(mine, theirs):
            differ += 1
            most = max(most, int(np.abs(mine.astype(int) - theirs).max()))
    for number in numbers[::4]:  # one by one they take another way through our code
        differ += not np.array_equal(video[number].numpy(), _torch_frame(decoder, number))
    found = f"{differ} of {len(numbers) + len(numbers[::4])}" + (f", by up to {most}" if differ else "")
    return Row(work, found, "torchcodec", better="lower", goal="0", met=not differ)
