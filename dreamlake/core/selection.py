"""Which frames an int, a float, a slice or a list names, and what range of time they stand for.

``float`` means seconds, ``int`` means a frame, both relative to the clip in hand (seed 1, "Indexing").
"""

from __future__ import annotations

import math
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.numbers import number_of
from dreamlake.core.timeline import SNAP, Timeline
from dreamlake.errors import FrameIndexError, UsageError

__all__ = ["Selection", "as_index", "positions_of"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_SAMPLES = 10_000_000  # a slip such as clip[::1e-9] shall be an error and not fill the memory
MAX_INT = 2**63 - 1
HOW = "a clip is indexed by a frame (int), a time (float), a slice or a list of either"


@dataclass(frozen=True, eq=False)
class Selection:
    """A lazy choice of frames: their numbers in the video, and the range of time they stand for.

    Attributes:
        frames: frame numbers of the whole video: a range where they are one, otherwise an array.
        st: seconds of the video at which the clip begins.
        et: seconds of the video at which the clip ends.
    """

    frames: range | Ints
    st: float
    et: float

    @classmethod
    def whole(cls, frames: int, duration: float) -> Selection:
        """All frames of a video that is ``duration`` seconds long."""
        return cls(range(frames), 0.0, duration)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def numbers(self) -> Ints:
        """(N,) the frame numbers as an array."""
        frames = self.frames
        return np.arange(frames.start, frames.stop, frames.step) if isinstance(frames, range) else frames

    @property
    def contiguous(self) -> bool:
        """Whether it holds every frame from its first to its last, so that st and et describe it."""
        return isinstance(self.frames, range) and self.frames.step == 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selection) or (self.st, self.et) != (other.st, other.et):
            return NotImplemented if not isinstance(other, Selection) else False
        if isinstance(self.frames, range) or isinstance(other.frames, range):
            return type(self.frames) is type(other.frames) and bool(self.frames == other.frames)
        return np.array_equal(self.frames, other.frames)

    def __hash__(self) -> int:
        frames = self.frames if isinstance(self.frames, range) else self.frames.tobytes()
        return hash((frames, self.st, self.et))

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.frames, range):
            return Selection, (self.frames, self.st, self.et)
        # Differences repeat: every half second of an hour takes some hundred bytes.
        packed = zlib.compress(np.diff(self.frames, prepend=0).astype("<i8").tobytes())
        return _unpack, (packed, self.st, self.et)

    # -- indexing ------------------------------------------------------------------------------------------------------

    def select(self, timeline: Timeline, key: Any) -> Selection:
        """What ``clip[key]`` names.

        Args:
            timeline: of the whole video.
            key: an int (frame), a float (seconds), a slice of either, a list or array of either, or one boolean for
                each frame; relative to this clip. Negative numbers count from the end. Frame slices follow Python; a
                time slice holds the frames that begin in [st, et), and at least the one on display at st. A time
                slice with a step holds the frame on display at st, st + step, … before et.

        Raises:
            FrameIndexError: an index outside of the clip; slices are clamped instead.
            UsageError: not a number, not finite, or seconds and frames in one key.
        """
        if isinstance(key, slice):
            return self._slice(timeline, key)
        index = as_index(key, len(self))
        if isinstance(index, float):
            return self._of(timeline, self.frames[self._on_display(timeline, np.array([index]))[0]])
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise FrameIndexError(f"frame {index} is outside of a clip of {len(self)} frames")
            return self._of(timeline, self.frames[index])
        within = self._on_display(timeline, index) if _are_times(index) else _checked(index, len(self))
        return self._of(timeline, self.numbers[within])

    def on_display(self, timeline: Timeline, seconds: Any) -> Selection:
        """The frame on display at each time, whole numbers included: ``played_at(2)`` is two seconds.

        Args:
            timeline: of the whole video.
            seconds: a number, or a list or array of them, relative to this clip.

        Raises:
            FrameIndexError: a time outside of the clip.
            UsageError: not a finite number.
        """
        if isinstance(seconds, list | range):
            return self.select(timeline, np.array([_seconds(item) for item in seconds], np.float64))
        if getattr(seconds, "ndim", None):
            array = _as_array(seconds)
            if array.dtype.kind not in "iuf":
                raise UsageError(f"a time is a number of seconds, not {seconds!r}")
            return self.select(timeline, array.astype(np.float64))
        return self.select(timeline, _seconds(seconds))

    def _slice(self, timeline: Timeline, key: slice) -> Selection:
        bounds: list[Any] = [_number(bound) for bound in (key.start, key.stop, key.step)]
        start, stop, step = bounds
        if any(isinstance(bound, float) for bound in bounds):
            if any(isinstance(bound, int) for bound in bounds):
                raise UsageError("a slice is in seconds or in frames, not in both: write 2.0 instead of 2 for seconds")
            clip = self._time_slice(timeline, start, stop)
            return clip if step is None else clip._every(timeline, float(step), self)
        if step == 0:
            raise UsageError("a slice with a step of 0 goes nowhere")
        frames = self.frames[slice(start, stop, step)]
        whole = len(frames) == len(self) and (step is None or step > 0 or len(self) == 1)
        return self if whole else self._of(timeline, frames)

    def _time_slice(self, timeline: Timeline, start: float | None, stop: float | None) -> Selection:
        times = self._times(timeline)
        st, et = (self._clamp(bound, default) for bound, default in ((start, self.st), (stop, self.et)))
        if et < st - SNAP or (st >= self.et - SNAP and st > self.st + SNAP) or not len(self):
            return Selection(range(0), st, st)
        et = max(st, et)  # bounds that are equal but for rounding
        first, last = np.searchsorted(times, [st - SNAP, et - SNAP]).tolist()
        if last <= first:
            first = max(int(np.searchsorted(times, st + SNAP)) - 1, 0)
            last = first + 1
        return Selection(_compact(self.frames[first:last]), st, et)

    def _every(self, timeline: Timeline, step: float, parent: Selection) -> Selection:
        """The frames of ``parent`` that are on display every ``step`` seconds of this clip."""
        if step <= 0:
            raise UsageError(f"a step in seconds goes forward, not {step:g}; clip[::-1] turns frames around")
        count = (self.et - self.st - SNAP) / step
        if count > MAX_SAMPLES:
            raise UsageError(f"every {step:g} s of {self.et - self.st:.6g} s are {count:,.0f} frames; that is a slip")
        if not len(self):
            return self
        at = self.st - parent.st + np.arange(max(math.ceil(count), 1), dtype=np.float64) * step
        inside = parent.st + at < self.et - SNAP  # where the last one is as near to the end as numbers round
        inside[0] = True
        within = parent._on_display(timeline, at[inside])
        return Selection(_compact(parent.numbers[within]), self.st, self.et)

    def _on_display(self, timeline: Timeline, seconds: Floats) -> Ints:
        """Which of this clip's frames are on display at these times, relative to the clip."""
        length = self.et - self.st
        at = np.where(seconds < -SNAP, seconds + length, seconds)  # a difference of times may miss 0.0 by a little
        outside = (at < -SNAP) | ((self.st + at >= self.et - SNAP) & (at > SNAP))
        if outside.any() or not len(self):
            bad = seconds[outside][0] if outside.any() else seconds[0] if len(seconds) else 0.0
            if len(seconds):
                raise FrameIndexError(f"{float(bad)} s is outside of a clip of {length:.6g} s")
        within: Ints = np.searchsorted(self._times(timeline), self.st + at + SNAP) - 1
        return np.maximum(within, 0)

    def _times(self, timeline: Timeline) -> Floats:
        """When this clip's frames begin, in seconds of the video."""
        frames = self.frames
        if isinstance(frames, range) and frames.step > 0:
            return timeline.times[frames.start : frames.stop : frames.step]
        if isinstance(frames, range) or bool((np.diff(frames) < 0).any()):
            raise UsageError("a reversed or shuffled clip has no time of its own; index it by frames")
        return timeline.times[frames]

    def _clamp(self, bound: float | None, default: float) -> float:
        if bound is None:
            return default
        at = self.et + bound if bound < -SNAP else self.st + bound
        return min(max(at, self.st), self.et)

    def _of(self, timeline: Timeline, frames: Any) -> Selection:
        """These frames, with the range of time from the first to show to the end of the last."""
        if isinstance(frames, int | np.integer):
            frames = range(int(frames), int(frames) + 1)
        frames = _compact(frames)
        if not len(frames):
            return Selection(range(0), self.st, self.st)
        if isinstance(frames, range):
            low, high = min(frames[0], frames[-1]), max(frames[0], frames[-1])
        else:
            low, high = int(frames.min()), int(frames.max())
        return Selection(frames, float(timeline.times[low]), timeline.end_of(high))

    # -- chunks --------------------------------------------------------------------------------------------------------

    def chunks(self, timeline: Timeline, seconds: float) -> list[Selection]:
        """Tile the clip: a chunk begins every ``seconds``, and every frame is in the one that it begins in.

        A chunk in which no frame begins is not made: the one before it goes on until the next.

        Raises:
            UsageError: not a positive number, or a clip whose frames do not follow each other in time.
        """
        seconds = _positive(seconds)
        if not len(self):
            return []
        times = self._times(timeline)
        numbers = np.maximum(np.floor((times - self.st + SNAP) / seconds), 0)
        firsts = np.flatnonzero(np.diff(numbers, prepend=-1.0))
        return self._cut(firsts, self.st + numbers[firsts] * seconds)

    def key_chunks(self, timeline: Timeline, seconds: float, keys: Ints) -> list[Selection]:
        """Tile the clip as ``chunks`` does, each cut moved to the key frame that is nearest in time.

        Args:
            timeline: of the whole video.
            seconds: from one cut to the next, before they are moved.
            keys: (K,) which of this clip's frames are key frames.

        Raises:
            UsageError: as ``chunks``.
        """
        seconds = _positive(seconds)
        if not len(self):
            return []
        times = self._times(timeline)
        if not len(keys):
            return [self]
        keys = keys[np.unique(times[keys], return_index=True)[1]]  # of a frame that is repeated the first
        at = times[keys] - self.st
        # A key frame is a cut where one of the cuts falls nearer to it than to its neighbours.
        between = np.concatenate([[0.0], (at[1:] + at[:-1]) / 2, [self.et - self.st]])
        cuts = np.ceil((between - SNAP) / seconds)  # the number of the first cut at or after
        nearest = np.maximum(cuts[:-1], 1) < cuts[1:]
        firsts = keys[nearest & (keys > 0)]
        return self._cut(np.concatenate([[0], firsts]), np.concatenate([[self.st], times[firsts]]))

    def _cut(self, firsts: Ints, starts: Floats) -> list[Selection]:
        """Chunks that begin with these frames of the clip, at these times of the video."""
        ends = [*firsts[1:].tolist(), len(self)]
        times = [self.st, *starts[1:].tolist(), self.et]
        return [
            Selection(_compact(self.frames[first:end]), st, et)
            for first, end, st, et in zip(firsts.tolist(), ends, times[:-1], times[1:], strict=True)
        ]


def as_index(key: Any, length: int) -> int | float | Ints | Floats:
    """A key that is no slice, as a number or as an array of numbers.

    Args:
        key: an int, a float, a list or array of either, or of ``length`` booleans; numpy's and torch's included.
        length: of what is indexed.

    Raises:
        UsageError: anything else.
    """
    if isinstance(key, list | range):
        if key and all(isinstance(item, bool | np.bool_) for item in key):
            return _array(np.array(key), key, length)
        numbers = [_number(item) for item in key]
        if None in numbers or len({type(number) for number in numbers}) > 1:
            raise UsageError(f"{HOW}, not both in one list" if None not in numbers else f"{HOW}, not None")
        if numbers and isinstance(numbers[0], float):
            return np.array(numbers, np.float64)
        return _frame_numbers(np.array(numbers, object))
    if getattr(key, "ndim", None):
        return _array(_as_array(key), key, length)
    number = _number(key)
    if number is None:
        raise UsageError(f"{HOW}, not None")
    return number


def positions_of(key: Any, length: int, what: str) -> range | Ints | int:
    """Which of ``length`` things a key without times names: a position for an int, else several of them.

    Args:
        key: an int, a slice, a list or array of ints, or of ``length`` booleans.
        length: how many there are.
        what: they are, for the message.

    Raises:
        FrameIndexError: outside.
        UsageError: anything else.
    """
    if isinstance(key, slice):
        bounds: list[Any] = [_number(bound) for bound in (key.start, key.stop, key.step)]
        if any(isinstance(bound, float) for bound in bounds) or bounds[2] == 0:
            raise UsageError(f"{what}s are sliced by whole numbers, not {key!r}")
        return range(length)[slice(*bounds)]
    index = as_index(key, length)
    if isinstance(index, float) or (isinstance(index, np.ndarray) and _are_times(index)):
        raise UsageError(f"{what}s are counted in whole numbers, not {key!r}")
    within = _checked(np.array([index]) if isinstance(index, int) else index, length, what)
    return int(within[0]) if isinstance(index, int) else within


def _are_times(index: Ints | Floats) -> TypeGuard[Floats]:
    return index.dtype == np.float64


def _array(array: NDArray[Any], key: Any, length: int) -> Ints | Floats:
    if array.ndim == 1:
        if array.dtype == np.bool_:
            if len(array) != length:
                raise UsageError(f"a mask of {len(array)} for a length of {length}")
            return np.flatnonzero(array)
        if array.dtype.kind in "iu":
            return _frame_numbers(array)
        if array.dtype.kind == "f" and bool(np.isfinite(array).all()):
            return array.astype(np.float64)
    raise UsageError(f"{HOW}, not {key!r}")


def _as_array(key: Any) -> NDArray[Any]:
    """numpy's and torch's arrays as numpy's."""
    try:
        return np.asarray(key.detach() if hasattr(key, "detach") else key)
    except (RuntimeError, TypeError) as error:  # a type that numpy has not, or another device
        raise UsageError(f"{HOW}, not {type(key).__name__} ({error})") from None


def _frame_numbers(array: NDArray[Any]) -> Ints:
    """Whole numbers as int64, and as objects where one does not fit: it is outside of any clip, and shall be named."""
    fits = not len(array) or (array.min() >= -MAX_INT and array.max() <= MAX_INT)
    return array.astype(np.int64 if fits else object)


def _checked(index: NDArray[Any], length: int, what: str = "frame") -> Ints:
    """Positions counted from the start, or an error that names the first one outside."""
    outside = (index < -length) | (index >= length)
    if outside.any():
        whole = "a clip of" if what == "frame" else "an array of"
        raise FrameIndexError(f"{what} {index[outside][0]} is outside of {whole} {length} {what}s")
    return np.where(index < 0, index + length, index).astype(np.int64)


def _compact(frames: range | Ints) -> range | Ints:
    """Evenly spaced frames as a range: smaller, and equal to the same frames asked for in another way."""
    if not len(frames):
        return range(0)
    if isinstance(frames, range):
        return range(frames[0], frames[0] + 1) if len(frames) == 1 else frames
    first = int(frames[0])
    if len(frames) == 1:
        return range(first, first + 1)
    step = int(frames[1]) - first
    if step and bool((np.diff(frames) == step).all()):
        return range(first, int(frames[-1]) + (1 if step > 0 else -1), step)
    return frames


def _unpack(packed: bytes, st: float, et: float) -> Selection:
    return Selection(np.cumsum(np.frombuffer(zlib.decompress(packed), "<i8"), dtype=np.int64), st, et)


def _positive(seconds: Any) -> float:
    with suppress(UsageError):
        length = _seconds(seconds)
        if length > SNAP:
            return length
    raise UsageError(f"a chunk is more than {SNAP:g} seconds long, not {seconds!r}")


def _seconds(value: Any) -> float:
    number = _number(value)
    if number is None or abs(number) > sys.float_info.max:
        raise UsageError(f"a time is a number of seconds, not {value!r}")
    return float(number)


def _number(value: Any) -> int | float | None:
    return number_of(value, "frame", HOW)
