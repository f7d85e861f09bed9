"""What an index of sound names, tried against slices of a list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.span import Span, at_time, check_rate, sample_type
from dreamlake.errors import FrameIndexError, UsageError

RATES = st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000, 96_000])
BOUND = st.none() | st.integers(-70, 70)


def names(span: Span) -> range:
    return range(span.start, span.stop)


@given(st.integers(-50, 50), st.integers(0, 50), st.lists(st.tuples(BOUND, BOUND), max_size=4))
def test_slices_of_slices_are_those_of_a_list(
    start: int, length: int, slices: list[tuple[int | None, int | None]]
) -> None:
    span, expected = Span(start, start + length), range(start, start + length)
    for first, last in slices:
        span, expected = span.select(slice(first, last), 48_000), expected[first:last]
    assert list(names(span)) == list(expected)


@given(st.integers(0, 50), st.integers(-60, 60))
def test_an_int_is_a_sample(length: int, at: int) -> None:
    span = Span(7, 7 + length)
    if -length <= at < length:
        assert list(names(span.select(at, 48_000))) == [range(7, 7 + length)[at]]
    else:
        with pytest.raises(FrameIndexError):
            span.select(at, 48_000)


@given(RATES, st.integers(1, 10**7), st.floats(0, 1), st.floats(0, 1))
def test_slices_that_meet_share_nothing_and_leave_out_nothing(rate: int, length: int, one: float, other: float) -> None:
    span = Span(0, length)
    first, second = sorted((one * length / rate, other * length / rate))
    parts = [span.select(part, rate) for part in (slice(None, first), slice(first, second), slice(second, None))]
    assert [parts[0].start, parts[0].stop, parts[1].stop, parts[2].stop] == [
        0, parts[1].start, parts[2].start, length,
    ]  # fmt: skip


@given(RATES, st.integers(0, 10**8))
def test_the_time_of_a_sample_names_it(rate: int, number: int) -> None:
    assert at_time(number / rate, rate) == number
    assert Span(0, 10**8 + 1).select(number / rate, rate) == Span(number, number + 1)


def test_seconds_from_the_end() -> None:
    span = Span(100, 1100)
    assert span.select(slice(-0.5, None), 1000) == Span(600, 1100)
    assert span.select(slice(-9.0, -0.25), 1000) == Span(100, 850)
    assert span.select(-0.25, 1000) == Span(850, 851)
    assert span.select(slice(0.75, 0.25), 1000) == Span(850, 850)


@pytest.mark.parametrize("number", [np.int64(3), np.float32(0.003), np.float64(0.003)])
def test_numbers_of_numpy(number: object) -> None:
    assert Span(0, 10).select(number, 1000) == Span(3, 4)


@pytest.mark.parametrize(
    "key",
    [
        "1",
        None,
        True,
        np.bool_(True),
        [1],
        (1, 2),
        1j,
        float("inf"),
        slice(0, 1.0),
        slice(0, 5, 2),
        slice(None, None, -1),
    ],
)
def test_what_names_nothing(key: object) -> None:
    with pytest.raises(UsageError):
        Span(0, 10).select(key, 1000)


def test_arguments() -> None:
    assert check_rate(None) is None
    assert check_rate(np.int32(16_000)) == check_rate(16_000.0) == 16_000
    assert sample_type(np.float64) == sample_type("float64") == sample_type(float) == "float64"
    for rate in (0, -1, 0.5, "16000", True, float("nan"), 10**9):
        with pytest.raises(UsageError):
            check_rate(rate)
    for dtype in ("uint8", "complex64", object, "nothing"):
        with pytest.raises(UsageError):
            sample_type(dtype)
