"""Which packets a decoder is fed for which frames, against a decoder of plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.decodeplan import Run, plan_runs
from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, SECOND_FIELD, FrameIndex

from ._helpers import examples, frame_index, frame_indexes


class Decoder:
    """What a decoder can make of the packets that it is fed.

    A packet refers, for all that is known, to every packet that others may refer to since its entry: the last key
    packet, or for a leading packet the key packet before that one.
    """

    def __init__(self, index: FrameIndex) -> None:
        self.flags = index.packet_flags.tolist()
        self.display = index.frame_packet.tolist()
        self.bounds = index.segment_packet.tolist()

    def entry(self, packet: int) -> int:
        keys = [number for number in range(packet + 1) if self.flags[number] & KEY]
        return keys[-2] if self.flags[packet] & LEADING and len(keys) > 1 else keys[-1]

    def references(self, packet: int) -> set[int]:
        return {number for number in range(self.entry(packet), packet) if not self.flags[number] & DROPPABLE}

    def decodes(self, packet: int, fed: list[int]) -> bool:
        return packet in fed and self.references(packet) <= set(fed[: fed.index(packet)])

    def segment(self, packet: int) -> int:
        return max(number for number, first in enumerate(self.bounds[:-1]) if first <= packet)


@st.composite
def requests(draw: st.DrawFn, *, open_gop: bool = True) -> tuple[FrameIndex, list[int]]:
    """A video, and frames wanted of it: any multiset, in any order."""
    index = draw(frame_indexes(open_gop=open_gop))
    frames = st.integers(0, len(index) - 1)
    some = st.lists(frames, max_size=12)
    consecutive = st.builds(lambda one, other: list(range(min(one, other), max(one, other) + 1)), frames, frames)
    return index, draw(st.one_of(some, consecutive))


# -- what holds for every plan


@examples(100)
@given(requests())
def test_every_wanted_frame_comes_out_of_exactly_one_run(request: tuple[FrameIndex, list[int]]) -> None:
    index, wanted = request
    runs = plan_runs(index, wanted)
    yielded = Counter(frame for run in runs for frame in run.frames.tolist())
    assert yielded == Counter(set(wanted))
    assert all(run.frames.tolist() == sorted(run.frames.tolist()) for run in runs)


@examples(100)
@given(requests())
def test_every_wanted_frame_decodes(request: tuple[FrameIndex, list[int]]) -> None:
    index, wanted = request
    decoder = Decoder(index)
    for run in plan_runs(index, wanted):
        fed = run.packets.tolist()
        for frame in run.frames.tolist():
            assert decoder.decodes(decoder.display[frame], fed)


@examples(100)
@given(requests())
def test_a_run_begins_at_its_frames_entry_and_ends_at_the_last_packet_it_wants(
    request: tuple[FrameIndex, list[int]],
) -> None:
    index, wanted = request
    decoder = Decoder(index)
    for run in plan_runs(index, wanted):
        fed = run.packets.tolist()
        targets = [decoder.display[frame] for frame in run.frames.tolist()]
        assert fed[0] == min(decoder.entry(packet) for packet in targets)
        assert decoder.flags[fed[0]] & KEY
        assert fed[-1] == max(targets)
        assert fed == sorted(set(fed))


@examples(100)
@given(requests())
def test_no_droppable_packet_is_fed_unless_it_is_wanted(request: tuple[FrameIndex, list[int]]) -> None:
    index, wanted = request
    decoder = Decoder(index)
    for run in plan_runs(index, wanted):
        targets = {decoder.display[frame] for frame in run.frames.tolist()}
        dropped = {packet for packet in run.packets.tolist() if decoder.flags[packet] & DROPPABLE}
        assert dropped <= targets


@examples(100)
@given(requests())
def test_no_packet_is_fed_that_no_wanted_frame_may_need(request: tuple[FrameIndex, list[int]]) -> None:
    index, wanted = request
    decoder = Decoder(index)
    for run in plan_runs(index, wanted):
        targets = [decoder.display[frame] for frame in run.frames.tolist()]
        needed = set(targets).union(*(decoder.references(packet) for packet in targets))
        assert set(run.packets.tolist()) == needed


@examples(100)
@given(requests())
def test_a_run_reads_one_segment_or_two_for_leading_packets(request: tuple[FrameIndex, list[int]]) -> None:
    index, wanted = request
    decoder = Decoder(index)
    for run in plan_runs(index, wanted):
        read = {decoder.segment(packet) for packet in run.packets.tolist()}
        assert set(run.segments) == read
        assert run.segments.step == 1
        assert len(read) == 1 or (len(read) == 2 and decoder.flags[int(run.packets[-1])] & LEADING)


@examples(100)
@given(requests())
def test_runs_are_in_the_order_of_the_video(request: tuple[FrameIndex, list[int]]) -> None:
    begins = [int(run.packets[0]) for run in plan_runs(*request)]
    assert begins == sorted(set(begins))


@examples(100)
@given(requests(), st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_request_do_not_matter(
    request: tuple[FrameIndex, list[int]], random: object
) -> None:
    index, wanted = request
    again = [*wanted, *wanted[::2]]
    random.shuffle(again)  # type: ignore[attr-defined]
    plans = [
        plan_runs(index, frames) for frames in (wanted, again, iter(again), np.array(again, np.int64), set(wanted))
    ]
    assert all(told(plan) == told(plans[0]) for plan in plans)


def told(runs: list[Run]) -> list[tuple[range, list[int], list[int]]]:
    return [(run.segments, run.packets.tolist(), run.frames.tolist()) for run in runs]


def test_nothing_wanted_is_nothing_done() -> None:
    assert plan_runs(frame_index([KEY, 0], [0, 1]), []) == []


# -- as little work as possible


@pytest.mark.parametrize("open_gop", [False, True], ids=["closed GOPs", "open GOPs"])
@examples(80)
@given(data=st.data())
def test_within_a_segment_no_packet_is_fed_twice(open_gop: bool, data: st.DataObject) -> None:
    index, wanted = data.draw(requests(open_gop=open_gop))
    by_segment: dict[int, list[int]] = {}
    for run in plan_runs(index, wanted):
        by_segment.setdefault(run.segments.start, []).extend(run.packets.tolist())
    for fed in by_segment.values():
        assert len(fed) == len(set(fed))


@pytest.mark.parametrize("open_gop", [False, True], ids=["closed GOPs", "open GOPs"])
@examples(80)
@given(data=st.data())
def test_the_consecutive_frames_of_a_segment_are_one_run(open_gop: bool, data: st.DataObject) -> None:
    index = data.draw(frame_indexes(open_gop=open_gop, hidden=False, segments=False))
    decoder = Decoder(index)
    keys = [number for number, flags in enumerate(decoder.flags) if flags & KEY]
    end = data.draw(st.sampled_from([*keys[1:], len(decoder.flags)]))
    # All that decodes from the first GOPs; with open GOPs that is not the same as their packets.
    wanted = [frame for frame, packet in enumerate(decoder.display) if decoder.entry(packet) < end]
    assert len(plan_runs(index, wanted)) == 1


def test_going_on_through_a_key_packet_is_free() -> None:
    index = frame_index([KEY, 0, KEY, 0, KEY, 0], [0, 1, 2, 3, 4, 5])
    assert told(plan_runs(index, [1, 2, 3])) == [(range(1), [0, 1, 2, 3], [1, 2, 3])]
    assert told(plan_runs(index, [0, 3])) == [(range(1), [0], [0]), (range(1), [2, 3], [3])]


def test_segments_are_runs_of_their_own() -> None:
    index = frame_index([KEY, 0, KEY, 0, KEY, 0], [0, 1, 2, 3, 4, 5], cuts=[0, 2, 4])
    assert told(plan_runs(index, range(6))) == [
        (range(1), [0, 1], [0, 1]),
        (range(1, 2), [2, 3], [2, 3]),
        (range(2, 3), [4, 5], [4, 5]),
    ]


# -- examples


def test_b_frames_that_nobody_asked_for_are_left_out() -> None:
    """I P B B P B B, shown as I B B P B B P."""
    index = frame_index([KEY, 0, DROPPABLE, DROPPABLE, 0, DROPPABLE, DROPPABLE], [0, 2, 3, 1, 5, 6, 4])
    assert told(plan_runs(index, [6])) == [(range(1), [0, 1, 4], [6])]
    assert told(plan_runs(index, [5])) == [(range(1), [0, 1, 4, 6], [5])]
    assert told(plan_runs(index, [1, 6])) == [(range(1), [0, 1, 2, 4], [1, 6])]


def test_leading_frames_decode_from_the_key_packet_before_theirs() -> None:
    """Open GOP over two segments: packets 3 and 4 follow key packet 2 and are shown before it."""
    index = frame_index([KEY, 0, KEY, LEADING | DROPPABLE, LEADING | DROPPABLE, 0], [0, 1, 3, 4, 2, 5], cuts=[0, 2])
    assert told(plan_runs(index, [2])) == [(range(2), [0, 1, 2, 3], [2])]
    assert told(plan_runs(index, [4])) == [(range(1, 2), [2], [4])]
    assert told(plan_runs(index, [3, 4])) == [(range(2), [0, 1, 2, 4], [3]), (range(1, 2), [2], [4])]


def test_an_open_gop_within_a_segment_is_decoded_once() -> None:
    index = frame_index([KEY, 0, KEY, LEADING, LEADING | DROPPABLE, 0], [0, 1, 3, 4, 2, 5])
    assert told(plan_runs(index, range(6))) == [(range(1), [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])]


def test_hidden_packets_are_fed_and_not_yielded() -> None:
    """An edit list that discards the first key frame: its packets stay, its frame is hidden."""
    index = frame_index([KEY, 0, 0], [1, 2])
    assert told(plan_runs(index, [0])) == [(range(1), [0, 1], [0])]


def test_a_stream_of_key_frames_is_one_run_where_it_is_consecutive() -> None:
    index = frame_index([KEY | DROPPABLE] * 6, list(range(6)))
    assert told(plan_runs(index, [0, 1, 2, 5])) == [(range(1), [0, 1, 2], [0, 1, 2]), (range(1), [5], [5])]


def test_packets_before_the_first_key_packet_decode_from_the_first() -> None:
    """A recording that begins in the middle of a GOP: as far as it decodes, it does so from its first packet."""
    index = frame_index([0, 0, KEY, 0], [0, 1, 2, 3])
    assert told(plan_runs(index, [1])) == [(range(1), [0, 1], [1])]
    assert told(plan_runs(index, [3])) == [(range(1), [2, 3], [3])]


def test_a_picture_has_both_of_its_fields() -> None:
    index = frame_index([KEY, SECOND_FIELD, 0, SECOND_FIELD, 0, SECOND_FIELD], [0, 4, 2])
    assert told(plan_runs(index, [0])) == [(range(1), [0, 1], [0])]
    assert told(plan_runs(index, [2])) == [(range(1), [0, 1, 2, 3], [2])]
    assert told(plan_runs(index, [1])) == [(range(1), [0, 1, 2, 3, 4, 5], [1])]
