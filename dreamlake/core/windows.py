"""Which windows of time an entry of a track belongs to, and which windows a question about a track needs (seed 3).

An entry belongs to a window if ``ts < windowEnd and ts + dt > windowStart``; one without a duration, which that rule
would put nowhere, to the one that it begins in. Windows are numbered by ``start / length``, also below zero.

An entry that lasts long would be repeated in every window, and few of them could make a track of any size. So one that
spans more than ``SPAN`` windows of 30 s is kept in windows of 600 s instead, or of 12,000 s, and so on: each length has
a stream of its own. What is stored is at most ``SPAN + 1`` times the file, and a question still needs few windows.

All of it holds for numbers and for arrays of them alike, and is exact: both know ``//`` without a rounding error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.playlist import Playlist

__all__ = [
    "SPAN", "WINDOW", "chunks_between", "counts", "on_clip", "overlaps", "place", "window_length", "windows_of",
]  # fmt: skip

WINDOW = 30  # seconds
SPAN = 20  # windows of one length that an entry may be in

N = TypeVar("N", float, NDArray[np.float64])


def window_length(level: int) -> int:
    """The length of the windows of a stream, seconds; the first level has those of seed 3."""
    return int(WINDOW * SPAN**level)


def _first(ts: N, length: int) -> N:
    """The number of the window in which an entry begins."""
    return ts // length


def _last(ts: N, end: N, length: int) -> N:
    """The number of the last window that an entry belongs to."""
    larger: Any = np.maximum if isinstance(ts, np.ndarray) else max
    last: N = larger(-(-end // length) - 1, ts // length)
    return last


def place(
    ts: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The stream of each entry, and its first and last window there.

    Args:
        ts: (N,) when they begin, seconds.
        end: (N,) when they end.
    """
    first = _first(ts, WINDOW).astype(np.int64)
    last = _last(ts, end, WINDOW).astype(np.int64)
    level = np.zeros(len(ts), np.int64)
    long = np.flatnonzero(last - first >= SPAN)
    while len(long):
        level[long] += 1
        length = window_length(int(level[long[0]]))
        first[long] = _first(ts[long], length)
        last[long] = _last(ts[long], end[long], length)
        long = long[last[long] - first[long] >= SPAN]
    return level, first, last


def overlaps(ts: float, end: float, start: float, stop: float) -> bool:
    """Whether an entry lies, in part at least, between two times."""
    return ts < stop and (end > start or ts >= start)


def _between(start: float, stop: float, length: int) -> tuple[float, float]:
    """The numbers of the first and the last window in which entries between two times can be; both may be infinite."""
    first = start // length if np.isfinite(start) else start
    last = -(-stop // length) - 1 if np.isfinite(stop) else stop
    return first, max(first, last)


def windows_of(playlist: Playlist) -> Iterator[tuple[int, int]]:
    """The segments of a track's playlist that hold entries: the number of each, and that of its window."""
    length = playlist.window or WINDOW
    at = playlist.start
    for number, duration in enumerate(playlist.durations):
        if number not in playlist.gaps:
            yield number, at // length
        at += round(duration)


def chunks_between(playlist: Playlist, start: float, stop: float) -> list[tuple[int, int]]:
    """The segments in which there can be entries between two times, which may be infinite: numbers, and windows."""
    first, last = _between(start, stop, playlist.window or WINDOW)
    return [(number, window) for number, window in windows_of(playlist) if first <= window <= last]


def counts(ts: float, end: float, window: int, length: int, start: float, stop: float) -> bool:
    """Whether an entry that was found in a window is one between two times, and is not found in an earlier one too.

    Args:
        ts: when it begins, seconds.
        end: when it ends.
        window: the number of the window whose chunk it is in.
        length: of the windows, seconds.
        start: seconds; entries that hold until later are between the two.
        stop: seconds; entries that begin before are.
    """
    # Of the windows that it is in, the first of those that are read.
    first, _ = _between(start, stop, length)
    return max(_first(ts, length), first) == window and overlaps(ts, end, start, stop)


def on_clip(entry: dict[str, Any], st: float, numbers: NDArray[np.int64]) -> dict[str, Any]:
    """An entry as a clip sees it.

    Args:
        entry: with its times in seconds, and its frames, of the whole video.
        st: when the clip begins, seconds.
        numbers: (N,) the frames that the clip consists of, increasing.

    Returns:
        The entry with ``ts`` relative to the clip, below zero where it began before; ``fs`` and ``fe`` are the first
        and the last frame of the clip that it covers, and are left out where there is none.
    """
    seen = {**entry, "ts": entry["ts"] - st}
    first, last = seen.pop("fs", None), seen.pop("fe", None)
    begin = 0 if first is None else int(np.searchsorted(numbers, first))
    end = len(numbers) - 1 if last is None else int(np.searchsorted(numbers, last, "right")) - 1
    if begin <= end:
        seen |= {} if first is None else {"fs": begin}
        seen |= {} if last is None else {"fe": end}
    return seen
