"""Seconds and frames: which frames an int, a float or a slice names, and what range of time they cover.

``float`` means seconds, ``int`` means a frame, both relative to the clip in hand (seed 1, "Indexing"). Time 0.0 is
the start of the first displayed frame. Times are compared as float64 with a nanosecond of tolerance: below the
tick of any real time base, above the rounding of float64 at a day's length, so ``video[clip.st]`` is exact.
"""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamlake.errors import FrameIndexError, UsageError

__all__ = ["SNAP", "Selection", "Timeline"]

SNAP = 1e-9  # seconds


class Timeline:
    """When each displayed frame begins, and when the last one ends.

    Args:
        times: (N,) float64 seconds, increasing, the first 0.0.
        end: seconds at which the last frame ends.
    """

    def __init__(self, times: NDArray[np.float64], end: float) -> None:
        self.times = times
        self.end = end

    def __len__(self) -> int:
        return len(self.times)

    def end_of(self, frame: int) -> float:
        """When the frame leaves the display, in seconds."""
        return float(self.times[frame + 1]) if frame + 1 < len(self.times) else self.end

    def whole(self) -> Selection:
        """All frames."""
        return Selection(range(len(self.times)), 0.0, self.end)


@dataclass(frozen=True)
class Selection:
    """A lazy choice of frames: their numbers in the video, and the range of time they stand for.

    Attributes:
        frames: frame numbers of the whole video.
        st: seconds of the video at which the clip begins.
        et: seconds of the video at which the clip ends.
    """

    frames: range
    st: float
    et: float

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, timeline: Timeline, key: Any) -> Selection:
        """What ``clip[key]`` names.

        Args:
            timeline: of the whole video.
            key: an int (frame), a float (seconds) or a slice of either, relative to this clip. Negative numbers
                count from the end. Frame slices follow Python; a time slice holds the frames that begin in
                [st, et), and at least the one on display at st.

        Raises:
            FrameIndexError: an index outside of the clip; slices are clamped instead.
            UsageError: not a number, not finite, or a slice that mixes seconds and frames.
        """
        if isinstance(key, slice):
            bounds = [_number(bound) for bound in (key.start, key.stop, key.step)]
            if any(isinstance(bound, float) for bound in bounds):
                return self._time_slice(timeline, *bounds)
            if bounds[2] == 0:
                raise UsageError("a slice with a step of 0 goes nowhere")
            frames = self.frames[key]
            return self if frames == self.frames else self._of(timeline, frames)
        number = _number(key)
        if isinstance(number, float):
            return self._of(timeline, self._on_display(timeline, number))
        if number is None:
            raise UsageError("a clip is indexed by a frame (int), a time (float) or a slice, not None")
        if not -len(self) <= number < len(self):
            raise FrameIndexError(f"frame {number} is outside of a clip of {len(self)} frames")
        frame = self.frames[number]
        return self._of(timeline, range(frame, frame + 1))

    def _of(self, timeline: Timeline, frames: range) -> Selection:
        if not frames:
            return Selection(frames, self.st, self.st)
        low, high = min(frames[0], frames[-1]), max(frames[0], frames[-1])
        return Selection(frames, float(timeline.times[low]), timeline.end_of(high))

    def _on_display(self, timeline: Timeline, seconds: float) -> range:
        length = self.et - self.st
        at = seconds + length if seconds < -SNAP else seconds  # a difference of times may miss 0.0 by a little
        position = self._position(timeline, self.st + at, side="right") - 1
        inside = at >= -SNAP and (self.st + at < self.et - SNAP or at <= SNAP)
        if not (inside and len(self)):
            raise FrameIndexError(f"{seconds} s is outside of a clip of {length:.6g} s")
        frame = self.frames[max(position, 0)]
        return range(frame, frame + 1)

    def _time_slice(self, timeline: Timeline, start: float | None, stop: float | None, step: Any) -> Selection:
        if step is not None:
            raise UsageError("a time slice has no step yet; slice the frames instead, such as clip[10.0:20.0][::15]")
        if isinstance(start, int) or isinstance(stop, int):
            raise UsageError("a slice is in seconds or in frames, not in both: write 2.0 instead of 2 for seconds")
        st, et = (self._clamp(bound, default) for bound, default in ((start, self.st), (stop, self.et)))
        if et < st - SNAP or (st >= self.et - SNAP and st > self.st + SNAP) or not len(self):
            return Selection(self.frames[:0], st, st)
        et = max(st, et)  # bounds that are equal but for rounding
        first = self._position(timeline, st, side="left")
        last = self._position(timeline, et, side="left")
        if last <= first:
            first = max(self._position(timeline, st, side="right") - 1, 0)
            last = first + 1
        return Selection(self.frames[first:last], st, et)

    def _clamp(self, bound: float | None, default: float) -> float:
        if bound is None:
            return default
        at = self.et + bound if bound < -SNAP else self.st + bound
        return min(max(at, self.st), self.et)

    def _position(self, timeline: Timeline, at: float, *, side: str) -> int:
        """How many of this clip's frames begin before ``at`` (left), or at or before it (right)."""
        if self.frames.step < 0:
            raise UsageError("a reversed clip has no time of its own; index it by frames")
        times = timeline.times[self.frames.start : self.frames.stop : self.frames.step]
        return int(np.searchsorted(times, at - SNAP if side == "left" else at + SNAP, side="left"))


def _number(value: Any) -> int | float | None:
    """An int, a float or None from any kind of number; numpy's and torch's scalars included."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        raise UsageError("True and False are not frame numbers")
    if hasattr(value, "__index__"):
        with suppress(TypeError):  # torch's float scalars have the method, and refuse
            return operator.index(value)
    try:
        seconds = float(value) if hasattr(value, "__float__") else math.nan
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UsageError(f"a clip is indexed by a frame (int), a time (float) or a slice, not {value!r}")
    return seconds
