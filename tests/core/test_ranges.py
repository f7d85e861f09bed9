"""Which bytes are read together, how far ahead, and what a box of MP4 says of itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.ranges import Box, ReadAhead, parse_box, plan_ranges

pieces = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 300)), min_size=1, max_size=40)


@given(pieces, st.integers(0, 500))
def test_ranges_hold_every_piece_once_and_skip_what_is_far(found: list[tuple[int, int]], gap: int) -> None:
    begins = np.array([begin for begin, _ in found], np.int64)
    ends = begins + np.array([size for _, size in found], np.int64)
    ranges = list(plan_ranges(begins, ends, gap))
    assert sorted(int(number) for _, _, numbers in ranges for number in numbers) == list(range(len(found)))
    for begin, end, numbers in ranges:
        assert begin == begins[numbers].min()
        assert end == ends[numbers].max()
    for (_, end, _), (begin, _, _) in pairwise(ranges):
        assert begin > end + gap  # nearer ones would have been one
    wanted = {byte for begin, size in found for byte in range(begin, begin + size)}
    for begin, end, _ in ranges:
        held = [byte in wanted for byte in range(begin, end)]
        longest = max((len(run) for run in "".join(".x"[byte] for byte in held).split("x")), default=0)
        assert longest <= gap


def test_reading_on_fetches_more_and_more_up_to_a_bound() -> None:
    ahead, at, counts = ReadAhead(most=64), 0, []
    for _ in range(7):
        counts.append(ahead.plan(at))
        at += counts[-1]
    assert counts == [1, 4, 16, 32, 64, 64, 64]


def test_a_jump_begins_anew_and_a_short_one_does_not() -> None:
    ahead = ReadAhead(most=64, near=8)
    assert [ahead.plan(0), ahead.plan(1 + 8)] == [1, 4]
    assert ahead.plan(9 + 4 + 9) == 1
    assert ahead.plan(3) == 1  # backwards


@pytest.mark.parametrize(
    ("header", "box"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", Box(b"ftyp", 108, 132)),
        (b"\0\0\0\1mdat\0\0\0\0\0\0\1\0", Box(b"mdat", 116, 356)),
        (b"\0\0\0\0mdatXXXXXXXX", Box(b"mdat", 108, 1000)),  # to the end of the file
        (b"\0\0\xff\xffmdatXXXXXXXX", Box(b"mdat", 108, 1000)),  # longer than the file, which was cut short
        (b"\0\0\0\x08free", Box(b"free", 108, 108)),
        (b"\0\0\0\x07freeXXXXXXXX", None),
        (b"\0\0\0\1mdat\0\0\0\0\0\0\0\x0f", None),
        (b"\0\0\0\x20fty", None),
        (b"", None),
    ],
)
def test_boxes(header: bytes, box: Box | None) -> None:
    assert parse_box(header, 100, 1000) == box
