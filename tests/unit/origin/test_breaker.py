"""When a member of an upstream is asked: closed, open, half-open."""

import logging

import pytest

from edge.clock import FakeClock
from edge.origin.breaker import (
    FAILURES,
    OPEN_FIRST,
    OPEN_MOST,
    START_SECONDS,
    START_SHARE,
    TRIAL_MOST,
    UNTRIED,
    UNWELL,
    Breaker,
    State,
)


def opened(clock: FakeClock) -> Breaker:
    breaker = Breaker(clock, "shield:80")
    for _ in range(FAILURES):
        breaker.failed("answered 503")
    return breaker


def half_open(clock: FakeClock) -> Breaker:
    breaker = opened(clock)
    clock.advance(OPEN_FIRST)
    breaker.checked(well=True)
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    breaker = Breaker(FakeClock())
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed()
        assert breaker.state is State.CLOSED
        breaker.succeeded()
    assert opened(FakeClock()).state is State.OPEN


def test_after_a_while_it_is_checked_and_only_when_that_went_well_one_request_may_try_it() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    assert not breaker.check_due
    clock.advance(OPEN_FIRST)
    assert breaker.check_due
    assert breaker.state is State.OPEN
    assert breaker.take_trial() is None
    breaker.checked(well=True)
    assert breaker.state is State.HALF_OPEN
    trial = breaker.take_trial()
    assert trial is not None
    assert breaker.take_trial() is None
    assert not breaker.serves
    clock.advance(TRIAL_MOST - 1.0)
    assert breaker.take_trial() is None


def test_a_trial_that_lasts_keeps_others_from_trying_for_a_while_only() -> None:
    """Where bodies break it lasts as long as its own: a film that somebody reads for hours."""
    clock = FakeClock()
    breaker = half_open(clock)
    film = breaker.take_trial()
    clock.advance(TRIAL_MOST)
    assert breaker.serves
    assert breaker.check_due
    other = breaker.take_trial()
    assert other is not None
    assert not breaker.serves
    assert not breaker.check_due
    breaker.give_back(film)
    assert breaker.take_trial() is None, "it is the other's now"


def test_a_trial_that_is_given_back_is_another_requests() -> None:
    """It was never sent, or who asked has left."""
    breaker = half_open(FakeClock())
    for _ in range(3):
        trial = breaker.take_trial()
        assert trial is not None
        breaker.give_back(trial)
    assert breaker.state is State.HALF_OPEN
    assert breaker.serves


def test_who_has_had_its_trial_does_not_give_back_the_next_one() -> None:
    clock = FakeClock()
    breaker = half_open(clock)
    first = breaker.take_trial()
    breaker.failed("no answer")
    clock.advance(OPEN_MOST)
    breaker.checked(well=True)
    second = breaker.take_trial()
    breaker.give_back(first)
    breaker.give_back(None)
    assert breaker.take_trial() is None
    breaker.give_back(second)
    assert breaker.take_trial() is not None


def test_an_answer_closes_it_and_its_share_grows_from_then_on() -> None:
    clock = FakeClock()
    breaker = half_open(clock)
    breaker.take_trial()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE
    clock.advance(START_SECONDS / 2)
    assert START_SHARE < breaker.share < 1.0
    clock.advance(START_SECONDS)
    assert breaker.share == 1.0


@pytest.mark.parametrize("fails", ["check", "trial"])
def test_each_check_or_trial_that_fails_is_followed_by_a_longer_pause_up_to_a_limit(fails: str) -> None:
    clock = FakeClock()
    breaker = opened(clock)
    waits = []
    for _ in range(8):
        waited = 0.0
        while not breaker.check_due:
            assert breaker.state is State.OPEN
            clock.advance(0.5)
            waited += 0.5
        waits.append(waited)
        breaker.checked(well=fails == "trial")
        if fails == "trial":
            assert breaker.take_trial() is not None
            breaker.failed()
    assert waits == [OPEN_FIRST, 2.0, 4.0, 8.0, OPEN_MOST, OPEN_MOST, OPEN_MOST, OPEN_MOST]
    breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_what_was_asked_before_it_changed_says_nothing_of_how_it_is_now() -> None:
    """When a member hangs, all that it was asked fails bit by bit, long after it has answered a check."""
    clock = FakeClock()
    before = clock.monotonic()
    clock.advance(0.5)
    breaker = half_open(clock)
    breaker.failed("no answer in 8 s", begun=before)
    assert breaker.state is State.HALF_OPEN
    breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed("no answer in 8 s", begun=before)
    assert breaker.state is State.CLOSED
    clock.advance(0.5)
    for _ in range(FAILURES):
        breaker.failed("no answer in 8 s", begun=clock.monotonic())
    assert breaker.state is State.OPEN


def test_where_no_player_tries_it_a_second_check_closes_it_but_the_pauses_stay_long() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    for _ in range(3):
        clock.advance(OPEN_MOST)
        breaker.checked(well=False)
    clock.advance(OPEN_MOST)
    breaker.checked(well=True)
    breaker.checked(well=True)
    assert breaker.state is State.HALF_OPEN
    clock.advance(UNTRIED)
    assert breaker.check_due
    breaker.checked(well=True)
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE
    for _ in range(FAILURES):
        breaker.failed()
    clock.advance(2 * OPEN_FIRST)
    assert not breaker.check_due


def test_one_that_is_away_again_as_soon_as_it_is_back_is_checked_after_longer_pauses_until_it_stays() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    waits = []
    for _ in range(6):
        waited = 0.0
        while not breaker.check_due:
            clock.advance(0.5)
            waited += 0.5
        waits.append(waited)
        breaker.checked(well=True)
        breaker.succeeded()
        assert breaker.state is State.CLOSED
        for _ in range(FAILURES):
            breaker.failed()
    assert waits == [OPEN_FIRST, 2.0, 4.0, 8.0, OPEN_MOST, OPEN_MOST]
    clock.advance(OPEN_MOST)
    breaker.checked(well=True)
    breaker.succeeded()
    clock.advance(START_SECONDS)
    breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed()
    clock.advance(OPEN_FIRST)
    assert breaker.check_due


def test_one_that_fails_its_second_check_is_open_again() -> None:
    clock = FakeClock()
    breaker = half_open(clock)
    clock.advance(UNTRIED)
    breaker.checked(well=False, why="no answer")
    assert breaker.state is State.OPEN
    assert not breaker.check_due


def test_each_change_is_told_when_it_happens_with_the_member_and_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge.origin")
    clock = FakeClock()
    breaker = opened(clock)

    def told() -> str:
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        assert len(said) == 1
        assert "shield:80" in said[0]
        return said[0]

    said = told()
    assert "breaker open" in said
    assert "answered 503" in said
    clock.advance(OPEN_FIRST)
    breaker.checked(well=False, why="no answer")
    assert not caplog.records, "it was open before"
    clock.advance(OPEN_MOST)
    breaker.checked(well=True, why="check: answered 206")
    said = told()
    assert "breaker half-open" in said
    assert "answered 206" in said
    breaker.failed("first_byte_timeout")
    said = told()
    assert "breaker open" in said
    assert "first_byte_timeout" in said
    breaker.succeeded()
    assert "breaker closed" in told()
    for _ in range(UNWELL):
        breaker.probed(well=False, why="answered 500")
    said = told()
    assert "breaker open" in said
    assert "probes" in said
    assert "answered 500" in said
    breaker.probed(well=True, why="answered 200")
    said = told()
    assert "breaker closed" in said
    assert "answered 200" in said


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


def test_after_a_good_probe_a_player_may_try_what_players_have_found_to_be_away() -> None:
    """A server that has an answer for probes only is not back."""
    breaker = opened(FakeClock())
    breaker.probed(well=True)
    assert breaker.state is State.HALF_OPEN
    breaker.probed(well=True)
    assert breaker.state is State.HALF_OPEN
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.share == START_SHARE


def test_good_probes_take_nothing_from_the_share_of_a_member_that_was_not_away() -> None:
    breaker = Breaker(FakeClock())
    breaker.failed()
    breaker.probed(well=True)
    assert breaker.share == 1.0
