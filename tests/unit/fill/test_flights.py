"""Which flights are found, under which name, and by whom."""

from typing import Any

from edge.fill.flights import Flights


class Named:
    """Of a flight what its list sees."""

    def __init__(self, name: bytes) -> None:
        self.name, self.joinable = name, True


def flight(name: bytes = b"a") -> Any:
    return Named(name)


def test_one_whose_place_is_taken_is_still_found_by_a_purge_and_counts() -> None:
    """What goes through scratch can be joined by nobody, so another flight of its name is led."""
    flights, former, now = Flights(), flight(), flight()
    flights.add(former)
    former.joinable = False
    flights.add(now)
    assert set(flights.all()) == {former, now}
    assert (len(flights), flights.listed) == (2, {b"a": now})
    flights.remove(former)
    assert (flights.all(), flights.listed) == ([now], {b"a": now})
