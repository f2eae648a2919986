"""How long a member is expected to take, by what was measured lately."""

import pytest

from edge.clock import FakeClock
from edge.origin.latency import HALVED, REMEMBERED, Latency


def known(clock: FakeClock, seconds: float) -> Latency:
    latency = Latency(clock)
    for _ in range(30):
        answer(latency, clock, seconds)
    return latency


def answer(latency: Latency, clock: FakeClock, seconds: float) -> None:
    latency.asked()
    clock.advance(seconds)
    latency.answered(seconds)


def test_before_the_first_answer_it_is_the_round_trip_and_before_that_nothing() -> None:
    latency = Latency(FakeClock())
    assert latency.expected(None) == 0.0
    assert latency.expected(0.2) == 0.2


def test_after_ten_answers_a_change_is_seen_and_one_odd_answer_is_none() -> None:
    clock = FakeClock()
    latency = known(clock, 0.01)
    answer(latency, clock, 0.5)
    latency.asked()
    assert latency.expected(0.001) < 0.15
    for _ in range(9):
        answer(latency, clock, 0.5)
    latency.asked()
    assert latency.expected(0.001) > 0.4


def test_who_is_not_asked_seems_faster_with_time_until_it_is_asked() -> None:
    clock = FakeClock()
    latency = known(clock, 0.4)
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.4)
    clock.advance(HALVED)
    assert latency.expected(None) == pytest.approx(0.2)
    clock.advance(9 * HALVED)
    assert latency.expected(None) < 0.001
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.4), "one request is enough"


def test_what_was_measured_long_ago_counts_for_nothing() -> None:
    clock = FakeClock()
    latency = known(clock, 2.0)
    clock.advance(REMEMBERED)
    answer(latency, clock, 0.02)
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.02)


def test_silence_counts_and_is_forgotten_with_the_next_answer() -> None:
    clock = FakeClock()
    latency = known(clock, 0.02)
    latency.silent(8.0)
    latency.asked()
    assert latency.expected(None) == 8.0
    answer(latency, clock, 0.03)
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.03)


def test_what_probes_and_checks_find_counts_only_until_somebody_has_asked() -> None:
    clock = FakeClock()
    latency = Latency(clock)
    latency.checked(0.002)
    latency.asked()
    assert latency.expected(0.2) == pytest.approx(0.002), "nobody knows more"
    answer(latency, clock, 0.3)
    for _ in range(20):
        clock.advance(5.0)
        latency.checked(0.002)
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.3)
    latency.silent(8.0)
    latency.checked(0.03)
    assert latency.expected(None) == pytest.approx(0.03), "it is back"
    answer(latency, clock, 0.3)
    latency.asked()
    assert latency.expected(None) == pytest.approx(0.3)


def test_one_that_is_only_probed_seems_faster_with_time_like_any_that_nobody_asks() -> None:
    clock = FakeClock()
    latency = known(clock, 0.4)
    latency.asked()
    clock.advance(HALVED)
    latency.checked(0.002)
    assert latency.expected(None) == pytest.approx(0.2)
