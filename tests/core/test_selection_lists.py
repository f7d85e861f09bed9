"""Many frames at once: lists, arrays, masks, steps in seconds, and times that may be whole numbers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.selection import Selection, as_index, positions_of
from dreamlake.core.timeline import SNAP
from dreamlake.errors import FrameIndexError, UsageError

from ._helpers import examples
from ._reference import FILM, Ambiguous, Reference, Video, constant, timeline_of, videos, whole

TIMELINE = timeline_of(*constant(30, 1800))
VIDEO = whole(TIMELINE)


def select(key: Any, clip: Selection = VIDEO) -> Selection:
    return clip.select(TIMELINE, key)


def frames(key: Any, clip: Selection = VIDEO) -> list[int]:
    return [int(frame) for frame in select(key, clip).frames]


# -- lists and arrays


@pytest.mark.parametrize(
    "key",
    [
        [3, 14, 15],
        np.array([3, 14, 15]),
        np.array([3, 14, 15], np.uint8),
        np.array([3, 14, 15, 0], np.int16)[:3],
        torch.tensor([3, 14, 15]),
        [np.int64(3), torch.tensor(14), 15],
        [0.1, 14 / 30, 0.5],
        np.array([0.1, 14 / 30, 0.5]),
        torch.tensor([0.11, 0.48, 0.51], requires_grad=True),
        np.array([0.11, 0.48, 0.51], np.float16),
        [-1797, -1786, -1785],
    ],
    ids=repr,
)
def test_lists_of_every_kind(key: Any) -> None:
    assert frames(key) == [3, 14, 15]
    clip = select(key)
    assert (clip.st, clip.et) == (0.1, 16 / 30)
    assert not clip.contiguous


def test_a_list_keeps_its_order_and_its_repetitions() -> None:
    assert frames([5, 5, 3, -1, 5]) == [5, 5, 3, 1799, 5]
    assert frames([0.5, 0.1, 0.5]) == [15, 3, 15]
    assert frames(range(3, 12, 4)) == [3, 7, 11]
    assert frames([]) == frames(np.array([], np.int64)) == frames(np.array([], np.float64)) == []


def test_a_list_is_relative_to_the_clip() -> None:
    clip = select(slice(10.0, 20.0))
    assert frames([0, -1], clip) == [300, 599]
    assert frames([0.0, 2.5, -0.01], clip) == [300, 375, 599]
    assert frames([2, 0], select([7, 100, 42])) == [42, 7]
    assert frames(slice(1, None), select([7, 100, 42])) == [100, 42]
    assert frames([1.2], select([7, 42, 42, 100])) == [42]  # the clip begins with frame 7, at 7/30 s


def test_a_mask_has_one_boolean_for_each_frame() -> None:
    clip = select(slice(10.0, 10.1))
    for mask in ([True, False, True], np.array([True, False, True]), torch.tensor([True, False, True])):
        assert frames(mask, clip) == [300, 302]
    assert frames([False] * 3, clip) == []
    brightness = np.arange(1800) % 600
    assert frames(brightness == 7) == [7, 607, 1207]
    for mask in ([True, False], np.array([True] * 4), torch.tensor([True] * 2)):
        with pytest.raises(UsageError, match=rf"a mask of {len(mask)} for a length of 3"):
            select(mask, clip)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ([3, 1800], "frame 1800 is outside of a clip of 1800 frames"),
        ([3, -1801, 9999], "frame -1801 is"),
        (np.array([0, 1800]), "frame 1800 is"),
        (torch.tensor([0, 1800]), "frame 1800 is"),
        ([10**30], f"frame {10**30} is"),
        ([0, -(10**30)], f"frame -{10**30} is"),
        (np.array([2**64 - 1], np.uint64), f"frame {2**64 - 1} is"),
        (np.array([-(2**63)]), f"frame -{2**63} is"),
        ([3.0, 60.0], "60.0 s is outside of a clip of 60 s"),
        ([3.0, -60.5], "-60.5 s is"),
        (np.array([1e300]), r"1e\+300 s is"),
    ],
    ids=repr,
)
def test_what_is_outside_is_named(key: Any, named: str) -> None:
    with pytest.raises(FrameIndexError, match=named):
        select(key)


def test_nothing_is_inside_of_an_empty_clip() -> None:
    empty = select(slice(5, 5))
    for key in ([0], [0.0], [-1], [-0.5]):
        with pytest.raises(FrameIndexError):
            select(key, empty)
    for key in ([], np.array([], bool), slice(0.0, 1.0, 0.5)):
        assert frames(key, empty) == []


NO_LISTS = [
    [1, 2.0],
    [1.0, 2],
    [np.int64(1), np.float64(2)],
    [1, None],
    [True, 2],
    [1, True],
    [1.0, False],
    ["1"],
    [[1, 2]],
    [1.0, float("nan")],
    [float("inf")],
    (1, 2),
    {1, 2},
    np.array([1.0, np.nan]),
    np.array([[1, 2]]),
    np.array([1, 2], object),
    np.array(["1"]),
    np.array([1j]),
    np.array(["2026-04-01"], "datetime64[s]"),
    torch.tensor([1.0], dtype=torch.bfloat16),
    torch.tensor([1.0], device="meta"),
]


@pytest.mark.parametrize("key", NO_LISTS, ids=repr)
def test_what_is_no_list_of_frames_or_times(key: Any) -> None:
    with pytest.raises(UsageError):
        select(key)


def test_a_selection_does_not_change_with_the_array_it_was_made_from() -> None:
    key = np.array([5, 3, 9])
    clip = select(key)
    key[:] = 0
    assert list(clip.frames) == [5, 3, 9]


# -- steps in seconds


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (slice(0.0, 60.0, 0.5), list(range(0, 1800, 15))),
        (slice(None, None, 0.5), list(range(0, 1800, 15))),
        (slice(10.0, 11.0, 0.25), [300, 307, 315, 322]),
        (slice(10.02, 11.0, 0.25), [300, 308, 315, 323]),
        (slice(0.0, 0.1, 1 / 60), [0, 0, 1, 1, 2, 2]),
        (slice(-0.1, None, 1 / 60), [1797, 1797, 1798, 1798, 1799, 1799]),
        (slice(10.01, 10.02, 0.5), [300]),
        (slice(10.0, 10.0, 0.5), [300]),
        (slice(59.9, 99.0, 0.05), [1797, 1798]),
        (slice(0.0, 60.0, 1e300), [0]),
        (slice(60.0, None, 0.5), []),
        (slice(20.0, 10.0, 0.5), []),
    ],
    ids=str,
)
def test_every_so_many_seconds(key: slice, expected: list[int]) -> None:
    assert frames(key) == expected
    times = slice(key.start, key.stop)
    if times != slice(None, None):
        assert (select(key).st, select(key).et) == (select(times).st, select(times).et)


def test_every_so_many_seconds_of_a_stepped_clip() -> None:
    tenths = select(slice(None, None, 10))
    assert frames(slice(0.0, 1.0, 0.25), tenths) == [0, 0, 10, 20]
    assert frames(slice(0.0, 1.0, 0.2), select(slice(0.0, 60.0, 0.5))) == [0, 0, 0, 15, 15]
    later = select(slice(30, None, 10))
    assert frames(slice(0.0, 1.0, 0.5), later) == [30, 40]  # 1.5 s: the last of the clip's that began is frame 40
    assert frames(slice(0.0, 1.0, 0.5), select([0, 20, 400])) == [0, 0]


def test_half_seconds_of_a_film() -> None:
    timeline = timeline_of(*constant(FILM, 24 * 60))
    clip = whole(timeline).select(timeline, slice(0.0, 60.0, 0.5))
    assert len(clip) == 120
    assert list(clip.frames) == [int(n / 2 * FILM) for n in range(120)]
    assert len(pickle.dumps(clip)) < 400
    assert pickle.loads(pickle.dumps(clip)) == clip


@pytest.mark.parametrize("step", [0.0, -0.0, -0.5, -1e-300])
def test_a_step_in_seconds_goes_forward(step: float) -> None:
    for clip in (VIDEO, select(slice(5, 5))):
        with pytest.raises(UsageError, match="goes forward"):
            select(slice(None, None, step), clip)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("step", [1e-9, 1e-300, 5e-324])
def test_a_slip_is_refused_at_once(step: float) -> None:
    with pytest.raises(UsageError, match="that is a slip"):
        select(slice(None, None, step))


@pytest.mark.parametrize("key", [slice(None, None, -1), [5, 3, 4]], ids=str)
def test_frames_out_of_order_have_no_time(key: Any) -> None:
    clip = select(key)
    for times in (0.0, [0.0], slice(0.0, 1.0), slice(None, None, 0.5), slice(2.0, 1.0), slice(99.0, None)):
        with pytest.raises(UsageError, match="reversed or shuffled"):
            select(times, clip)
    with pytest.raises(UsageError, match="reversed or shuffled"):
        clip.on_display(TIMELINE, 0)


@examples(100)
@given(st.integers(1, 50), st.floats(1e-3, 1.0), st.floats(0, 10))
def test_a_clip_that_ends_where_the_tolerance_does(count: int, step: float, start: float) -> None:
    """The last sample of a clip that is a nanosecond longer than so many steps is inside or outside, never an error."""
    timeline = timeline_of(*constant(30, 1800))
    timeline.end = start + count * step + SNAP
    clip = Selection.whole(1800, timeline.end).select(timeline, slice(start, None, step))
    assert len(clip) in (count, count + 1)


# -- times that may be whole numbers


def test_two_is_two_seconds() -> None:
    for seconds in (2, 2.0, np.int64(2), torch.tensor(2)):
        assert VIDEO.on_display(TIMELINE, seconds) == select(2.0) == select(60)
    for several in ([0, 2.5, -1], [0.0, 2.5, -1.0], np.array([0, 2.5, -1]), torch.tensor([0.0, 2.5, -1.0])):
        assert VIDEO.on_display(TIMELINE, several).numbers.tolist() == [0, 75, 1770]
    for whole_ones in ([0, 2], np.array([0, 2], np.uint8), torch.tensor([0, 2]), range(0, 4, 2)):
        assert VIDEO.on_display(TIMELINE, whole_ones).numbers.tolist() == [0, 60]
    assert len(VIDEO.on_display(TIMELINE, [])) == 0


@pytest.mark.parametrize(
    ("seconds", "named"), [(60, "60.0 s"), ([0, 60], "60.0 s"), (-61, "-61.0 s"), (np.array([2**63], np.uint64), "e")]
)
def test_times_outside_are_named(seconds: Any, named: str) -> None:
    with pytest.raises(FrameIndexError, match=f"{named}.* is outside of a clip of 60 s"):
        VIDEO.on_display(TIMELINE, seconds)


@pytest.mark.parametrize(
    "seconds",
    [
        None,
        True,
        "2",
        (1, 2),
        slice(1, 2),
        float("nan"),
        10**400,
        [None],
        [True],
        [10**400],
        [[1]],
        np.array([True]),
        np.array([[1.0]]),
        np.array([np.nan]),
        torch.tensor([True]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_time(seconds: Any) -> None:
    with pytest.raises(UsageError):
        VIDEO.on_display(TIMELINE, seconds)


@examples(100)
@given(st.data(), videos)
def test_what_is_on_display_agrees_with_the_reference(data: st.DataObject, video: Video) -> None:
    reference, timeline = Reference(*video), timeline_of(*video)
    end = int(timeline.end) + 2
    seconds = data.draw(st.lists(st.one_of(st.integers(-end, end), st.floats(-end, end)), max_size=4))
    try:
        expected = reference.several(reference.whole(), [float(second) for second in seconds])
    except Ambiguous:
        return
    except IndexError:
        with pytest.raises(FrameIndexError):
            whole(timeline).on_display(timeline, seconds)
        return
    ours = whole(timeline).on_display(timeline, seconds)
    assert list(ours.frames) == expected.frames
    assert (ours.st, ours.et) == pytest.approx((float(expected.st), float(expected.et)), abs=SNAP)


# -- as values


EQUAL = [
    ([3, 4, 5], slice(3, 6)),
    ([0, 10, 20], slice(0, 21, 10)),
    ([7], 7),
    ([9, 8, 7], slice(9, 6, -1)),
    ([], slice(5, 5)),
    ([4, 4, 9], np.array([4, 4, 9])),
    (slice(0, 1800), slice(None)),
]


@pytest.mark.parametrize(("one", "other"), EQUAL, ids=str)
def test_the_same_frames_are_equal_however_they_were_asked_for(one: Any, other: Any) -> None:
    assert select(one) == select(other)
    assert hash(select(one)) == hash(select(other))
    assert select(one) != select([1, 2, 4])
    assert select(one) != "a clip"


def test_what_differs_is_not_equal() -> None:
    clips = [select(key) for key in ([3, 5, 4], [3, 4, 5], [3, 4, 4], [3, 4], slice(0.1, 0.15), slice(0.1, 0.16))]
    clips += [select(slice(0.0, 3.0, 0.1)), select(slice(0.0, 3.0)), select([4, 3])]
    assert len(set(clips)) == len(clips)


@pytest.mark.parametrize("key", [slice(3, 900), slice(None, None, -7), [4, 4, 9], [], slice(0.0, 60.0, 0.3)], ids=str)
def test_pickles_are_small_and_equal(key: Any) -> None:
    clip = select(key)
    data = pickle.dumps(clip)
    assert len(data) < 400
    same = pickle.loads(data)
    assert same == clip
    assert hash(same) == hash(clip)
    assert same.numbers.dtype == np.int64
    assert np.array_equal(same.numbers, clip.numbers)


# -- clips of an array, which have no times


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (0, 0),
        (-1, 5),
        (np.int8(2), 2),
        (torch.tensor(2), 2),
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(4, 10**30), [4, 5]),
        ([0, 4, 4, -1], [0, 4, 4, 5]),
        (np.array([1, 3]), [1, 3]),
        ([True, False, False, True, False, False], [0, 3]),
        ([], []),
    ],
    ids=repr,
)
def test_positions(key: Any, expected: Any) -> None:
    found = positions_of(key, 6, "clip")
    assert (found if isinstance(expected, int) else list(found)) == expected


@pytest.mark.parametrize(
    "key", [6, -7, 10**30, [0, 6], [10**30], np.array([-7]), np.array([2**63], np.uint64)], ids=repr
)
def test_positions_outside(key: Any) -> None:
    value = key if isinstance(key, int) else key[-1]
    with pytest.raises(FrameIndexError, match=f"clip {value} is outside of an array of 6 clips"):
        positions_of(key, 6, "clip")


@pytest.mark.parametrize(
    "key",
    [1.0, [1.0], [0, 1.0], slice(0.0, 2.0), slice(0, 6, 0), None, True, "0", ..., [True], np.array([1.5])],
    ids=repr,
)
def test_what_is_no_position(key: Any) -> None:
    with pytest.raises(UsageError):
        positions_of(key, 6, "clip")


def test_an_index_is_a_number_or_an_array_of_one_type() -> None:
    assert as_index(3, 9) == 3
    assert isinstance(as_index(np.float32(3), 9), float)
    assert as_index([1, 2], 9).dtype == np.int64
    assert as_index([1.0, 2.0], 9).dtype == np.float64
    assert as_index([True, False], 2).tolist() == [0]
