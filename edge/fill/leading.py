"""How flights begin: whom they ask, what they know before they ask, and the runs that follow their first request."""

from dataclasses import replace
from typing import Protocol

from edge.fill import plan
from edge.fill.carry import Carrier
from edge.fill.finding import Finder
from edge.fill.flight import Flight
from edge.fill.flights import Flights
from edge.fill.lead import Lead
from edge.fill.link import Link
from edge.fill.messages import Fetch, Mode
from edge.fill.placing import Tower
from edge.fill.purging import Purger
from edge.fill.readers import Reader, Run
from edge.fill.shop import Shop
from edge.fill.shops import Shops
from edge.fill.sinks import PackSink
from edge.store.record import Flag, Record
from edge.tasks import Tasks
from edge.words import Kind


class Hearing(Protocol):
    """Who hears what becomes of flights: the desk."""

    def goes_on(self, flight: Flight) -> None:
        """A further run of it begins."""

    def landed(self, flight: Flight) -> None:
        """It is over."""


class Leading:
    """Of one keeper. `purger` knows the number of the last purge: what a flight asks for is newer than that."""

    def __init__(
        self,
        shops: Shops,
        flights: Flights,
        finder: Finder,
        tasks: Tasks,
        tower: Tower,
        hearing: Hearing,
        purger: Purger,
    ) -> None:
        self._shops, self._flights, self._finder, self._tasks = shops, flights, finder, tasks
        self._tower, self._hearing, self._purger = tower, hearing, purger

    def __repr__(self) -> str:
        return f"<Leading {self._flights}>"

    def lead(
        self,
        link: Link,
        name: bytes,
        reader: Reader,
        stored: Record | None,
        *,
        shared: bool,
        borrowed: bool = False,
        asked: Mode | None = None,
    ) -> Flight:
        """A new flight. `asked`: how the worker asked, where the fetch itself was changed since."""
        fetch = reader.fetch
        shop = self._shops.of(fetch)
        flight = self._new(shop, name, fetch)
        flight.joinable = shared
        flight.live = fetch.kind is Kind.SEGMENT and shop.live.has(fetch.site, fetch.path)
        flight.borrowed = borrowed
        flight.may_fall_back = (asked or fetch.mode) not in (Mode.PASS, Mode.SOLO)
        self._flights.add(flight)
        if fetch.mode is Mode.REFRESH:
            flight.background = True
        elif fetch.mode is Mode.AHEAD:
            flight.fetch = replace(fetch, mode=Mode.FILL)  # who comes later waits
        else:
            link.readers[fetch.id] = flight, reader
            flight.join(reader)
        self._take_off(Lead(shop, flight, stored, self._tower, reader.upload), flight, fetch, stored)
        return flight

    def lead_ahead(self, link: Link, name: bytes, fetch: Fetch, stored: Record | None) -> Flight:
        """A new flight that nobody waits for yet."""
        return self.lead(link, name, Reader(link.channel, fetch), stored, shared=True)

    def _new(self, shop: Shop, name: bytes, fetch: Fetch) -> Flight:
        siblings = not fetch.by_sibling and fetch.method in plan.SHARED_METHODS
        flight = Flight(
            name,
            fetch,
            self._shops.settings,
            slice_size=shop.slice_size,
            clients=shop.group.order(fetch.key, siblings=siblings),
            on_idle=self._hearing.landed,
            start_run=self._start_run,
        )
        flight.asked_at = self._purger.number
        return flight

    def _take_off(self, lead: Lead, flight: Flight, fetch: Fetch, stored: Record | None) -> None:
        """Ask for what is not known; if only slices are missing of what is stored, begin with their runs."""
        known = flight.joinable and stored is not None and bool(stored.flags & Flag.STRONG)
        known = known and stored is not None and self._finder.fresh(stored)
        if known and stored is not None and self._shops.rules(fetch).exact_ranges:
            lead.manner.missing = self._finder.gap(fetch, stored)
        if known and stored is not None and lead.manner.missing is None:
            lead.go_on(stored)
            if fetch.mode is not Mode.AHEAD:  # else who wished for it says what is to be brought
                flight.check_idle()
        else:
            self._tasks.spawn(lead.fly(), f"lead {flight.name.hex()[:8]}")

    def _start_run(self, flight: Flight, run: Run) -> None:
        record = flight.record
        assert record is not None
        self._hearing.goes_on(flight)
        shop, rules = self._shops.of(flight.fetch), self._shops.rules(flight.fetch)
        inline = shop.settings.inline_limit
        sink = PackSink(flight, shop.store, run.start, run.end, flight.whose, inline=inline)
        carrier = Carrier(shop, flight, run, sink, record, record.kind, rules, keep=True)
        run.task = self._tasks.spawn(carrier.start_run(), f"run {run.start}-{run.end}")
