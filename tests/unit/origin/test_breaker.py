"""When a member of an upstream is asked: closed, open, half-open."""

from edge.clock import FakeClock
from edge.origin.breaker import (
    FAILURES,
    OPEN_FIRST,
    OPEN_MOST,
    START_SECONDS,
    START_SHARE,
    TRIAL_SECONDS,
    UNWELL,
    Breaker,
    State,
)


def opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    breaker = Breaker(FakeClock())
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed()
        assert breaker.state is State.CLOSED
        breaker.succeeded()
    assert opened(FakeClock()).state is State.OPEN


def test_after_a_while_one_request_may_try_it() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(OPEN_FIRST)
    assert breaker.state is State.HALF_OPEN
    assert [breaker.take_trial() for _ in range(3)] == [True, False, False]
    clock.advance(TRIAL_SECONDS)
    assert breaker.take_trial()


def test_an_answer_closes_it_and_its_share_grows_from_then_on() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(OPEN_FIRST)
    breaker.take_trial()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE
    clock.advance(START_SECONDS / 2)
    assert START_SHARE < breaker.share < 1.0
    clock.advance(START_SECONDS)
    assert breaker.share == 1.0


def test_each_failed_trial_opens_it_for_longer_up_to_a_limit() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    waits = []
    for _ in range(8):
        waited = 0.0
        while breaker.state is State.OPEN:
            clock.advance(0.5)
            waited += 0.5
        waits.append(waited)
        assert breaker.take_trial()
        breaker.failed()
    assert waits[0] == OPEN_FIRST
    assert waits == sorted(waits)
    assert waits[-1] == OPEN_MOST
    breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_one_that_was_never_away_has_its_whole_share() -> None:
    assert Breaker(FakeClock()).share == 1.0


def test_failed_probes_open_it_whatever_players_get_and_a_good_one_closes_it_with_a_small_share() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(UNWELL - 1):
        breaker.probed(well=False)
    assert breaker.state is State.CLOSED
    breaker.probed(well=True)
    for _ in range(UNWELL):
        breaker.probed(well=False)
        breaker.succeeded()
    assert breaker.state is State.OPEN
    clock.advance(10 * OPEN_MOST)
    assert breaker.state is State.OPEN
    breaker.probed(well=True)
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE


def test_a_good_probe_closes_what_players_have_found_to_be_away() -> None:
    breaker = opened(FakeClock())
    breaker.probed(well=True)
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE


def test_good_probes_take_nothing_from_the_share_of_a_member_that_was_not_away() -> None:
    breaker = Breaker(FakeClock())
    breaker.failed()
    breaker.probed(well=True)
    assert breaker.share == 1.0
