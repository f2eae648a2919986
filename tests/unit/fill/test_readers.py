"""How far the fill may be past a reader: little for one that is paced, more for one that waits."""

import pytest

from edge.fill.channel import Channel
from edge.fill.messages import UNKNOWN, Fetch, Mode
from edge.fill.readers import Reader
from edge.fill.settings import FillSettings
from edge.words import MIB, Kind

SETTINGS = FillSettings()


def reader() -> Reader:
    channel: Channel = None  # type: ignore[assignment] # it is told nothing
    return Reader(channel, Fetch(7, Mode.FILL, "s", b"GET", b"/a", b"k", b"/a", Kind.MP4, (), 0, UNKNOWN, 0, True))


def reads(who: Reader, *, ready: int, seconds: float, times: int) -> None:
    """So many MiB, one in so many seconds, with so much ready before it."""
    for _ in range(times):
        who.position += MIB
        now = who._paced[1] + seconds
        who.pace(ready, now, SETTINGS)


def test_at_first_the_settings_say_how_far() -> None:
    who = reader()
    assert who.may_have(SETTINGS.ahead - 1, SETTINGS)
    assert not who.may_have(SETTINGS.ahead, SETTINGS)


def test_one_that_waits_is_filled_for_further_ahead_each_time_up_to_a_limit() -> None:
    who = reader()
    reads(who, ready=0, seconds=1.0, times=12)
    assert SETTINGS.ahead < who.ahead < SETTINGS.ahead_most
    reads(who, ready=0, seconds=1.0, times=80)
    assert who.ahead == SETTINGS.ahead_most


@pytest.mark.parametrize("ready", [0, 8 * MIB])
def test_one_that_waits_or_is_fast_and_has_read_little_is_filled_for_no_further_than_twice_that(ready: int) -> None:
    """What fills the sockets on the way to a player looks like a fast one, and it may not even be read."""
    who = reader()
    for read in range(1, 60):
        reads(who, ready=ready, seconds=0.001, times=1)
        assert who.ahead <= max(SETTINGS.ahead, 2 * read * MIB)


def test_one_that_is_paced_gets_no_more_than_the_settings_say() -> None:
    who = reader()
    reads(who, ready=8 * MIB, seconds=2.0, times=20)
    assert who.ahead == SETTINGS.ahead


def test_one_that_reads_fast_stays_far_ahead_while_all_is_ready() -> None:
    who = reader()
    reads(who, ready=40 * MIB, seconds=0.02, times=40)
    assert SETTINGS.ahead < who.ahead < SETTINGS.ahead_most
    reads(who, ready=40 * MIB, seconds=0.02, times=40)
    assert who.ahead == SETTINGS.ahead_most


def test_one_that_waited_and_then_slows_down_is_filled_for_less_again() -> None:
    who = reader()
    reads(who, ready=0, seconds=0.1, times=100)
    reads(who, ready=40 * MIB, seconds=2.0, times=20)
    assert who.ahead == SETTINGS.ahead


def test_a_run_that_has_begun_goes_on_from_where_it_began() -> None:
    who = reader()
    begun = 4 * SETTINGS.ahead
    assert not who.may_have(begun + MIB, SETTINGS)
    assert who.may_have(begun + MIB, SETTINGS, begun)
