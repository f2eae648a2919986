"""Leases move with their object: a purge sets the flight aside that brought it, and another one goes on."""

from typing import Any

from edge.fill.messages import Fetch, Mode
from edge.fill.wishes import Wishes
from edge.words import Kind

LINK: Any = object()
FETCH = Fetch(7, Mode.AHEAD, "s", b"GET", b"/f", b"k", b"/f", Kind.MP4, (), 0, 1, 0, True)


class Leased:
    """Of a flight what leases see."""

    def __init__(self) -> None:
        self.leased: set[tuple[object, int]] = set()

    def fetch_ahead(self, by: tuple[object, int], start: int, end: int) -> bool:
        self.leased.add(by)
        return True

    def withdraw(self, by: tuple[object, int]) -> None:
        self.leased.discard(by)


def moved() -> tuple[Wishes, Any, Any]:
    nothing: Any = None
    wishes, former, now = Wishes(nothing, {}, nothing, nothing), Leased(), Leased()
    flights: list[Any] = [former, now]
    for flight in flights:
        wishes._lease(LINK, FETCH, flight)
    return wishes, former, now


def test_a_lease_that_goes_on_at_another_flight_is_over_at_the_former_one() -> None:
    _, former, now = moved()
    assert former.leased == set()
    assert now.leased == {(LINK, 7)}


def test_the_end_of_a_former_flight_does_not_keep_a_lease_from_being_withdrawn() -> None:
    wishes, former, now = moved()
    former.leased.add((LINK, 7))
    wishes.landed(former)
    wishes.withdraw(LINK, 7)
    assert now.leased == set()


def test_with_a_flight_its_leases_end() -> None:
    wishes, _, now = moved()
    wishes.landed(now)
    assert wishes._leases == {}
