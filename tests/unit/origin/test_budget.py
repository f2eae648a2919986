"""Retries and hedges stay a share of the requests."""

from edge.clock import FakeClock
from edge.origin.budget import HEDGES_MOST, RETRIES_MOST, hedge_budget, retry_budget


def taken(budget: object, most: int = 10_000) -> int:
    count = 0
    while count < most and budget.take():  # type: ignore[attr-defined]
        count += 1
    return count


def test_retries_are_a_fifth_of_the_requests_beyond_a_first_stock() -> None:
    budget = retry_budget(FakeClock())
    assert taken(budget) == RETRIES_MOST
    for _ in range(100):
        budget.earn()
    assert 19 <= taken(budget) <= 20


def test_with_time_a_quiet_site_may_try_again() -> None:
    clock = FakeClock()
    budget = retry_budget(clock)
    taken(budget)
    clock.advance(3.0)
    assert taken(budget) == 3


def test_there_is_never_more_than_the_most() -> None:
    clock = FakeClock()
    budget = retry_budget(clock)
    for _ in range(10_000):
        budget.earn()
    clock.advance(1e6)
    assert taken(budget) == RETRIES_MOST


def test_hedges_are_a_twentieth_of_the_requests() -> None:
    budget = hedge_budget(FakeClock())
    assert taken(budget) == 0
    hedged = 0
    for _ in range(1000):
        budget.earn()
        hedged += budget.take()
    assert 49 <= hedged <= 50
    for _ in range(1000):
        budget.earn()
    assert taken(budget) == HEDGES_MOST
