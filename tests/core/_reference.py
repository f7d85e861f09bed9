"""The rules of `Selection` said slowly: exact fractions, plain lists, one frame after the other.

And what Hypothesis draws for it: videos, clips of them, and keys that land near the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dreamlake.core.selection import Selection
from dreamlake.core.timeline import SNAP, Timeline
from dreamlake.errors import UsageError

NTSC = Fraction(30_000, 1001)
FILM = Fraction(24_000, 1001)

Video = tuple[list[Fraction], Fraction]


def timeline_of(times: list[Fraction], end: Fraction) -> Timeline:
    return Timeline(np.array([float(time) for time in times]), float(end))


def whole(timeline: Timeline) -> Selection:
    return Selection.whole(len(timeline), timeline.end)


def constant(fps: Fraction | int, frames: int) -> Video:
    return [Fraction(frame) / fps for frame in range(frames)], Fraction(frames) / fps


@dataclass
class Clip:
    """What `Selection` promises, with exact numbers."""

    frames: list[int]
    st: Fraction
    et: Fraction

    @property
    def in_time(self) -> bool:
        return all(one <= other for one, other in pairwise(self.frames))


class Ambiguous(Exception):
    """A bound so near the edge of the tolerance that rounding may decide."""


@dataclass
class Reference:
    times: list[Fraction]
    end: Fraction

    def whole(self) -> Clip:
        return Clip(list(range(len(self.times))), Fraction(0), self.end)

    def select(self, clip: Clip, key: Any) -> Clip:
        if isinstance(key, float):
            return self.clip_of([self.on_display(clip, self.absolute(clip, key))])
        if isinstance(key, int):
            return self.clip_of([clip.frames[key]])
        if isinstance(key, list):
            return self.several(clip, key)
        if any(isinstance(bound, float) for bound in (key.start, key.stop, key.step)):
            inside = self.between(clip, key.start, key.stop)
            return inside if key.step is None else self.every(clip, inside, Fraction(key.step))
        frames = clip.frames[key]
        if len(frames) == len(clip.frames) and (key.step is None or key.step > 0 or len(frames) == 1):
            return clip  # nothing left out: as in Python, clip[:] is the clip
        return self.clip_of(frames) if frames else Clip([], clip.st, clip.st)

    def several(self, clip: Clip, key: list[Any]) -> Clip:
        if key and isinstance(key[0], bool):
            frames = [frame for frame, wanted in zip(clip.frames, key, strict=True) if wanted]
        elif key and isinstance(key[0], float):
            frames = [self.on_display(clip, self.absolute(clip, seconds)) for seconds in key]
        else:
            frames = [clip.frames[number] for number in key]
        return self.clip_of(frames) if frames else Clip([], clip.st, clip.st)

    def every(self, clip: Clip, inside: Clip, step: Fraction) -> Clip:
        """What of a clip is on display at st, st + step, … of a part of it, as long as that lasts."""
        if not inside.frames:
            return inside
        frames = [self.on_display(clip, inside.st)]
        while before(at := inside.st + len(frames) * step, inside.et):
            frames.append(self.on_display(clip, at))
        return Clip(frames, inside.st, inside.et)

    def clip_of(self, frames: list[int]) -> Clip:
        return Clip(frames, self.times[min(frames)], [*self.times[1:], self.end][max(frames)])

    def absolute(self, clip: Clip, seconds: float) -> Fraction:
        """Seconds of the video; what is below zero, and not by rounding alone, counts from the end."""
        if before(Fraction(seconds), Fraction(0)):
            return clip.et + Fraction(seconds)
        return clip.st + max(Fraction(seconds), Fraction(0))

    def is_over(self, clip: Clip, at: Fraction) -> bool:
        """Whether the clip has ended; one of no length is not over where it begins."""
        return not before(at, clip.et) and before(clip.st, at)

    def on_display(self, clip: Clip, at: Fraction) -> int:
        if not clip.frames or before(at, clip.st) or self.is_over(clip, at):
            raise IndexError
        if not clip.in_time:
            raise UsageError
        shown = [frame for frame in clip.frames if not before(at, self.times[frame])]
        return shown[-1] if shown else clip.frames[0]

    def between(self, clip: Clip, start: float | None, stop: float | None) -> Clip:
        if not clip.in_time:
            raise UsageError
        st, et = (
            default if bound is None else min(max(self.absolute(clip, bound), clip.st), clip.et)
            for bound, default in ((start, clip.st), (stop, clip.et))
        )
        if not clip.frames or self.is_over(clip, st) or before(et, st):
            return Clip([], st, st)
        inside = [frame for frame in clip.frames if not before(self.times[frame], st) and before(self.times[frame], et)]
        return Clip(inside or [self.on_display(clip, st)], st, max(st, et))

    def chunks(self, clip: Clip, seconds: Fraction) -> list[Clip]:
        """Every frame in the chunk that it begins in; a chunk with none is left to the one before it."""
        cuts: dict[int, int] = {}  # the number of each chunk, and its first frame
        for position, frame in enumerate(clip.frames):
            number = 0
            while not before(self.times[frame], clip.st + (number + 1) * seconds):
                number += 1
            cuts.setdefault(number, position)
        return self.cut(clip, list(cuts.values()), [clip.st + number * seconds for number in cuts])

    def key_chunks(self, clip: Clip, seconds: Fraction, keys: list[int]) -> list[Clip]:
        """A cut at each key frame that is the nearest one to some multiple of the seconds.

        Args:
            keys: which frames of the video are key frames.
        """
        first: dict[int, int] = {}
        for position, frame in enumerate(clip.frames):
            if frame in keys:
                first.setdefault(frame, position)
        cuts, number = {0}, 1
        while first and before(at := clip.st + number * seconds, clip.et):
            cuts.add(first[self.nearest(list(first), at)])
            number += 1
        positions = sorted(cuts)
        return self.cut(clip, positions, [self.times[clip.frames[position]] for position in positions])

    def nearest(self, frames: list[int], at: Fraction) -> int:
        """The frame that begins nearest to a time, the later one of two that are equally near."""
        best = frames[0]
        for frame in frames[1:]:
            if not before(abs(self.times[best] - at) / 2, abs(self.times[frame] - at) / 2):
                best = frame
        return best

    def cut(self, clip: Clip, positions: list[int], starts: list[Fraction]) -> list[Clip]:
        starts = [clip.st, *starts[1:], clip.et]
        return [
            Clip(clip.frames[first:end], st, et)
            for (first, end), (st, et) in zip(
                pairwise([*positions, len(clip.frames)]), pairwise(starts), strict=True
            )
        ]  # fmt: skip


def before(one: Fraction, other: Fraction) -> bool:
    """Whether one time is before another; equal to a nanosecond is equal."""
    gap = other - one
    if abs(abs(gap) - Fraction(SNAP)) < Fraction(1, 10**10):
        raise Ambiguous
    return gap > Fraction(SNAP)


# -- what to try it on


rates = st.sampled_from([NTSC, Fraction(25), Fraction(1000), FILM, Fraction(30)])
cfr = st.builds(constant, rates, st.integers(1, 40))


@st.composite
def variable(draw: st.DrawFn) -> Video:
    gaps = draw(st.lists(st.one_of(st.integers(90, 9000), st.integers(90, 10**8)), min_size=1, max_size=30))
    *times, end = [Fraction(int(ticks), 90_000) for ticks in np.cumsum([0, *gaps])]
    return times, end


videos = st.one_of(cfr, variable())
OFFSETS = [0.0, 1e-16, -1e-16, 1e-13, -1e-13, 4e-10, -4e-10, 3e-9, -3e-9, 1e-6, -1e-6, 1e-3, -1e-3]


def lengths(reference: Reference, clip: Clip) -> st.SearchStrategy[float]:
    """Seconds of a step or a chunk: some multiple of a frame, some part of the clip, or anything."""
    whole = float(clip.et - clip.st) or 1.0
    frames = [float(end - begin) for begin, end in pairwise([*reference.times, reference.end])]
    parts = st.builds(lambda count, offset: whole / count + offset, st.integers(1, 40), st.sampled_from(OFFSETS))
    multiples = st.builds(lambda frame, count: frame * count, st.sampled_from(frames), st.integers(1, 5))
    least = max(whole / 80, 1e-8)
    return st.one_of(parts, multiples, st.floats(least, 2 * whole + 1)).filter(lambda seconds: seconds >= least)


@st.composite
def keys(draw: st.DrawFn, reference: Reference, clip: Clip) -> Any:
    """An index, a slice or a list, in frames or in seconds; times are near some frame of the video, or anywhere."""
    count, end = len(clip.frames), float(reference.end)
    moments = st.sampled_from([*map(float, reference.times), end, float(clip.st), float(clip.et)])
    origins = st.sampled_from([float(clip.st), float(clip.et)])
    near = st.builds(
        lambda moment, origin, offset: moment - origin + offset, moments, origins, st.sampled_from(OFFSETS)
    )
    seconds = st.one_of(near, near, st.floats(-end - 1, end + 1))
    frame = st.integers(-count - 2, count + 2)
    inside = st.integers(-count, count - 1) if count else frame
    steps = st.sampled_from([None, 1, 2, 3, 7, -1, -2])
    frames = st.builds(slice, frame, st.one_of(st.none(), frame), steps)
    lists = st.one_of(
        st.lists(inside, max_size=8),
        st.lists(inside, max_size=8).map(sorted),
        st.lists(frame, max_size=3),
        st.lists(st.booleans(), min_size=count, max_size=count),
    )
    if not clip.in_time:
        return draw(st.one_of(frame, frames, frames, lists, seconds))
    forward = lengths(reference, clip)
    bounds = st.one_of(st.none(), seconds)
    times = st.one_of(st.builds(slice, seconds, bounds), st.builds(slice, st.none(), seconds))
    stepped = st.builds(slice, bounds, bounds, forward)
    instants = st.lists(st.floats(0, float(clip.et - clip.st)), max_size=5)
    return draw(
        st.one_of(frame, frames, seconds, times, times, lists, stepped, instants, st.lists(seconds, max_size=3))
    )


def as_drawn(key: Any, form: str) -> Any:
    """A list as a list, or as an array of numpy."""
    return np.array(key) if form == "array" and isinstance(key, list) and key else key
