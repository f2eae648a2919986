"""A first byte is late when it is later than 95 of 100 of that upstream's own; few are asked for a second time."""

import random

import pytest

from edge.clock import FakeClock
from edge.origin.budget import HEDGES_MOST, HEDGES_PER_REQUEST
from edge.origin.hedge import ENOUGH, FLOOR, KNOWN, RENEWED, Hedge


def known(*seconds: float) -> Hedge:
    hedge = Hedge(FakeClock())
    for each in seconds:
        hedge.note(each)
    return hedge


def shuffled(count: int, step: float, seed: int = 1) -> list[float]:
    """`step`, twice as much, and so on, in any order."""
    found = [number * step for number in range(1, count + 1)]
    random.Random(seed).shuffle(found)
    return found


def test_nothing_is_late_before_enough_is_known() -> None:
    assert known(*[1.0] * (ENOUGH - 1)).after is None
    assert known(*[1.0] * ENOUGH).after == 1.0


@pytest.mark.parametrize("step", [0.01, 0.5])
def test_late_is_what_five_of_a_hundred_are(step: float) -> None:
    told = shuffled(KNOWN, step)  # 128 = 8 * RENEWED: the last one has had it worked out
    after = known(*told).after
    assert after is not None
    assert 0.04 < sum(each > after for each in told) / KNOWN <= 0.05


def test_each_upstream_has_its_own() -> None:
    near, far = known(*shuffled(KNOWN, 0.001)), known(*shuffled(KNOWN, 0.01))
    assert near.after is not None
    assert far.after is not None
    assert far.after == pytest.approx(10 * near.after)


def test_an_upstream_that_has_become_slower_or_faster_is_followed() -> None:
    hedge = known(*shuffled(KNOWN, 0.01))
    before = hedge.after
    assert before is not None
    for factor in (3.0, 1.0):
        for each in shuffled(KNOWN, factor * 0.01, seed=2):
            hedge.note(each)
        assert hedge.after == pytest.approx(factor * before)


def test_one_that_is_very_late_does_not_say_what_is_late() -> None:
    assert known(*[0.2] * (2 * KNOWN - RENEWED), *[9.0] * 3, *[0.2] * (RENEWED - 3)).after == 0.2


def test_what_is_faster_than_a_second_request_is_worth_is_not_late() -> None:
    assert known(*[0.001] * KNOWN).after == FLOOR


@pytest.mark.parametrize("slower_from", [5_000, 1_000_000])
def test_no_more_than_five_of_a_hundred_requests_are_sent_twice(slower_from: int) -> None:
    """Also when an upstream becomes ten times as slow at once, so that for a while all are late."""
    hedge, draw, count, sent = Hedge(FakeClock()), random.Random(7), 20_000, 0
    for number in range(count):
        first = draw.lognormvariate(-2.0, 0.5) * (10 if number >= slower_from else 1)
        after = hedge.after
        if after is not None and first > after and hedge.take():
            sent += 1
            first = min(first, after + draw.lognormvariate(-2.0, 0.5))
        hedge.note(first)
        assert sent <= HEDGES_PER_REQUEST * (number + 1)
    assert sent > 0.02 * count  # and those that are late are


def test_a_quiet_upstream_saves_up_few() -> None:
    hedge = known(*[0.2] * 10_000)
    assert sum(hedge.take() for _ in range(100)) == HEDGES_MOST
