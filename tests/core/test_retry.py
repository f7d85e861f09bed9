"""When to try again: "retries up to 3 times on 429 / 5xx / network errors", honouring Retry-After (seed 5)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import isfinite

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dreamlake.core.retry import RETRYABLE, Backoff, parse_retry_after

from ._helpers import examples

NOW = datetime(2026, 4, 15, 12, 0, 0, tzinfo=UTC)


# -- which answers


def test_timeouts_rate_limits_and_server_errors_are_tried_again() -> None:
    assert {408, 429, *range(500, 600)} <= set(RETRYABLE)


@pytest.mark.parametrize("status", [200, 202, 301, 400, 401, 402, 403, 404, 409, 413, 416, 422, 499, 600])
def test_what_would_fail_again_is_not_tried_again(status: int) -> None:
    assert status not in RETRYABLE


# -- Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0.0), ("1", 1.0), ("30", 30.0), ("120", 120.0), ("86400", 86400.0)]
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW.timestamp()) == seconds


@examples(100)
@given(st.integers(-(10**6), 10**6))
def test_retry_after_as_a_date(seconds: int) -> None:
    value = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(value, NOW.timestamp()) == max(0, seconds)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
@pytest.mark.parametrize(
    "value", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_spellings_of_a_date_mean_gmt_everywhere(
    value: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse_retry_after(value, 784_111_777.0 - 30) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_retry_after() -> None:
    assert parse_retry_after(None, 0.0) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e999",
        "5 seconds",
        "0x10",
        "1_000",
        "None",
        "Wed, 99 Oct 2015 07:28:00 GMT",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +9999",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_nonsense_is_no_retry_after(value: str) -> None:
    assert parse_retry_after(value, NOW.timestamp()) is None


def test_less_than_nothing_is_no_wait() -> None:
    assert parse_retry_after("-5", NOW.timestamp()) in (None, 0.0)


headers = st.one_of(
    st.text(max_size=30),
    st.integers(-10, 10**30).map(str),
    st.floats().map(str),
    st.datetimes().map(lambda when: format_datetime(when.replace(tzinfo=UTC), usegmt=True)),
    st.from_regex(
        r"\A(Mon, )?[0-9]{1,3} (Jan|Feb|Foo) [0-9]{1,6} [0-9]{1,3}:[0-9]{2}(:[0-9]{2})? ?([+-][0-9]{1,25}|GMT)?\Z"
    ),
)


@examples(250)
@given(headers, st.integers(0, 2**33))
@example("nan", 0)
@example("inf", 0)
@example("Sun, 01 Jan 0001 00:00:00", 0)
def test_any_header_is_seconds_or_nothing(value: str, now: int) -> None:
    seconds = parse_retry_after(value, float(now))
    assert seconds is None or (isfinite(seconds) and seconds >= 0)


# -- how long

backoffs = st.builds(Backoff, st.integers(1, 5000), st.floats(0.001, 10), st.floats(0.001, 100))
chances = st.floats(0, 1, exclude_max=True)


@examples(200)
@given(backoffs, st.integers(1, 6000), chances)
@example(Backoff(attempts=5000), 1100, 0.5)
def test_a_wait_is_at_least_half_and_never_above_the_bound(backoff: Backoff, failures: int, chance: float) -> None:
    wait = backoff.delay(failures, chance)
    if failures >= backoff.attempts:
        assert wait is None
        return
    bound = backoff.cap if failures > 100 else min(backoff.cap, backoff.base * 2 ** (failures - 1))
    assert wait is not None
    assert bound / 2 <= wait <= bound


def test_chance_moves_a_wait_from_half_to_all_of_the_bound() -> None:
    assert [Backoff(base=8.0).delay(1, chance) for chance in (0.0, 0.25, 0.5, 0.75)] == [4.0, 5.0, 6.0, 7.0]


def test_by_default_five_tries_within_seconds() -> None:
    waits = [Backoff().delay(failures, 0.0) for failures in range(1, 6)]
    assert waits == [0.125, 0.25, 0.5, 1.0, None]
    assert Backoff(attempts=100).delay(99, 0.0) == 7.5


def test_waits_double_until_the_cap() -> None:
    backoff = Backoff(attempts=8, base=0.25, cap=5.0)
    assert [backoff.delay(failures, 0.0) for failures in range(1, 9)] == [
        0.125, 0.25, 0.5, 1.0, 2.0, 2.5, 2.5, None,
    ]  # fmt: skip


def test_attempts_count_the_first_try() -> None:
    assert [Backoff(attempts=4).delay(failures, 0.5) is None for failures in (1, 2, 3, 4, 5)] == [
        False, False, False, True, True,
    ]  # fmt: skip
    assert Backoff(attempts=1).delay(1, 0.5) is None


@examples(100)
@given(backoffs, st.integers(1, 200), chances, chances)
def test_chance_spreads_the_waits(backoff: Backoff, failures: int, one: float, other: float) -> None:
    assume(failures < backoff.attempts)
    low, high = (backoff.delay(failures, chance) for chance in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high <= 2 * low
    assert (backoff.delay(failures, 0.0) or 0) < (backoff.delay(failures, 0.999) or 0)


@pytest.mark.parametrize(
    ("asked", "wait"), [(0.0, 0.0), (0.5, 0.5), (30.0, 30.0), (120.0, 120.0), (120.5, None), (259_200.0, None)]
)
def test_the_servers_wish_is_honoured_up_to_two_minutes(asked: float, wait: float | None) -> None:
    assert Backoff(cap=1.0).delay(1, 0.9, retry_after=asked) == wait


def test_the_servers_wish_does_not_add_tries() -> None:
    assert Backoff(attempts=3).delay(3, 0.5, retry_after=1.0) is None


@examples(200)
@given(backoffs, st.integers(1, 6000), chances, headers, st.integers(0, 2**33))
def test_whatever_a_server_says_a_wait_is_bounded(
    backoff: Backoff, failures: int, chance: float, header: str, now: int
) -> None:
    wait = backoff.delay(failures, chance, parse_retry_after(header, float(now)))
    assert wait is None or 0 <= wait <= max(120, backoff.cap)
