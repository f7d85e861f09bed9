"""How fast a pool goes, when it stops, and what it may spend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.bulk import Budget, CostEstimate, idempotency_key
from dreamlake.core.pace import Breaker, Pace, Window


def test_each_429_takes_a_quarter_and_25_successes_give_one_back() -> None:
    pace = Pace(16)
    for expected in (12.0, 9.0, 6.75):
        pace.refused()
        assert pace.limit == expected
    for _ in range(24):
        pace.succeeded()
    assert pace.limit == 6.75
    pace.succeeded()
    assert pace.limit == 7.0


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=400))
def test_the_limit_stays_between_one_and_the_ceiling(ceiling: int, answers: list[bool]) -> None:
    pace = Pace(ceiling)
    for ok in answers:
        pace.succeeded() if ok else pace.refused()
        assert 1.0 <= pace.limit <= ceiling
    for _ in range(25 * ceiling):
        pace.succeeded()
    assert pace.limit == ceiling


def test_a_pause_holds_all_and_is_never_longer_than_two_minutes() -> None:
    pace = Pace(4)
    assert pace.wait(100.0) == 0.0
    pace.hold(100.0, 3.0)
    pace.hold(100.0, 1.0)  # the longer one counts
    assert pace.wait(101.0) == 2.0
    pace.hold(100.0, 1e6)
    assert pace.wait(100.0) == 120.0


@pytest.mark.parametrize(
    ("outcomes", "broken"),
    [
        ([False] * 9, False),
        ([False] * 10, True),
        ([True] * 5 + [False] * 5, True),
        ([True] * 6 + [False] * 5, False),
        ([True] * 1000 + [False] * 50, False),  # rows may be bad together
    ],
)
def test_the_breaker_breaks_when_half_of_ten_or_more_failed(outcomes: list[bool], broken: bool) -> None:
    breaker = Breaker()
    for ok in outcomes:
        breaker.note(ok=ok)
    assert breaker.broken is broken


def test_the_breaker_breaks_when_the_engine_failed_lately_however_long_it_went_well() -> None:
    breaker = Breaker()
    for _ in range(1000):
        breaker.note(ok=True)
    for _ in range(24):
        breaker.note(ok=False, engine=True)
    assert not breaker.broken
    breaker.note(ok=False, engine=True)
    assert breaker.broken


@given(st.lists(st.floats(0, 200), max_size=300))
def test_no_window_of_an_hour_has_more_than_it_may(gaps: list[float]) -> None:
    window, now, times = Window(60, 3600.0), 0.0, []
    for gap in gaps:
        now += gap
        now += window.wait(now)
        window.note(now)
        times.append(now)
        assert sum(now - 3600.0 < time for time in times) <= 60


def test_a_window_lets_the_first_ones_through_at_once() -> None:
    window = Window(60, 3600.0)
    for _ in range(60):
        assert window.wait(0.0) == 0.0
        window.note(0.0)
    assert window.wait(0.0) == 3600.0
    assert window.wait(3599.0) == 1.0
    assert window.wait(3600.0) == 0.0


@given(st.floats(0, 10), st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_a_budget_is_never_overspent(most: float, rows: list[tuple[float, bool]]) -> None:
    budget = Budget(most)
    under_way: list[float] = []
    for cost, ends in rows:
        if budget.reserve(cost):
            under_way.append(cost)
        if ends and under_way:
            done = under_way.pop()
            budget.settle(done, done)
    for cost in under_way:
        budget.settle(cost, cost)
    assert budget.spent <= most * (1 + 1e-6)


def test_without_a_bound_everything_is_affordable() -> None:
    assert Budget(None).reserve(1e9)


def test_the_last_row_is_not_lost_to_rounding() -> None:
    budget = Budget(10 * 0.0245)
    for _ in range(10):
        assert budget.reserve(0.0245)
        budget.settle(0.0245, 0.0245)
    assert not budget.reserve(0.0245)


def test_an_estimate_of_the_fixture_of_the_documentation() -> None:
    estimate = CostEstimate.of(16, 49, 0.0005)
    assert (estimate.total_frames, f"${estimate.total_usd:.4f}") == (784, "$0.3920")
    assert CostEstimate.of(None, 49, 0.0005).total_usd is None


def test_a_key_is_of_the_run_the_row_and_its_content() -> None:
    one = idempotency_key("run", "row", b"content")
    assert one == idempotency_key("run", "row", b"content")
    others = {
        idempotency_key("other", "row", b"content"),
        idempotency_key("run", "other", b"content"),
        idempotency_key("run", "row", b"other"),
    }
    assert len(others | {one}) == 4
