"""Indexing: `float` means seconds, `int` means a frame, both relative to the clip in hand (seed 1).

`_reference.py` says the same rules slowly.
"""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from dreamlake.core.selection import Selection
from dreamlake.core.timeline import SNAP, Timeline
from dreamlake.errors import DreamlakeError, FrameIndexError, UsageError

from ._helpers import examples
from ._reference import (
    NTSC,
    Ambiguous,
    Reference,
    as_drawn,
    constant,
    keys,
    timeline_of,
    videos,
    whole,
)

# The video of the seed: fps 30.0, st 0.0, et 60.0, duration 60.0, frames 1800.
TIMES, END = constant(30, 1800)
TIMELINE = timeline_of(TIMES, END)
VIDEO = whole(TIMELINE)


def select(key: Any, *more: Any) -> Selection:
    """`video[key]`, `video[key][more]`, … of the seed's video."""
    clip = VIDEO.select(TIMELINE, key)
    for one in more:
        clip = clip.select(TIMELINE, one)
    return clip


# -- the examples of the seed


def test_the_video_of_the_seed() -> None:
    assert (VIDEO.st, VIDEO.et, VIDEO.et - VIDEO.st, len(VIDEO), len(TIMELINE)) == (0.0, 60.0, 60.0, 1800, 1800)


def test_an_int_is_a_frame_and_a_float_is_a_time() -> None:
    assert select(0).frames == range(1)
    assert select(42).frames == range(42, 43)
    assert select(42.0).frames == range(1260, 1261)
    assert select(slice(10.0, 20.0)).frames == select(slice(300, 600)).frames == range(300, 600)


def test_a_slice_is_a_clip_with_a_narrower_range() -> None:
    clip = select(slice(10.0, 20.0))
    assert (clip.st, clip.et, clip.et - clip.st, len(clip)) == (10.0, 20.0, 10.0, 300)
    assert select(slice(300, 600)) == clip


def test_indexing_on_a_slice_is_relative_to_the_slice() -> None:
    first = select(slice(10.0, 20.0), 0)
    assert (first.frames, first.st) == (range(300, 301), 10.0)  # at t=10.0, not frame 0 of video
    sub = select(slice(10.0, 20.0), slice(2.0, 5.0))
    assert (sub.st, sub.et) == (12.0, 15.0)
    assert sub.frames == range(360, 450)


def test_200_ms_segments_of_the_seeds_clip() -> None:
    clip = slice(1.2, 2.4)
    chunks = [select(clip, slice(number * 0.200, (number + 1) * 0.200)) for number in range(6)]
    assert [len(chunk) for chunk in chunks] == [6] * 6
    assert [frame for chunk in chunks for frame in chunk.frames] == list(select(clip).frames) == list(range(36, 72))


# -- the rules, one by one


@pytest.mark.parametrize(("key", "frame"), [(-1, 1799), (-1800, 0), (-1.0, 1770), (-60.0, 0), (-0.0, 0), (1799, 1799)])
def test_negative_numbers_count_from_the_end(key: float, frame: int) -> None:
    assert select(key).frames == range(frame, frame + 1)


@pytest.mark.parametrize("key", [1800, -1801, 10**30, -(10**30), 60.0, 60.5, -60.1, 1e300, -1e300, 59.9999999999])
def test_outside_of_the_clip_is_an_index_error(key: float) -> None:
    with pytest.raises(IndexError) as caught:
        select(key)
    assert isinstance(caught.value, FrameIndexError)
    assert isinstance(caught.value, DreamlakeError)
    assert "outside" in str(caught.value)


def test_outside_of_a_slice_is_outside_even_inside_the_video() -> None:
    for key in (300, -301):
        with pytest.raises(FrameIndexError, match=rf"frame {key} is outside of a clip of 300 frames"):
            select(slice(10.0, 20.0), key)
    for key in (10.0, -10.5):
        with pytest.raises(FrameIndexError, match=rf"{key} s is outside of a clip of 10 s"):
            select(slice(10.0, 20.0), key)


@pytest.mark.parametrize(
    ("key", "frames", "st", "et"),
    [
        (slice(50.0, 70.0), range(1500, 1800), 50.0, 60.0),
        (slice(-10.0, None), range(1500, 1800), 50.0, 60.0),
        (slice(-90.0, -50.0), range(300), 0.0, 10.0),
        (slice(None, 10.0), range(300), 0.0, 10.0),
        (slice(1e300, None), range(0), 60.0, 60.0),
        (slice(20.0, 10.0), range(0), 20.0, 20.0),
        (slice(1750, 9999), range(1750, 1800), 1750 / 30, 60.0),
        (slice(-9999, -1790), range(10), 0.0, 10 / 30),
        (slice(600, 300), range(0), 0.0, 0.0),
    ],
)
def test_slices_are_clamped(key: slice, frames: range, st: float, et: float) -> None:
    clip = select(key)
    assert list(clip.frames) == list(frames)
    assert (clip.st, clip.et) == pytest.approx((st, et), abs=SNAP)


def test_frame_slices_follow_python() -> None:
    assert list(select(slice(None, None, 10)).frames) == list(range(0, 1800, 10))
    assert list(select(slice(None, None, -1)).frames) == list(range(1799, -1, -1))
    assert list(select(slice(None, None, 10), slice(-3, None)).frames) == [1770, 1780, 1790]
    reversed_twice = select(slice(None, None, -1), slice(None, None, -1))
    assert reversed_twice == VIDEO


def test_a_whole_slice_of_a_clip_is_the_clip() -> None:
    clip = select(slice(10.01, 20.01))
    for key in (slice(None), slice(0, None), slice(0, len(clip)), slice(-len(clip), 10**6), slice(None, None, 1)):
        assert clip.select(TIMELINE, key) == clip


@pytest.mark.parametrize("clip", [VIDEO, select(slice(10.0, 20.0))])
def test_a_slice_without_a_step_is_an_error_of_ours(clip: Selection) -> None:
    with pytest.raises(UsageError):
        clip.select(TIMELINE, slice(None, None, 0))


def test_a_time_slice_holds_at_least_the_frame_on_display() -> None:
    clip = select(slice(10.01, 10.02))
    assert (clip.frames, clip.st, clip.et) == (range(300, 301), 10.01, 10.02)
    assert select(slice(10.01, 10.04)).frames == range(301, 302)
    assert select(slice(59.99, 60.0)).frames == range(1799, 1800)


def test_a_time_slice_of_no_length_holds_the_frame_on_display() -> None:
    for at in (2.0, 2.01):
        clip = select(slice(at, at))
        assert (clip.frames, clip.st, clip.et) == (range(60, 61), at, at)
        assert clip.select(TIMELINE, 0.0).frames == clip.frames
        assert clip.select(TIMELINE, slice(0.0, None)).frames == clip.frames
    assert len(select(slice(60.0, 60.0))) == 0


def test_a_time_slice_of_no_length_is_the_same_however_its_bounds_round() -> None:
    """0.1 + 0.2 is a little more than 0.7 - 0.4."""
    clip = select(slice(0.1, 0.7))
    assert clip.select(TIMELINE, slice(0.2, 0.2)).frames == range(9, 10)
    assert clip.select(TIMELINE, slice(0.2, -0.4)).frames == range(9, 10)
    instant = select(slice(0.3, 0.1 + 0.2))
    for own in (-1e-16, 0.0, 1e-16):
        assert instant.select(TIMELINE, own).frames == range(9, 10)
        assert instant.select(TIMELINE, slice(own, None)).frames == range(9, 10)


def test_frames_of_a_stepped_clip_stay_on_display_until_the_next_of_them() -> None:
    assert select(slice(None, None, 10), 0.3).frames == range(1)
    assert select(slice(None, None, 10), 1.0).frames == range(30, 31)
    assert list(select(slice(None, None, 10), slice(1.0, 2.0)).frames) == [30, 40, 50]


def test_a_reversed_clip_has_frames_and_no_time_of_its_own() -> None:
    assert select(slice(None, None, -1), 0).frames == range(1799, 1800)
    assert select(slice(None, None, -1), slice(0, 3)).st == pytest.approx(1797 / 30)
    for key in (1.0, slice(1.0, 2.0)):
        with pytest.raises(UsageError, match="reversed"):
            select(slice(None, None, -1), key)


# -- what is empty


@pytest.mark.parametrize("empty", [slice(5, 5), slice(20.0, 10.0), slice(600, 300), slice(60.0, None)])
def test_an_empty_clip_has_no_frames_and_can_be_sliced_on(empty: slice) -> None:
    clip = select(empty)
    assert (len(clip), clip.et - clip.st) == (0, 0.0)
    for key in (slice(None), slice(0, 5), slice(None, None, -1), slice(0.0, 1.0), slice(-1.0, None)):
        assert len(clip.select(TIMELINE, key)) == 0
    for index in (0, -1, 0.0, -0.5, 1.0):
        with pytest.raises(FrameIndexError):
            clip.select(TIMELINE, index)


def test_a_video_of_one_frame() -> None:
    timeline = timeline_of([Fraction(0)], Fraction(1, 30))
    everything = whole(timeline)
    for key in (0, -1, 0.0, 0.03, -0.01, slice(0.0, 1.0), slice(0.01, 0.02), slice(None)):
        assert everything.select(timeline, key).frames == range(1)


# -- numbers of every kind


@pytest.mark.parametrize(
    "number",
    [np.int64(42), np.int8(42), np.uint16(42), np.array(42), torch.tensor(42), torch.tensor(42, dtype=torch.uint8)],
)
def test_integers_of_numpy_and_torch_are_frames(number: Any) -> None:
    assert select(number) == select(42)
    assert select(slice(number, number * 2)) == select(slice(42, 84))
    assert select(slice(None, None, number)) == select(slice(None, None, 42))


@pytest.mark.parametrize(
    "number",
    [np.float64(10), np.float32(10), np.float16(10), np.array(10.0), torch.tensor(10.0), Fraction(10), Decimal(10)],
)
def test_other_numbers_are_seconds(number: Any) -> None:
    assert select(number) == select(10.0)
    assert select(slice(number, number * 2)) == select(slice(10.0, 20.0))


NO_NUMBERS = [
    "2.0",
    b"2.0",
    "1e3",
    "",
    "frame",
    ...,
    1j,
    object(),
    {},
    (1.0, 2.0),
    True,
    False,
    np.True_,
    np.False_,
    torch.tensor(True),
    np.array([[1.0], [2.0]]),
    float("nan"),
    float("inf"),
    -float("inf"),
    np.float32("nan"),
    np.float64("inf"),
    torch.tensor(float("nan")),
    Decimal("nan"),
    Decimal("1e400"),
    Fraction(10**400),
]


def _name(key: object) -> str:
    """The same in every process, which an address in memory is not."""
    return type(key).__name__ if type(key) is object else repr(key)[:24]


@pytest.mark.parametrize("key", NO_NUMBERS, ids=_name)
def test_what_is_no_number_or_no_time_is_refused(key: Any) -> None:
    with pytest.raises(UsageError):
        select(key)
    for bounds in ((key, None), (None, key), (key, 5), (0, key), (0.0, key), (None, None, key), (0, 9, key)):
        with pytest.raises(UsageError):
            select(slice(*bounds))


def test_none_is_no_index() -> None:
    with pytest.raises(UsageError):
        select(None)


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 5.0),
        slice(2.0, 5),
        slice(0, 5.0),
        slice(0.0, 5),
        slice(np.int64(2), np.float64(5)),
        slice(torch.tensor(2), torch.tensor(5.0)),
        slice(0, 60, 0.5),
        slice(None, 60, 0.5),
        slice(0.0, 60.0, 15),
        slice(None, 60.0, 15),
    ],
    ids=str,
)
def test_a_slice_that_mixes_seconds_and_frames_is_refused(key: slice) -> None:
    with pytest.raises(UsageError):
        select(key)


def test_a_selection_is_a_small_value() -> None:
    clip = select(slice(10.0, 20.0))
    assert pickle.loads(pickle.dumps(clip)) == clip
    assert len(pickle.dumps(select(slice(None, None, 7)))) < 200


# -- against the reference


@examples(300)
@given(st.data(), videos)
def test_any_chain_of_selections_agrees_with_the_reference(
    data: st.DataObject, video: tuple[list[Fraction], Fraction]
) -> None:
    reference, timeline = Reference(*video), timeline_of(*video)
    clip, ours = reference.whole(), whole(timeline)
    for _ in range(data.draw(st.integers(1, 4))):
        drawn = data.draw(keys(reference, clip))
        key = as_drawn(drawn, data.draw(st.sampled_from(["list", "array"])))
        try:
            clip = reference.select(clip, drawn)
        except Ambiguous:
            return
        except (IndexError, UsageError) as error:
            with pytest.raises(FrameIndexError if isinstance(error, IndexError) else UsageError):
                ours.select(timeline, key)
            continue
        ours = ours.select(timeline, key)
        assert list(ours.frames) == clip.frames
        assert (ours.st, ours.et) == pytest.approx((float(clip.st), float(clip.et)), abs=SNAP)
        assert ours.contiguous == (
            clip.frames == list(range(clip.frames[0], clip.frames[-1] + 1)) if clip.frames else True
        )


# -- a frame's own time selects that frame


@examples(150)
@given(st.data(), videos)
def test_a_frames_own_time_selects_it_wherever_the_clip_begins(
    data: st.DataObject, video: tuple[list[Fraction], Fraction]
) -> None:
    timeline = timeline_of(*video)
    clip = whole(timeline)
    for _ in range(data.draw(st.integers(0, 3))):
        start = float(timeline.times[data.draw(st.sampled_from(clip.frames))]) - clip.st
        start += data.draw(st.sampled_from([0.0, 0.0, 0.0004]))
        clip = clip.select(timeline, slice(max(start, 0.0), None))
        assume(len(clip))
    for frame in clip.frames:
        own = float(timeline.times[frame]) - clip.st
        if own >= -SNAP:  # not the one that was on display before the clip began
            assert clip.select(timeline, own).frames == range(frame, frame + 1)
            assert clip.select(timeline, slice(own, None)).frames[0] == frame


def test_zero_point_one_plus_zero_point_two() -> None:
    """The clip begins at 0.30000000000000004, its first frame at 0.3: that is its time 0.0, not one from the end."""
    timeline = timeline_of(*constant(10, 100))
    clip = whole(timeline).select(timeline, slice(0.1 + 0.2, 1.0))
    assert clip.frames == range(3, 10)
    own = 0.3 - clip.st
    assert own < 0
    assert clip.select(timeline, own).frames == range(3, 4)
    assert clip.select(timeline, slice(own, 0.5)).frames == range(3, 8)
    assert clip.select(timeline, slice(own, own + 0.5)).frames == range(3, 8)


@pytest.mark.parametrize("fps", [NTSC, Fraction(60_000, 1001), Fraction(25), Fraction(1000), Fraction(7, 3)], ids=str)
def test_a_days_length_is_as_exact_as_a_second(fps: Fraction) -> None:
    day = int(fps * 86_400)
    numbers = np.concatenate([np.arange(50_000), np.arange(day - 50_000, day)])  # its morning and its evening
    times = numbers * fps.denominator / fps.numerator
    timeline = Timeline(times, float(day / fps))
    random = np.random.default_rng(42)
    for _ in range(100):
        clip = whole(timeline)
        for _ in range(random.integers(4)):
            start = float(times[clip.frames[random.integers(len(clip))]]) - clip.st
            clip = clip.select(timeline, slice(start / 2 + random.random(), None))
        for position in (0, -1, *random.integers(1, len(clip), 5)):
            frame = clip.frames[position]
            own = float(times[frame]) - clip.st
            assert clip.select(timeline, own).frames[0] == frame
            assert clip.select(timeline, own + 1e-6).frames[0] == frame
            if position:
                assert clip.select(timeline, own - 1e-6).frames[0] == frame - 1


@examples(120)
@given(videos, st.data())
def test_below_at_and_above_a_frames_boundary(video: tuple[list[Fraction], Fraction], data: st.DataObject) -> None:
    timeline = timeline_of(*video)
    frame = data.draw(st.integers(0, len(timeline) - 1))
    begin, end = float(timeline.times[frame]), timeline.end_of(frame)
    margin = data.draw(st.floats(2 * SNAP, 4e-4))
    for inside in (begin, begin + margin, (begin + end) / 2, end - margin):
        assert whole(timeline).select(timeline, inside).frames == range(frame, frame + 1)
    if frame:
        assert whole(timeline).select(timeline, begin - margin).frames == range(frame - 1, frame)
    if frame + 1 < len(timeline):
        assert whole(timeline).select(timeline, end).frames == range(frame + 1, frame + 2)
    else:
        with pytest.raises(FrameIndexError):
            whole(timeline).select(timeline, end)


@examples(120)
@given(videos, st.data())
def test_one_frame_is_the_same_clip_however_it_was_reached(
    video: tuple[list[Fraction], Fraction], data: st.DataObject
) -> None:
    timeline = timeline_of(*video)
    frame = data.draw(st.integers(0, len(timeline) - 1))
    alone = whole(timeline).select(timeline, frame)
    assert (alone.st, alone.et) == (float(timeline.times[frame]), timeline.end_of(frame))
    first = data.draw(st.integers(0, frame))
    clip = whole(timeline).select(timeline, slice(first, None))
    for key in (frame - first, frame - len(timeline), float(timeline.times[frame]) - clip.st):
        assert clip.select(timeline, key) == alone


# -- tiling


@examples(120)
@given(videos, st.data())
def test_consecutive_time_slices_hold_each_frame_exactly_once(
    video: tuple[list[Fraction], Fraction], data: st.DataObject
) -> None:
    timeline = timeline_of(*video)
    clip = whole(timeline)
    if data.draw(st.booleans()):  # a clip that begins and ends anywhere
        st_, et = sorted(data.draw(st.floats(0, timeline.end)) for _ in range(2))
        assume(et - st_ > 1e-8)
        clip = clip.select(timeline, slice(st_, et))
    inner = data.draw(st.sets(st.sampled_from(clip.frames[1:]))) if len(clip) > 1 else set()
    bounds = [0.0, *(float(timeline.times[frame]) - clip.st for frame in sorted(inner)), None]
    tiles = [clip.select(timeline, slice(*pair)) for pair in pairwise(bounds)]
    assert [frame for tile in tiles for frame in tile.frames] == list(clip.frames)


@examples(120)
@given(videos, st.data())
def test_nothing_is_left_after_a_clips_duration(video: tuple[list[Fraction], Fraction], data: st.DataObject) -> None:
    timeline = timeline_of(*video)
    bounds = sorted(data.draw(st.floats(0, timeline.end)) for _ in range(2))
    clip = whole(timeline).select(timeline, slice(*bounds))
    duration = clip.et - clip.st
    assume(duration > 1e-6)  # a clip of no length begins where it ends
    assert len(clip.select(timeline, slice(duration, None))) == 0
    with pytest.raises(FrameIndexError):
        clip.select(timeline, duration)


@pytest.mark.parametrize(("start", "stop"), [(0.26, 3.3366666666666664), (0.2782679797184443, 1.885471363225674)])
def test_nothing_is_left_after_a_clips_duration_where_it_rounds_down(start: float, stop: float) -> None:
    timeline = timeline_of(*constant(NTSC, 100))
    clip = whole(timeline).select(timeline, slice(start, stop))
    duration = clip.et - clip.st
    assert clip.st + duration < clip.et  # the trap
    assert len(clip.select(timeline, slice(duration, None))) == 0


@examples(120)
@given(videos, st.data())
def test_a_slice_of_a_slice_is_a_slice_of_the_video(
    video: tuple[list[Fraction], Fraction], data: st.DataObject
) -> None:
    timeline = timeline_of(*video)
    frames = st.integers(0, len(timeline) - 1)
    first, last = sorted((data.draw(frames), data.draw(frames)))
    clip = whole(timeline).select(timeline, slice(float(timeline.times[first]), timeline.end_of(last)))
    begin, end = sorted((data.draw(st.sampled_from(clip.frames)), data.draw(st.sampled_from(clip.frames))))
    inner = float(timeline.times[begin]), timeline.end_of(end)
    sub = clip.select(timeline, slice(inner[0] - clip.st, inner[1] - clip.st))
    assert sub.frames == whole(timeline).select(timeline, slice(*inner)).frames == range(begin, end + 1)
    assert (sub.st, sub.et) == pytest.approx(inner, abs=SNAP)
