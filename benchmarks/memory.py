"""Memory, MB: whether it grows over thousands of reads and opened videos, and its peak over a long 1080p video.

Each in a process of its own with an embedded lake. Before the first look the caches are filled, with a frame of every
segment of a video that is larger than they are; from then on nothing may add to them.
"""

from __future__ import annotations

import gc
import json
import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dreamlake as dl
from benchmarks.bench import Bench
from benchmarks.measure import Row
from benchmarks.media import BIG, LONG, TINY, lasting

__all__ = ["measure", "peak"]

GROWTH = 1.05
PEAK = 400  # MB
UPLOADS = 8  # at once
STATUS = Path("/proc/self/status")  # not on macOS


def measure(bench: Bench) -> list[Row]:
    """Reads, opened videos, and a video that is read to its end."""
    reads, opened, minutes = bench.pick(10_000, 600), bench.pick(1000, 40), 60 if bench.hour else 10
    big = BIG if bench.quick else lasting(BIG, minutes)
    video, long = bench.uploaded(bench.media.path(LONG)), bench.uploaded(bench.media.path(big))
    tiny = _many(bench.media.path(TINY), opened + opened // 10)
    dl.close()
    warm, after, few, all_opened = _child(bench.lake, "grow", reads, [video, *tiny])
    frames, peak = _child(bench.lake, "iterate", bench.pick(minutes * 60 * 30, 600), [long])
    growths = (
        (f"RSS after {reads:,} random frames", warm, after, f"after {reads // 5:,}, caches full"),
        (f"RSS after {opened:,} videos opened", few, all_opened, f"after {opened // 10:,}"),
    )
    rows = [
        Row(
            work,
            f"{now:.0f} MB",
            f"{what}: {before:.0f} MB",
            f"{now / before:.2f}",
            better="lower",
            goal=f"≤ {GROWTH:g}",
            met=now / before <= GROWTH,
        )
        for work, before, now, what in growths
    ]
    what = f"peak RSS of iterator(), {frames:,.0f} frames of 1080p"
    return [*rows, Row(what, f"{peak:.0f} MB", "", better="lower", goal=f"< {PEAK} MB", met=peak < PEAK)]


def _many(path: Path, count: int) -> list[str]:
    """The ids of so many videos; their bytes are the same, and their indexes and packets are not shared."""

    def upload(number: int) -> str:
        video = dl.upload(path, path=f"many/{number}.mp4", progress=False)
        assert video.id is not None
        return video.id

    with ThreadPoolExecutor(UPLOADS) as pool:
        return list(pool.map(upload, range(count)))


def _child(lake: Path, work: str, count: int, ids: Sequence[str]) -> list[float]:
    arguments = json.dumps([str(lake), work, count, *ids])
    command = [sys.executable, "-m", "benchmarks.memory"]
    answer = subprocess.run(command, input=arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    numbers: list[float] = json.loads(answer)
    return numbers


def _grow(count: int, ids: Sequence[str]) -> list[float]:
    video, chance = dl.load_video(ids[0]), random.Random(11)
    firsts = list(range(0, len(video), 60))  # a frame of each segment
    chance.shuffle(firsts)
    found = []
    # Soon after key frames, so that reading is what is repeated thousands of times, and not decoding.
    near = [number for number in range(len(video)) if number % LONG.gop < 4]
    for numbers in (firsts, chance.choices(near, k=count // 5), chance.choices(near, k=count)):
        for number in numbers:
            video[number].numpy()
        found.append(_resident())
    warm, others = (len(ids) - 1) // 11, ids[1:]
    for some in (others[:warm], others[warm:]):
        for one in some:
            dl.load_video(one)[7].numpy()
        found.append(_resident())
    return found[1:]


def _iterate(most: int, video_id: str) -> list[float]:
    count = 0
    for _ in dl.load_video(video_id)[:most].iterator():
        count += 1
    return [count, peak()]


def _resident() -> float:
    """MB of memory that this process has now."""
    gc.collect()
    if not STATUS.exists():
        command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) * 1024 / 1e6
    return _status("VmRSS")


def peak() -> float:
    """MB of memory that this process had at most."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return _status("VmHWM")  # ru_maxrss begins with the memory of the process that started this one


def _status(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _main() -> None:
    lake, work, count, *ids = json.load(sys.stdin)
    dl.connect(data=lake)
    print(json.dumps(_grow(count, ids) if work == "grow" else _iterate(count, ids[0])))
    dl.close()


if __name__ == "__main__":
    _main()
