"""Where a video is cut: at key frames, about 2-4 s each and not above 8 MB unless one GOP is longer (DESIGN, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.segments import MAX_BYTES, MAX_SECONDS, TARGET_SECONDS, decode_times, plan_segments

from ._helpers import examples

EPSILON = 1e-9


@dataclass(frozen=True)
class Gop:
    seconds: float
    packets: list[int]  # bytes


def plan(gops: list[Gop], begin: float = 0.0) -> list[int]:
    """The cuts, as numbers of GOPs."""
    first_packets = np.cumsum([0, *(len(gop.packets) for gop in gops)])
    times = begin + np.cumsum([0.0, *(gop.seconds for gop in gops)])
    sizes = np.array([size for gop in gops for size in gop.packets], np.int64)
    cuts = plan_segments(first_packets[:-1].astype(np.int64), times[:-1], float(times[-1]), sizes)
    assert cuts.dtype == np.int64
    assert set(cuts.tolist()) <= set(first_packets.tolist()), "a cut that is not at a key frame"
    return [first_packets.tolist().index(cut) for cut in cuts.tolist()]


def test_the_limits_of_the_design() -> None:
    assert (TARGET_SECONDS, MAX_SECONDS, MAX_BYTES) == (2.0, 4.0, 8_000_000)


@pytest.mark.parametrize(
    ("gops", "cuts"),
    [
        # One second each: two make a segment.
        ([Gop(1.0, [10])] * 6, [0, 2, 4, 6]),
        ([Gop(1.0, [10])] * 5, [0, 2, 4, 5]),
        # Half a second each: four.
        ([Gop(0.5, [10])] * 8, [0, 4, 8]),
        # 1.5 s each: two, because one is short of 2 s and two stay below 4 s.
        ([Gop(1.5, [10])] * 4, [0, 2, 4]),
        # A second one would pass 4 s.
        ([Gop(1.9, [10]), Gop(2.2, [10]), Gop(1.0, [10])], [0, 1, 2, 3]),
        # Exactly 4 s and exactly 8 MB are within the limits.
        ([Gop(1.5, [10]), Gop(2.5, [10])], [0, 2]),
        ([Gop(1.0, [4_000_000])] * 2, [0, 2]),
        ([Gop(1.0, [4_000_000]), Gop(1.0, [4_000_001])], [0, 1, 2]),
        # One GOP that is longer or larger is a segment of its own.
        ([Gop(10.0, [10] * 300), Gop(1.0, [10]), Gop(1.0, [10])], [0, 1, 3]),
        ([Gop(1.0, [10]), Gop(10.0, [10]), Gop(1.0, [10])], [0, 1, 2, 3]),
        ([Gop(1.0, [9_000_000, 9_000_000]), Gop(0.5, [1]), Gop(0.5, [1])], [0, 1, 3]),
        # One GOP is all there is.
        ([Gop(600.0, [10] * 18_000)], [0, 1]),
        ([Gop(0.04, [10])], [0, 1]),
    ],
)
def test_where_a_video_is_cut(gops: list[Gop], cuts: list[int]) -> None:
    assert plan(gops) == cuts


lengths = st.one_of(st.floats(0.001, 5.0), st.sampled_from([1 / 30, 0.5, 1.0, 1.001, 2.0, 2.002, 4.0, 8.0]))
packets = st.lists(st.integers(0, 3_000_000), min_size=1, max_size=5)
videos = st.lists(st.builds(Gop, lengths, packets), min_size=1, max_size=25)


def size_of(gops: list[Gop]) -> int:
    return sum(sum(gop.packets) for gop in gops)


def length_of(gops: list[Gop]) -> float:
    return sum(gop.seconds for gop in gops)


@examples(200)
@given(videos, st.floats(0, 100))
def test_any_video_is_cut_at_key_frames_within_the_limits(gops: list[Gop], begin: float) -> None:
    cuts = plan(gops, begin)
    assert cuts[0] == 0
    assert cuts[-1] == len(gops)
    assert cuts == sorted(set(cuts)), "an empty segment"
    segments = [gops[first:last] for first, last in pairwise(cuts)]
    for segment in segments:
        if len(segment) > 1:
            assert length_of(segment) <= MAX_SECONDS + EPSILON
            assert size_of(segment) <= MAX_BYTES
    for segment, after in pairwise(segments):
        # Long enough, or the next GOP would not have fitted.
        longer = [*segment, after[0]]
        assert (
            length_of(segment) >= TARGET_SECONDS - EPSILON
            or length_of(longer) > MAX_SECONDS - EPSILON
            or size_of(longer) > MAX_BYTES
        )


@examples(60)
@given(videos, st.floats(0.001, 3.0))
def test_a_segment_is_decided_by_what_is_before_its_end(gops: list[Gop], more: float) -> None:
    """The cuts of a recording that goes on are those of its beginning: a re-upload shares its chunks."""
    before, after = plan(gops), plan([*gops, Gop(more, [1000])])
    assert after[: len(before) - 1] == before[:-1]


@examples(60)
@given(videos, st.integers(1, 10**6))
def test_the_cuts_do_not_depend_on_when_a_video_begins(gops: list[Gop], begin: int) -> None:
    exact = [Gop(round(gop.seconds * 1024) / 1024 + 1 / 1024, gop.packets) for gop in gops]
    assert plan(exact, float(begin)) == plan(exact)


def test_a_long_recording() -> None:
    cuts = plan([Gop(1.0, [30_000] * 30)] * 3600)
    assert cuts == list(range(0, 3601, 2))


# -- decoding times


@pytest.mark.parametrize(
    ("pts", "dts"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([100, 512, 1024], [100, 512, 1024]),
        # I P B B, shown as I B B P: decoding runs one frame ahead.
        ([0, 3, 1, 2], [-1, 0, 1, 2]),
        # A pyramid: two frames ahead.
        ([0, 4, 2, 1, 3], [-2, -1, 0, 1, 2]),
        # Equal times are a tick apart.
        ([0, 0, 1], [-1, 0, 1]),
        ([7], [7]),
        ([], []),
    ],
)
def test_decoding_times(pts: list[int], dts: list[int]) -> None:
    assert decode_times(np.array(pts, np.int64)).tolist() == dts


@examples(120)
@given(st.lists(st.integers(-(10**12), 10**12) | st.integers(0, 30), min_size=1, max_size=30))
def test_decoding_times_increase_and_are_never_after_the_pts(pts: list[int]) -> None:
    dts = decode_times(np.array(pts, np.int64)).tolist()
    assert all(one < other for one, other in pairwise(dts))
    assert all(decoded <= shown for decoded, shown in zip(dts, pts, strict=True))
    # No earlier than they must be: nothing less would do.
    spread = sorted(pts)
    for at in range(1, len(spread)):
        spread[at] = max(spread[at], spread[at - 1] + 1)
    ahead = max(0, *(time - shown for time, shown in zip(spread, pts, strict=True)))
    assert dts == [time - ahead for time in spread]
