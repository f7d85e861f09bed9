"""Sound: a second from anywhere and all of it in blocks, against soundfile on a local file; memory over hours of it.

soundfile reads samples out of a WAV as they lie there, without decoding, from this machine's disk; ours come out of a
lake, as FLAC. Against soundfile on a FLAC both decode. Every slice is compared with soundfile's, sample by sample.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np

import dreamlake as dl
from benchmarks.bench import Bench
from benchmarks.measure import Contender, Row, Unit, compare, interleave

__all__ = ["measure"]

OURS, PEER = "ours", "soundfile"
SLICES = Unit("slices/s", "higher")
SPEED = Unit("x real time", "higher")
RATE = 48_000
HZ16 = 16_000
PEAK = 300  # MB
GOALS = {".flac": (0.8, 0.8), ".wav": (None, None)}  # a slice, all of it


def measure(bench: Bench) -> list[Row]:
    """Slices, all of a recording, and the memory that hours of it take."""
    seconds = bench.pick(600, 120)
    rows: list[Row] = []
    for suffix in GOALS:
        path = _made(bench.folder / f"sound{suffix}", seconds)
        rows += _measure(bench, path, seconds)
    hours = bench.pick(3, 1)
    long = _made(bench.folder / "long.wav", hours * 3600, channels=1, rate=HZ16)
    identity = _uploaded(bench, long).id
    dl.close()
    blocks, peak = _child(bench.lake, str(identity))
    what = f"peak RSS of iterator(), {hours} h of 16 kHz, {blocks:,.0f} blocks"
    rows.append(Row(what, f"{peak:.0f} MB", "", better="lower", goal=f"< {PEAK} MB", met=peak < PEAK))
    return rows


def _measure(bench: Bench, path: Path, seconds: int) -> list[Row]:
    audio, read = _uploaded(bench, path), _reader(path)
    chance = random.Random(7)
    starts = [chance.randrange((seconds - 1) * RATE) for _ in range(bench.pick(60, 20))]
    kind = path.suffix[1:].upper()
    slice_goal, all_goal = GOALS[path.suffix]
    slices = interleave(
        [
            Contender(OURS, lambda: [audio[start : start + RATE].numpy().shape for start in starts]),
            Contender(PEER, None if read is None else lambda: [read(start, start + RATE).shape for start in starts]),
        ],
        bench.pick(7, 3),
    )
    whole = interleave(
        [
            Contender(OURS, lambda: sum(len(block) for block in audio.iterator(10.0))),
            Contender(PEER, None if read is None else lambda: _all(read, seconds)),
        ],
        bench.pick(4, 2),
    )
    rows = [
        compare(f"one second from anywhere, {kind}", SLICES, len(starts), slices, OURS, PEER, goal=slice_goal),
        compare(f"all of {seconds // 60} min, {kind}", SPEED, seconds, whole, OURS, PEER, goal=all_goal),
    ]
    if read is not None:
        differ = sum(not np.array_equal(audio[at : at + RATE].numpy(), read(at, at + RATE)) for at in starts)
        found = f"{differ} of {len(starts)}"
        rows.append(Row(f"slices that differ, {kind}", found, PEER, better="lower", goal="0", met=not differ))
    return rows


def _uploaded(bench: Bench, path: Path) -> dl.Audio:
    dl.connect(data=bench.lake)
    audio = dl.upload(path, progress=False)
    assert isinstance(audio, dl.Audio)
    return audio


def _made(path: Path, seconds: int, channels: int = 2, rate: int = RATE) -> Path:
    """Tones in noise, written a second at a time."""
    time = np.arange(rate) / rate
    noise = np.random.default_rng(1).standard_normal((rate, channels)) * 0.02
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("flac" if path.suffix == ".flac" else "pcm_s16le", rate=rate, layout=layout)
        context = stream.codec_context
        context.format = "s16"
        context.open()
        resampler = av.AudioResampler("s16", layout, rate, frame_size=context.frame_size or 4096)
        for second in range(seconds):
            tone = 0.4 * np.sin(2 * np.pi * (200 + second % 97 * 7) * time)[:, None] + np.roll(
                noise, second * 31, axis=0
            )
            samples = (tone * 32_767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate = rate
            for piece in resampler.resample(frame):
                output.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def _reader(path: Path) -> Callable[[int, int], Any] | None:
    """Reads samples of a file that stays open, as (N, C) float32."""
    if find_spec("soundfile") is None:
        return None
    import soundfile

    file = soundfile.SoundFile(str(path))

    def read(start: int, stop: int) -> Any:
        file.seek(start)
        return file.read(stop - start, dtype="float32", always_2d=True)

    return read


def _all(read: Callable[[int, int], Any], seconds: int) -> int:
    return sum(len(read(at * RATE, (at + 10) * RATE)) for at in range(0, seconds, 10))


def _child(lake: Path, identity: str) -> tuple[float, float]:
    """Iterate in a process of its own: how many blocks, and its peak of memory in MB."""
    command = [sys.executable, "-m", "benchmarks.audio", str(lake), identity]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    blocks, peak = json.loads(done.stdout)
    return float(blocks), float(peak)


if __name__ == "__main__":
    dl.connect(data=sys.argv[1])
    sound: Any = dl.load(sys.argv[2])
    count = sum(1 for _ in sound.iterator(1.0))
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps([count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6]))
