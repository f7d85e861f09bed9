"""Reading on from the start, frames/s as RGB arrays: ``iterator()`` and ``numpy()`` in clips of 5 s.

Against PyAV as one writes it first, PyAV with one scaler kept and the decoder's threads on, and torchcodec with one
thread (its default) and with one for each core. Everything is opened beforehand, and read before: ours has its packets
in memory then, and the peers have the file in the system's cache.
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
from benchmarks.bench import CORES, Bench, torch_decoder
from benchmarks.measure import RATE, Contender, Row, compare, interleave

__all__ = ["measure"]

CLIP_SECONDS = 5.0
ITERATOR, CLIPS = "iterator", "clips"
PLAIN, TUNED = "PyAV", "PyAV, scaler kept, threads"
TORCH, TORCH_CORES = "torchcodec", f"torchcodec, {CORES} threads"
GOAL = 1.2


def measure(bench: Bench) -> list[Row]:
    """All videos; the quick run has H.264 alone."""
    rows = []
    for name, path in bench.media.all().items():
        if bench.quick and not name.endswith("H.264"):
            continue
        big = name.startswith("1080p")
        rows += _measure(bench, name, path, bench.pick(300 if big else 450, 150))
    return rows


def _measure(bench: Bench, name: str, path: Path, most: int) -> list[Row]:
    video = dl.load_video(bench.uploaded(path))
    count = min(most, len(video))
    clip = video[:count]
    decoders = {TORCH: _opened(path, 1), TORCH_CORES: _opened(path, CORES)}
    contenders = [
        Contender(ITERATOR, lambda: _drain(clip.iterator())),
        Contender(CLIPS, lambda: [clip[at : at + CLIP_SECONDS].numpy().shape for at in _starts(clip.duration)]),
        Contender(PLAIN, partial(_plain, path, count)),
        Contender(TUNED, partial(_tuned, path, count)),
    ]
    contenders += [
        Contender(peer, partial(_torch, decoder, count, round(video.fps * CLIP_SECONDS)) if decoder else None)
        for peer, decoder in decoders.items()
    ]
    seconds = interleave(contenders, bench.pick(4, 2))
    rows = []
    for ours, peers in ((ITERATOR, (PLAIN, TUNED, TORCH, TORCH_CORES)), (CLIPS, (TORCH, TORCH_CORES))):
        work = f"{ours if ours == ITERATOR else 'numpy, clips of 5 s'}, {name}"
        rows += [
            compare(work, RATE, count, seconds, ours, peer, goal=GOAL if peer == TORCH else None) for peer in peers
        ]
    return rows


def _starts(duration: float) -> list[float]:
    return np.arange(0.0, duration - 0.01, CLIP_SECONDS).tolist()


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


def _opened(path: Path, threads: int) -> Any:
    decoder = torch_decoder()
    return decoder and decoder(path, dimension_order="NHWC", num_ffmpeg_threads=threads, device="cpu")


def _torch(decoder: Any, count: int, size: int) -> None:
    for at in range(0, count, size):
        decoder.get_frames_in_range(at, min(at + size, count)).data.numpy()
