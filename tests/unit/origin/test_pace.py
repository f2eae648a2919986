"""What comes for several bodies is asked for as fast as the path carries, and slower while it has a queue."""

import pytest

from edge.origin.load import FULL, REMEMBERED, Load
from edge.origin.pace import FASTER, IN_VAIN, KNOWN, LATE, LEAST, MOST, SLOWER, SOON, Pace

RTT = 0.2


def round_trips(pace: Pace, count: int, *waits: float, begun: float = 100.0) -> float:
    """So many round trips in each of which two pieces or more have waited so long; the time afterwards."""
    for number in range(count):
        for at, wait in enumerate(waits):
            pace.waited(wait, begun + (2 * number + 1.01 * at / (len(waits) - 1)) * RTT, RTT)
    return begun + 2 * count * RTT


def crowded(per_round_trip: int) -> tuple[Load, float]:
    """A path that carries so much and has a queue; the time."""
    load = Load()
    for number in range(101):
        load.came(per_round_trip // 10, 100.0 + number * RTT / 10, RTT)
    load.waited(2 * RTT, 110.0, RTT)
    return load, 110.0


def test_it_slows_down_while_first_bytes_come_late_and_speeds_up_while_they_do_not() -> None:
    pace = Pace()
    now = round_trips(pace, 1, 1.1 * RTT, 1.1 * RTT)
    assert pace.factor == pytest.approx(SLOWER)
    round_trips(pace, 1, RTT, RTT, begun=now)
    assert pace.factor == pytest.approx(SLOWER * FASTER)


def test_it_goes_by_the_median_of_a_round_trip_since_a_lost_packet_says_nothing_of_a_queue() -> None:
    pace = Pace()
    round_trips(pace, 1, 3 * RTT, RTT, RTT)
    assert pace.factor > 1.0
    pace = Pace()
    round_trips(pace, 1, 1.01 * LATE * RTT, 1.01 * LATE * RTT, RTT)
    assert pace.factor < 1.0


def test_it_speeds_up_to_a_bound() -> None:
    pace = Pace()
    round_trips(pace, 100, RTT, RTT)
    assert pace.factor == MOST


def test_what_does_not_help_is_given_up_for_a_while_and_tried_again() -> None:
    pace = Pace()
    now = round_trips(pace, 1, RTT, RTT)
    tried = 0
    while pace.helps:
        now = round_trips(pace, 1, 2 * RTT, 2 * RTT, begun=now)
        tried += 1
    assert SLOWER**tried < LEAST <= SLOWER ** (tried - 2)
    now = round_trips(pace, IN_VAIN - 1, 2 * RTT, 2 * RTT, begun=now)
    assert not pace.helps
    assert pace.factor == 1.0
    now = round_trips(pace, 1, 1.1 * RTT, RTT, begun=now)
    assert pace.helps
    round_trips(pace, 1, RTT, RTT, begun=now)
    assert pace.factor > 1.0


def test_an_upstream_that_always_takes_its_time_is_no_queue() -> None:
    pace = Pace()
    now = round_trips(pace, 100, 1.25 * RTT, 1.25 * RTT)
    assert pace.factor == MOST
    round_trips(pace, 5, 1.25 * 1.1 * RTT, 1.25 * 1.1 * RTT, begun=now)
    assert pace.factor < MOST, "there is one now"


def test_an_upstream_that_has_become_slower_is_taken_as_it_is_after_a_while() -> None:
    pace = Pace()
    now = round_trips(pace, KNOWN, RTT, RTT)
    now = round_trips(pace, 3, 1.25 * RTT, 1.25 * RTT, begun=now)
    assert pace.factor < MOST
    round_trips(pace, KNOWN + IN_VAIN, 1.25 * RTT, 1.25 * RTT, begun=now)
    assert pace.factor > 1.0


def test_what_is_due_soon_is_due() -> None:
    pace = Pace()
    pace.asked(500_000, 100.0, 10_000_000.0, RTT)
    assert pace.left(100.0) == pytest.approx(0.05 - SOON)
    assert pace.left(100.05 - 0.9 * SOON) == 0.0
    pace.asked(500_000, 100.0, 10_000_000.0, RTT)
    assert pace.left(100.0) == pytest.approx(0.1 - SOON), "what is asked for comes one after another"
    pace.asked(500_000, 105.0, 10_000_000.0, RTT)
    assert pace.left(105.0) == pytest.approx(0.05 - SOON), "time that nobody used is no credit"


def test_no_more_is_owed_than_a_round_trip() -> None:
    pace = Pace()
    for _ in range(100):
        pace.asked(1_000_000, 100.0, 10_000_000.0, RTT)
    assert pace.left(100.0) == pytest.approx(RTT - SOON)


def test_a_path_without_a_queue_holds_nothing_back() -> None:
    load = Load()
    load.asks(1_000_000_000, 100.0, RTT)
    assert load.hold(100.0) == 0.0
    load, now = crowded(1_000_000)
    later = now + 1.1 * REMEMBERED
    load.asks(1_000_000_000, later, RTT)
    assert load.hold(later) == 0.0


def test_on_a_crowded_path_the_next_piece_waits_for_as_long_as_the_path_takes_for_the_one_before() -> None:
    load, now = crowded(1_000_000)
    load.asked = 2_000_000
    load.asks(100_000, now, RTT)
    assert load.hold(now) == pytest.approx(0.1 * RTT, rel=0.4)
    assert load.hold(now + 0.2 * RTT) == 0.0


def test_where_it_does_not_help_nothing_is_held_back_while_the_path_is_not_full() -> None:
    load, now = crowded(1_000_000)
    load.asks(1000, now, RTT)
    load.asks(int(0.8 * FULL * load._most), now, RTT)
    assert load.hold(now) > 0.0
    round_trips(load.pace, 1, RTT, RTT)
    round_trips(load.pace, 10, 2 * RTT, 2 * RTT)
    assert not load.pace.helps
    load.asks(int(0.1 * FULL * load._most), now, RTT)
    assert load.pace.left(now) > 0.0
    assert load.hold(now) == 0.0
    load.asks(int(0.2 * FULL * load._most), now, RTT)
    assert load.hold(now) > 0.0


def test_as_long_as_anything_is_held_back_the_path_stays_crowded() -> None:
    load, now = crowded(1_000_000)
    load.asked = 2_000_000
    for _ in range(5):
        now += 0.9 * REMEMBERED
        load.asks(1_000_000, now, RTT)
        assert load.hold(now) > 0.0
    now += 1.1 * REMEMBERED
    load.asks(1_000_000, now, RTT)
    assert load.hold(now) == 0.0
