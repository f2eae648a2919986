"""How much may be under way on a path at a time."""

from edge.origin.load import CROWDED, HEADROOM, REMEMBERED, Load

RTT = 0.2


def carried(load: Load, per_round_trip: int, round_trips: int = 10, begun: float = 100.0) -> float:
    """So much comes in each round trip, in ten parts; the time afterwards."""
    for number in range(10 * round_trips + 1):
        load.came(per_round_trip // 10, begun + number * RTT / 10, RTT)
    return begun + round_trips * RTT


def test_without_a_queue_there_is_no_bound() -> None:
    load = Load()
    now = carried(load, 1_000_000)
    load.waited(RTT, now, RTT)
    assert load.room(now) == float("inf")


def test_where_first_bytes_come_late_it_is_twice_what_the_path_carries() -> None:
    load = Load()
    now = carried(load, 1_000_000)
    load.waited(CROWDED * RTT, now, RTT)
    assert 0.8 * HEADROOM * 1_000_000 < load.room(now) < 1.2 * HEADROOM * 1_000_000


def test_a_crowd_is_remembered_for_a_while() -> None:
    load = Load()
    now = carried(load, 1_000_000)
    load.waited(2 * RTT, now, RTT)
    load.waited(RTT, now + 1.0, RTT)
    assert load.room(now + 0.9 * REMEMBERED) < float("inf")
    assert load.room(now + 1.1 * REMEMBERED) == float("inf")


def test_a_pause_does_not_make_the_path_narrower() -> None:
    load = Load()
    now = carried(load, 1_000_000)
    load.waited(2 * RTT, now, RTT)
    before = load.room(now)
    load.came(1000, now + 5.0, RTT)
    load.waited(2 * RTT, now + 5.0, RTT)
    assert load.room(now + 5.0) > 0.9 * before


def test_a_path_that_has_become_narrow_is_seen() -> None:
    load = Load()
    now = carried(load, 10_000_000)
    now = carried(load, 1_000_000, 300, now)
    load.waited(2 * RTT, now, RTT)
    assert load.room(now) < 2 * HEADROOM * 1_000_000


def test_nothing_is_bounded_before_anything_has_come() -> None:
    load = Load()
    load.waited(2 * RTT, 100.0, RTT)
    assert load.room(100.0) == float("inf")
