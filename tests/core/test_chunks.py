"""Tiling a clip: every frame in one chunk, in order, and the chunks' times cover the clip's."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dreamlake.core.selection import Selection
from dreamlake.core.timeline import SNAP, Timeline
from dreamlake.errors import UsageError

from ._helpers import examples
from ._reference import FILM, Ambiguous, Clip, Reference, Video, constant, keys, lengths, timeline_of, videos, whole


def frames_of(chunks: list[Selection]) -> list[list[int]]:
    return [list(chunk.frames) for chunk in chunks]


def test_the_chunks_of_the_seed() -> None:
    """A video of 5 frames a second: clip = video[1.2:2.4]; clip.chunk(0.200) are 6 of one frame."""
    timeline = timeline_of(*constant(5, 50))
    clip = whole(timeline).select(timeline, slice(1.2, 2.4))
    chunks = clip.chunks(timeline, 0.200)
    assert frames_of(chunks) == [[6], [7], [8], [9], [10], [11]]
    assert [chunk.st for chunk in chunks] == pytest.approx([1.2, 1.4, 1.6, 1.8, 2.0, 2.2])
    assert (chunks[0].st, chunks[-1].et) == (clip.st, clip.et)


def test_a_chunk_is_the_slice_of_its_times() -> None:
    timeline = timeline_of(*constant(30, 1800))
    clip = whole(timeline).select(timeline, slice(10.0, 20.0))
    for seconds in (0.5, 2, 3.0):
        chunks = clip.chunks(timeline, seconds)
        slices = [
            clip.select(timeline, slice(float(n * seconds), float((n + 1) * seconds))) for n in range(len(chunks))
        ]
        assert frames_of(chunks) == frames_of(slices)
        assert [chunk.st for chunk in chunks] == pytest.approx([part.st for part in slices])
    assert [len(chunk) for chunk in clip.chunks(timeline, 3.0)] == [90, 90, 90, 30]  # the last one is what is left


def test_one_second_chunks_of_a_film() -> None:
    """23.976 frames a second: a frame begins after the whole second, and belongs to the second that it begins in."""
    timeline = timeline_of(*constant(FILM, 130))
    chunks = whole(timeline).chunks(timeline, 1.0)
    assert [len(chunk) for chunk in chunks] == [24, 24, 24, 24, 24, 10]
    assert [chunk.st for chunk in chunks] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_chunk_in_which_nothing_begins_is_left_to_the_one_before() -> None:
    timeline = timeline_of([Fraction(0), Fraction(1, 10), Fraction(5), Fraction(51, 10)], Fraction(6))
    chunks = whole(timeline).chunks(timeline, 1.0)
    assert [(chunk.st, chunk.et, list(chunk.frames)) for chunk in chunks] == [(0.0, 5.0, [0, 1]), (5.0, 6.0, [2, 3])]
    late = whole(timeline).select(timeline, slice(0.5, None))
    assert [(chunk.st, chunk.et, list(chunk.frames)) for chunk in late.chunks(timeline, 1.0)] == [(0.5, 6.0, [2, 3])]


def test_a_frame_that_was_on_display_before_the_clip_is_in_the_first_chunk() -> None:
    timeline = timeline_of(*constant(1, 10))
    clip = whole(timeline).select(timeline, slice(0.25, 0.75, 0.125))  # frame 0, four times
    assert frames_of(clip.chunks(timeline, 0.25)) == [[0, 0, 0, 0]]
    assert frames_of(clip.key_chunks(timeline, 0.25, np.array([0, 1, 2, 3]))) == [[0, 0, 0, 0]]


def test_key_chunks_are_cut_at_the_nearest_key_frame() -> None:
    timeline = timeline_of(*constant(30, 1800))
    clip = whole(timeline)

    def cuts(seconds: float, keys: list[int]) -> list[int]:
        return [chunk.frames[0] for chunk in clip.key_chunks(timeline, seconds, np.array(keys, np.int64))]

    assert cuts(10.0, [0, 290, 310, 700, 1300]) == [0, 310, 700, 1300]  # 10 s lies between two, the later one wins
    assert cuts(10.0, [0, 299, 310, 700]) == [0, 299, 700]
    assert cuts(10.0, [0]) == [0]
    assert cuts(10.0, []) == [0]
    assert cuts(10.0, [900]) == [0, 900]
    assert cuts(0.001, [0, 5, 6, 1799]) == [0, 5, 6, 1799]
    assert cuts(1e300, [0, 30]) == [0]


def test_repeated_key_frames_are_cut_before_the_first_of_them() -> None:
    timeline = timeline_of(*constant(30, 1800))
    twice = whole(timeline).select(timeline, slice(0.0, 3.0, 1 / 60))
    keys = np.flatnonzero(twice.numbers % 30 == 0)
    for chunk, second in zip(twice.key_chunks(timeline, 1.0, keys), range(3), strict=True):
        assert (chunk.st, chunk.et) == (second, second + 1)
        assert list(chunk.frames) == sorted([*range(second * 30, second * 30 + 30)] * 2)


@pytest.mark.parametrize(
    "seconds",
    [0, 0.0, -0.0, -1.0, -1, 5e-324, 1e-10, float("nan"), float("inf"), -float("inf"), 10**400, None, True, "1", [1.0]],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_length_of_a_chunk(seconds: Any) -> None:
    timeline = timeline_of(*constant(30, 90))
    for clip in (whole(timeline), whole(timeline).select(timeline, slice(5, 5))):
        with pytest.raises(UsageError, match="chunk"):
            clip.chunks(timeline, seconds)
        with pytest.raises(UsageError, match="chunk"):
            clip.key_chunks(timeline, seconds, np.array([0, 30]))


@pytest.mark.parametrize("key", [slice(None, None, -1), [5, 3, 4]], ids=str)
def test_frames_out_of_order_cannot_be_tiled(key: Any) -> None:
    timeline = timeline_of(*constant(30, 90))
    clip = whole(timeline).select(timeline, key)
    with pytest.raises(UsageError, match="reversed or shuffled"):
        clip.chunks(timeline, 1.0)
    for keys_ in ([], [0]):
        with pytest.raises(UsageError, match="reversed or shuffled"):
            clip.key_chunks(timeline, 1.0, np.array(keys_, np.int64))


def test_a_clip_that_ends_before_its_only_frame_begins_is_one_chunk() -> None:
    timeline = timeline_of([Fraction(0), Fraction(90_001, 90_000)], Fraction(2))
    clip = whole(timeline).select(timeline, slice(1.0, None)).select(timeline, slice(0.0, 0.0))
    assert (clip.st, clip.et, list(clip.frames)) == (1.0, 1.0, [1])
    assert clip.chunks(timeline, 0.5) == clip.key_chunks(timeline, 0.5, np.array([0])) == [clip]
    check([clip], clip, timeline)


def test_an_empty_clip_has_no_chunks() -> None:
    timeline = timeline_of(*constant(30, 90))
    empty = whole(timeline).select(timeline, slice(9, 9))
    assert empty.chunks(timeline, 1.0) == empty.key_chunks(timeline, 1.0, np.array([], np.int64)) == []


def test_a_day_is_tiled_as_exactly_as_a_second() -> None:
    frames = int(FILM * 86_400)
    timeline = Timeline(np.arange(frames) * 1001 / 24_000, frames * 1001 / 24_000)
    chunks = Selection.whole(frames, timeline.end).chunks(timeline, 60.0)
    first = np.array([chunk.frames[0] for chunk in chunks])
    expected = [-(-60 * minute * 24_000 // 1001) for minute in range(len(chunks))]
    assert first.tolist() == expected
    assert sum(len(chunk) for chunk in chunks) == frames


# -- against the reference


@st.composite
def clips(draw: st.DrawFn) -> tuple[Reference, Timeline, Clip, Selection]:
    """A clip that is in order of time, reached by any keys."""
    video: Video = draw(videos)
    reference, timeline = Reference(*video), timeline_of(*video)
    clip, ours = reference.whole(), whole(timeline)
    for _ in range(draw(st.integers(0, 2))):
        key = draw(keys(reference, clip))
        try:
            clip = reference.select(clip, key)
        except (IndexError, UsageError, Ambiguous):
            continue
        ours = ours.select(timeline, key)
    assume(clip.frames and clip.in_time)
    return reference, timeline, clip, ours


def check(chunks: list[Selection], clip: Selection, timeline: Timeline) -> None:
    """What holds of any tiling."""
    assert [frame for chunk in chunks for frame in chunk.frames] == list(clip.frames)
    assert all(len(chunk) for chunk in chunks)
    assert (chunks[0].st, chunks[-1].et) == (clip.st, clip.et)
    for one, other in pairwise(chunks):
        assert one.st < one.et == other.st
    for chunk in chunks:
        for frame in chunk.frames:
            # A slice shows at least one frame, though that may begin after the slice has ended: v[1.0:][0.0:0.0].
            only = len(set(clip.frames)) == 1
            assert timeline.times[frame] < max(chunk.et, chunk.st + 2 * SNAP) or only
            assert timeline.times[frame] >= chunk.st - SNAP or timeline.times[frame] < clip.st


@examples(150)
@given(clips(), st.data())
def test_any_tiling_agrees_with_the_reference(
    clip: tuple[Reference, Timeline, Clip, Selection], data: st.DataObject
) -> None:
    reference, timeline, exact, ours = clip
    seconds = data.draw(lengths(reference, exact))
    try:
        expected = reference.chunks(exact, Fraction(seconds))
    except Ambiguous:
        return
    chunks = ours.chunks(timeline, seconds)
    assert frames_of(chunks) == [chunk.frames for chunk in expected]
    assert [chunk.st for chunk in chunks] == pytest.approx([float(chunk.st) for chunk in expected], abs=SNAP)
    check(chunks, ours, timeline)


@examples(150)
@given(clips(), st.data())
def test_any_tiling_at_key_frames_agrees_with_the_reference(
    clip: tuple[Reference, Timeline, Clip, Selection], data: st.DataObject
) -> None:
    reference, timeline, exact, ours = clip
    seconds = data.draw(lengths(reference, exact))
    key_frames = data.draw(st.lists(st.integers(0, len(timeline) - 1), max_size=8))
    positions = np.flatnonzero(np.isin(ours.numbers, key_frames))
    try:
        expected = reference.key_chunks(exact, Fraction(seconds), key_frames)
    except Ambiguous:
        return
    chunks = ours.key_chunks(timeline, seconds, positions)
    assert frames_of(chunks) == [chunk.frames for chunk in expected]
    assert [chunk.st for chunk in chunks] == pytest.approx([float(chunk.st) for chunk in expected], abs=SNAP)
    check(chunks, ours, timeline)
    assert all(chunk.frames[0] in key_frames for chunk in chunks[1:])
