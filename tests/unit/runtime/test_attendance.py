"""Which volume was away, so that others have had its objects meanwhile."""

import pytest

from edge.clock import FakeClock
from edge.control.owed import AWAY_SECONDS
from edge.runtime.attendance import LATE_SECONDS, Attendance
from edge.runtime.volumes import FALLS, UNSTEADY_SECONDS


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keepers(clock: FakeClock) -> Attendance:
    made = Attendance(clock.monotonic)
    made.begin([0, 1], starting=True)
    assert not made.found(0)
    assert not made.found(1)
    return made


def test_a_keeper_that_is_back_soon_was_not_away(keepers: Attendance, clock: FakeClock) -> None:
    keepers.lost(0)
    clock.advance(AWAY_SECONDS - 0.1)
    assert not keepers.has_just_gone(0)
    assert keepers.gone_since(0) > 0
    assert not keepers.found(0)
    assert keepers.gone_since(0) == 0


def test_one_that_is_gone_for_too_long_is_told_once_while_it_is_or_when_it_is_found(
    keepers: Attendance, clock: FakeClock
) -> None:
    for volume in (0, 1):
        keepers.lost(volume)
    clock.advance(AWAY_SECONDS)
    assert keepers.has_just_gone(0)
    assert not keepers.has_just_gone(0)
    assert not keepers.found(0)
    assert keepers.found(1)
    assert not keepers.has_just_gone(1)


def test_keepers_that_die_one_after_the_other_count_as_away_however_soon_the_next_one_is_there(
    keepers: Attendance, clock: FakeClock
) -> None:
    for number in range(FALLS):
        keepers.lost(0)
        assert (clock.monotonic() - keepers.gone_since(0) >= AWAY_SECONDS) is (number == FALLS - 1)
        assert keepers.found(0) is (number == FALLS - 1)
        clock.advance(1)
    clock.advance(UNSTEADY_SECONDS)
    keepers.lost(0)
    assert not keepers.found(0)


def test_at_the_start_one_that_is_later_than_the_first_was_away(clock: FakeClock) -> None:
    keepers = Attendance(clock.monotonic)
    keepers.begin([0, 1, 2], starting=True)
    clock.advance(100)
    assert not keepers.found(1)
    clock.advance(LATE_SECONDS - 0.1)
    assert not keepers.found(0)
    clock.advance(0.2)
    assert keepers.has_just_gone(2)


def test_the_only_volume_of_a_server_is_never_left(clock: FakeClock) -> None:
    keepers = Attendance(clock.monotonic)
    keepers.begin([3], starting=True)
    keepers.lost(3)
    clock.advance(1000)
    assert not keepers.has_just_gone(3)
    assert keepers.gone_since(3) == 0
    assert not keepers.found(3)
