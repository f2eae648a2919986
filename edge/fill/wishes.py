"""What workers expect that players will ask for: the rest of what they read in ranges, and what follows it."""

from collections.abc import Callable, Mapping

from edge.fill.ahead import USUAL_SIZE
from edge.fill.finding import Finder
from edge.fill.flight import Flight
from edge.fill.leases import By
from edge.fill.link import Link
from edge.fill.messages import Fetch, Pin
from edge.fill.shop import Shop
from edge.origin.pool import Pool
from edge.store.record import Flag, Record

Lead = Callable[[Link, bytes, Fetch, Record | None], Flight]


class Wishes:
    """Nobody waits for what is wished for: only over a far path, with connections to spare, is it fetched.

    `lead` begins a flight without readers.
    """

    def __init__(
        self, shop: Callable[[Fetch], Shop], flights: Mapping[bytes, Flight], finder: Finder, lead: Lead
    ) -> None:
        self._shop, self._flights, self._finder, self._lead = shop, flights, finder, lead
        self._leases: dict[By, Flight] = {}  # what is brought for those who read in order

    def __repr__(self) -> str:
        return f"<Wishes for {len(self._flights)} flights>"

    def take(self, link: Link, name: bytes, fetch: Fetch, stored: Record | None) -> None:
        """One wish: with a pin for more of the version that is being read, else for an object."""
        shop = self._shop(fetch)
        pool = shop.group.order(fetch.key)[0].pool
        if not pool.path.far or shop.rangeless.anywhere(fetch):
            return
        if shop.rules(fetch.site, fetch.path).exact_ranges:
            return  # a plain cache asks for nothing that nobody has asked for
        if fetch.pin is None:
            self._prefetch(link, name, fetch, stored, pool)
        else:
            self._read_on(link, name, fetch, stored, fetch.pin, pool)

    def _read_on(self, link: Link, name: bytes, fetch: Fetch, stored: Record | None, pin: Pin, pool: Pool) -> None:
        shop, flight = self._shop(fetch), self._flights.get(name)
        if flight is not None:
            record = flight.record
            if record is not None and (record.etag, flight.total) == (pin.etag, pin.total):
                self._lease(link, fetch, flight)
            return
        known = stored is not None and bool(stored.flags & Flag.STRONG) and self._finder.fresh(stored)
        if stored is None or not known or (stored.etag, stored.total) != (pin.etag, pin.total):
            return
        if pool.spare and shop.landing.get(name) is None and len(self._flights) < shop.settings.flights_max // 2:
            flight = self._lead(link, name, fetch, stored)
            self._lease(link, fetch, flight)
            flight.check_idle()

    def _lease(self, link: Link, fetch: Fetch, flight: Flight) -> None:
        by = link, fetch.id
        if self._leases.get(by, flight) is not flight:
            self.withdraw(*by)  # the former one brings for nobody now
        if flight.fetch_ahead(by, fetch.start, fetch.end):
            self._leases[by] = flight

    def withdraw(self, link: Link, id_: int) -> None:
        """Its reader has stopped, or reads elsewhere."""
        flight = self._leases.pop((link, id_), None)
        if flight is not None:
            flight.withdraw((link, id_))

    def withdraw_all(self, link: Link) -> None:
        """A worker has gone."""
        for _, id_ in [key for key in self._leases if key[0] is link]:
            self.withdraw(link, id_)

    def landed(self, flight: Flight) -> None:
        """A flight is over, and with it what was to be brought by it."""
        for key in flight.leased:
            if self._leases.get(key) is flight:
                del self._leases[key]
        flight.leased.clear()

    def _prefetch(self, link: Link, name: bytes, fetch: Fetch, stored: Record | None, pool: Pool) -> None:
        """An object of which nothing is here."""
        shop, flight = self._shop(fetch), self._flights.get(name)
        if flight is not None:
            shop.ahead.wish(flight, link, fetch.id)
            return
        if name in shop.landing or name in shop.alone or (stored is not None and self._finder.fresh(stored)):
            return
        if not fetch.by_sibling and shop.group.owner(fetch.key) is not None:
            return  # near by, and not ours to keep
        size = shop.sizes.get(fetch.path.rpartition(b"/")[0], USUAL_SIZE)
        if pool.spare and shop.ahead.may_begin(size, pool.for_ahead):
            shop.ahead.begin(self._lead(link, name, fetch, stored), size, link, fetch.id)
