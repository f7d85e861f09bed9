"""Reading on from the start, frames/s as RGB arrays: ``iterator()``, ``numpy()`` of 5 s, and frame by frame.

Against PyAV as one writes it first, PyAV with one scaler kept and the decoder's threads on, and torchcodec with one
thread (its default) and with one for each core. ``numpy()`` once with memory of its own each time, and once with
``out=``. Frame by frame is ``for frame in video: frame.numpy()``, against ``decoder[i]``. Everything is opened
beforehand, and read before: ours has its packets in memory then, and the peers have the file in the system's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

import dreamlake as dl
from benchmarks.bench import CORES, Bench, torch_reader
from benchmarks.measure import RATE, Contender, Row, compare, interleave
from benchmarks.media import BIG

__all__ = ["measure"]

CLIP_SECONDS = 5.0
ITERATOR, CLIPS, OUT, STEPS = "iterator", "numpy, clips of 5 s", "numpy(out=), clips of 5 s", "frame by frame"
PLAIN, TUNED = "PyAV", "PyAV, scaler kept, threads"
TORCH, TORCH_CORES, TORCH_STEPS = "torchcodec", f"torchcodec, {CORES} threads", "torchcodec, decoder[i]"
PEERS = {ITERATOR: (PLAIN, TUNED, TORCH, TORCH_CORES), CLIPS: (TORCH, TORCH_CORES), OUT: (TORCH, CLIPS)}
# Plain PyAV 18.1 uses all cores too, so that twice its rate is out of reach on two of them.
GOALS = {(ITERATOR, TORCH): 1.2, (ITERATOR, PLAIN): 2.0}


def measure(bench: Bench) -> list[Row]:
    """All videos; the quick run has H.264 alone."""
    rows = []
    for name, path in bench.media.all().items():
        if bench.quick and not name.endswith("H.264"):
            continue
        big = name == BIG.name
        rows += _measure(bench, name, path, bench.pick(300 if big else 450, 90 if big else 150))
        if big:
            rows += _step(bench, name, path, bench.pick(250, 60))
    return rows


def _measure(bench: Bench, name: str, path: Path, most: int) -> list[Row]:
    video = dl.load_video(bench.uploaded(path))
    count = min(most, len(video))
    clip, size = video[:count], round(video.fps * CLIP_SECONDS)
    out = np.empty((min(size, count), video.height, video.width, 3), np.uint8)
    decoders = {TORCH: torch_reader(path), TORCH_CORES: torch_reader(path, CORES)}
    contenders = [
        Contender(ITERATOR, lambda: _drain(clip.iterator())),
        Contender(CLIPS, lambda: [clip[at : at + size].numpy().shape for at in range(0, count, size)]),
        Contender(OUT, lambda: [_fill(clip[at : at + size], out) for at in range(0, count, size)]),
        Contender(PLAIN, partial(_plain, path, count)),
        Contender(TUNED, partial(_tuned, path, count)),
    ]
    contenders += [
        Contender(peer, partial(_torch, decoder, count, size) if decoder else None)
        for peer, decoder in decoders.items()
    ]
    seconds = interleave(contenders, bench.pick(4, 2))
    return [
        compare(f"{ours}, {name}", RATE, count, seconds, ours, peer, GOALS.get((ours, peer)))
        for ours, peers in PEERS.items()
        for peer in peers
    ]


def _step(bench: Bench, name: str, path: Path, count: int) -> list[Row]:
    clip, decoder = dl.load_video(bench.uploaded(path))[:count], torch_reader(path)
    contenders = [
        Contender(STEPS, lambda: [frame.numpy().shape for frame in clip]),
        Contender(TORCH_STEPS, decoder and (lambda: [decoder[number].numpy().shape for number in range(count)])),
    ]
    seconds = interleave(contenders, bench.pick(3, 1))
    return [compare(f"{STEPS}, {name}", RATE, count, seconds, STEPS, TORCH_STEPS)]


def _fill(clip: dl.Video, out: np.ndarray) -> None:
    clip.numpy(out=out[: len(clip)])


def _drain(frames: Iterator[Any]) -> None:
    for _ in frames:
        pass


def _plain(path: Path, count: int) -> None:
    with av.open(str(path)) as container:
        for frame in islice(container.decode(video=0), count):
            frame.to_ndarray(format="rgb24")


def _tuned(path: Path, count: int) -> None:
    scaler = VideoReformatter()

    def scaled(frame: VideoFrame) -> VideoFrame:
        return scaler.reformat(frame, format="rgb24", threads=1)

    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in islice(container.decode(video=0), count):
            scaled(frame).to_ndarray()


def _torch(decoder: Any, count: int, size: int) -> None:
    for at in range(0, count, size):
        decoder.get_frames_in_range(at, min(at + size, count)).data.numpy()
