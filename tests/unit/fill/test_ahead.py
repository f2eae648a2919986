"""What is fetched before anybody asks stays within its share, and each object has one outcome."""

from collections import Counter

from edge.clock import FakeClock
from edge.fill.ahead import ALLOWED, SHARE, UNUSED_AFTER, WINDOW, Ahead
from edge.fill.flight import Flight
from edge.fill.messages import Fetch, Mode
from edge.fill.settings import FillSettings
from edge.store.hits import HitCounters, create_hits_file
from edge.words import MIB, Kind


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.outcomes: Counter[str] = Counter()
        self.hits = HitCounters(create_hits_file())
        self.ahead = Ahead(self.clock, lambda result: self.outcomes.update([result]), self.hits)
        self._number = 0

    def begin(self, size: int = MIB, by: object = "worker") -> Flight:
        self._number += 1
        name = self._number.to_bytes(16, "little")
        fetch = Fetch(self._number, Mode.FILL, "default", b"GET", b"/a", b"k", b"/a", Kind.SEGMENT)
        flight = Flight(
            name, fetch, FillSettings(), slice_size=MIB, clients=[], on_idle=lambda _: None, start_run=lambda *_: None
        )
        self.ahead.begin(flight, size, by, self._number)
        return flight

    def land(self, flight: Flight, size: int = MIB, *, kept: bool = True) -> None:
        flight.covered.add(0, size)
        flight.__class__ = type("Landed", (Flight,), {"kept_whole": property(lambda _: kept)})
        self.ahead.landed(flight)


def test_a_first_hit_makes_it_used_and_says_so_to_who_hits_once() -> None:
    bench = Bench()
    flight = bench.begin()
    bench.land(flight)
    bench.ahead.look()
    assert not bench.outcomes
    assert bench.hits.touch(flight.name)
    assert not bench.hits.touch(flight.name)
    bench.ahead.look()
    assert bench.outcomes == {"used": 1}
    assert bench.ahead.unasked == 0


def test_a_mark_is_beside_the_counter_and_survives_its_fading_but_no_restart() -> None:
    bench = Bench()
    name = b"n" * 16
    for _ in range(20):
        bench.hits.touch(name)
    bench.hits.mark_ahead(name)
    assert bench.hits.count(name) == 14  # a full one loses a hit
    bench.hits.fade(0.5)
    bench.hits.halve(name)
    assert (bench.hits.count(name), bench.hits.is_ahead(name)) == (3, True)
    later = HitCounters(create_hits_file())
    later.restore(bench.hits.to_bytes())
    assert (later.count(name), later.is_ahead(name)) == (3, False)
    assert bench.hits.touch(name)
    assert bench.hits.count(name) == 4


def test_who_joins_what_is_under_way_has_used_it() -> None:
    bench = Bench()
    flight = bench.begin()
    bench.ahead.joined(flight)
    assert bench.outcomes == {"used": 1}
    assert not flight.unasked
    bench.land(flight)
    assert bench.outcomes == {"used": 1}


def test_what_nobody_comes_for_is_unused_after_a_while_and_counts_for_a_while_longer() -> None:
    bench = Bench()
    bench.land(bench.begin(), 3 * MIB)
    bench.clock.advance(UNUSED_AFTER)
    bench.ahead.look()
    assert bench.outcomes == {"unused": 1}
    assert bench.ahead.unasked == 3 * MIB
    bench.clock.advance(WINDOW)
    assert bench.ahead.may_begin(MIB, 10)
    assert bench.ahead.unasked == 0


def test_it_is_cancelled_when_the_last_who_wished_for_it_withdraws() -> None:
    bench = Bench()
    flight = bench.begin(by="one")
    bench.ahead.wish(flight, "two", 7)
    bench.ahead.withdraw("one", 1)
    assert flight.background
    bench.ahead.withdraw_all("two")
    assert not flight.background
    bench.land(flight, kept=False)
    assert bench.outcomes == {"cancelled": 1}
    assert bench.ahead.unasked == MIB


def test_a_withdrawal_after_somebody_has_joined_changes_nothing() -> None:
    bench = Bench()
    flight = bench.begin(by="one")
    bench.ahead.joined(flight)
    bench.ahead.withdraw("one", 1)
    assert bench.outcomes == {"used": 1}


def test_what_does_not_come_has_failed() -> None:
    bench = Bench()
    bench.land(bench.begin(), 0, kept=False)
    assert bench.outcomes == {"failed": 1}


def test_what_nobody_asked_for_is_at_most_its_share_of_what_was_brought() -> None:
    bench = Bench()
    begun = []
    while bench.ahead.may_begin(MIB, 1000):
        begun.append(bench.begin())
    assert len(begun) * MIB == ALLOWED
    bench.ahead.brought(1000 * MIB)
    while bench.ahead.may_begin(MIB, 1000):
        begun.append(bench.begin())
    assert len(begun) == int(SHARE * 1000)
    for flight in begun[:10]:
        bench.land(flight)
        bench.hits.touch(flight.name)
    assert bench.ahead.may_begin(10 * MIB, 1000)  # what was used is paid back
    assert not bench.ahead.may_begin(11 * MIB, 1000)
    bench.clock.advance(2 * WINDOW)
    assert not bench.ahead.may_begin(MIB, 1000)  # a night in which nothing was brought
    assert bench.outcomes["refused"] == 4


def test_at_a_time_only_so_many_connections_bring_it() -> None:
    bench = Bench()
    begun = [bench.begin() for _ in range(3) if bench.ahead.may_begin(MIB, 3)]
    assert not bench.ahead.may_begin(MIB, 3)
    bench.land(begun[0])
    assert bench.ahead.may_begin(MIB, 3)


def test_what_is_wished_for_again_before_it_has_stopped_goes_on() -> None:
    bench = Bench()
    flight = bench.begin(by="one")
    bench.ahead.withdraw("one", 1)
    assert not flight.background
    bench.ahead.wish(flight, "two", 7)
    assert flight.background
    bench.ahead.withdraw("two", 7)
    assert not flight.background
