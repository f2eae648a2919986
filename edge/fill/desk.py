"""The keeper's side of the link: takes fetches from workers, joins them to flights, leads new ones.

A fetch's way:
  1. not shareable by nature (pass, HEAD, a name remembered as alone): a flight of its own, never joined
  2. a flight of its name is under way: join it
  3. look again in the index: somebody may have filled it between the worker's look and now
  4. lead a new flight
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from edge.clock import Clock
from edge.errors import EdgeError
from edge.fill import plan
from edge.fill.dropping import Drops
from edge.fill.finding import Finder
from edge.fill.flight import Flight
from edge.fill.flights import Flights, Waiting
from edge.fill.leading import Leading
from edge.fill.link import Link
from edge.fill.messages import (
    NO_NAME,
    PROTOCOL,
    Again,
    Bad,
    Fail,
    Fetch,
    Forget,
    Forgotten,
    Hello,
    Mode,
)
from edge.fill.purging import Purger
from edge.fill.readers import Reader
from edge.fill.recall import recall, recall_for
from edge.fill.settings import FillSettings
from edge.fill.shop import Upstream
from edge.fill.shops import Shops
from edge.fill.wishes import Wishes
from edge.policy.rules import SiteRules
from edge.store.names import name_of
from edge.store.record import Record
from edge.store.thread import StoreThread
from edge.tasks import Tasks
from edge.words import Eviction, Reason


class FillMeters(Protocol):
    """What the desk counts."""

    def collapsed(self, site: str, result: str) -> None: ...

    def corrupt(self, reason: str) -> None: ...

    def prefetch(self, result: str) -> None: ...


class Desk:
    """See the module's text."""

    def __init__(
        self,
        settings: FillSettings,
        store: StoreThread,
        upstreams: Mapping[str, Upstream],
        sites: Mapping[str, SiteRules],
        clock: Clock,
        meters: FillMeters,
    ) -> None:
        """`upstreams`: by the name under which the rules of sites choose them; at least one."""
        self._store = store
        self._volume = store.volume
        self._meters = meters
        self._tasks = Tasks("fill")
        self.links: set[Link] = set()
        self._flights = Flights()
        self._waiting: Waiting[Link] = Waiting()
        self._purger = Purger(store, self._flights.all, self._doom, self.greet_all)
        self._shops = Shops(settings, store, upstreams, sites, clock, meters.prefetch)
        shop = self._shops.common
        self._finder = Finder(self._volume, clock, shop.rangeless.anywhere, self._purger.judged, self._is_coming)
        self._leading = Leading(self._shops, self._flights, self._finder, self._tasks, self, self, self._purger)
        self._wishes = Wishes(self._shops.of, self.flights, self._finder, self._leading.lead_ahead)
        self._drops = Drops(store, self.fetch, lambda reason: meters.corrupt(reason.value))

    def __repr__(self) -> str:
        return f"<Desk links={len(self.links)} {self._flights}>"

    @property
    def flights(self) -> Mapping[bytes, Flight]:
        """Those that may be joined, by the name of what they bring."""
        return self._flights.listed

    def attach(self, sock: socket.socket) -> Link:
        """A worker has connected: tell it where the volume is."""
        link = Link(self, sock)
        self.links.add(link)
        link.channel.send(self._hello())
        return link

    def adopt(self, settings: FillSettings, sites: Mapping[str, SiteRules], upstreams: Mapping[str, Upstream]) -> None:
        """Go by new settings from the next fetch on; what is under way keeps its own."""
        self._shops.adopt(settings, sites, upstreams)

    def link_lost(self, link: Link) -> None:
        """A worker has gone, perhaps in the middle of a look-up: what its slot in the index's reader table still holds
        would keep freed pages from being used again."""
        self.links.discard(link)
        self._shops.common.ahead.withdraw_all(link)
        self._wishes.withdraw_all(link)
        self._waiting.forget_all(link)
        self._store.post(self._volume.index.reader_check)

    def greet_all(self) -> None:
        """The volume's disk is trusted more, or less, or purges are unmet: workers go by that."""
        for link in self.links:
            link.channel.send(self._hello())

    def look(self) -> None:
        """Call it each second: what was fetched ahead may have been used."""
        self._shops.common.ahead.look()

    def _hello(self) -> Hello:
        return Hello(PROTOCOL, self._volume.hello.to_json())

    async def close(self) -> None:
        for link in list(self.links):
            link.channel.close()
        self.links.clear()
        for flight in self._flights.all():
            flight.over = True  # else each run that is ended here has another one started for its readers
        await self._tasks.close()

    # -- fetches ---------------------------------------------------------------------------------

    def fetch(self, link: Link, fetch: Fetch) -> None:
        """Take one fetch of a worker; the answer comes as messages."""
        name, stored, whole = self._finder.find(fetch)
        stored = self._finder.usable(fetch, stored, whole=whole)
        if not fetch.has_body and self._drops.waits(name, link, fetch):
            return  # who brings a body waits for nothing: his next messages are that
        if fetch.mode is Mode.AHEAD:
            self._wishes.take(link, name, fetch, stored)
            return
        if len(self._flights) >= self._shops.settings.flights_max:
            link.channel.send(Fail(fetch.id, 503, Reason.QUEUE_FULL, "too many fills under way"))
            return
        flight = self.flights.get(name)
        if self._waits_for_landing(link, name, fetch, flight):
            return
        if fetch.mode is Mode.ONLY:
            link.channel.send(Again(fetch.id))
            return
        asked = fetch.mode
        if flight is not None and asked is Mode.FILL:
            if flight.background and self._is_there(fetch, stored, whole=whole):
                link.channel.send(Again(fetch.id))  # what is served meanwhile
                return
            if self._came_late(fetch, flight):
                fetch = replace(fetch, mode=Mode.SOLO)
        if plan.may_know_by_now(fetch) and self._is_there(fetch, stored, whole=whole):
            link.channel.send(Again(fetch.id))
        elif plan.is_by_itself(fetch):
            self._leading.lead(link, name, Reader(link.channel, fetch), stored, shared=False, asked=asked)
        elif flight is not None and flight.joinable and not flight.over:
            self._join(link, fetch, flight)
        elif fetch.mode is Mode.FILL and self._is_there(fetch, stored, whole=whole):
            link.channel.send(Again(fetch.id))
        else:
            self._lead(link, name, fetch, stored, whole=whole)

    def _waits_for_landing(self, link: Link, name: bytes, fetch: Fetch, flight: Flight | None) -> bool:
        """Has all of it come, and is in the index in a moment? Who asks waits for that."""
        landing = self._shops.common.landing.get(name)
        if landing is None and fetch.mode is Mode.ONLY and flight is not None and flight.complete:
            landing = flight
        if landing is None or fetch.method not in (b"GET", b"HEAD") or fetch.has_body:
            return False
        self._waiting.add(landing, link, fetch)
        return True

    def _is_there(self, fetch: Fetch, stored: Record | None, *, whole: bool) -> bool:
        entire = self._shops.rules(fetch).exact_ranges
        return self._finder.satisfied(fetch, stored, whole=whole, entire=entire)

    def _join(self, link: Link, fetch: Fetch, flight: Flight) -> None:
        if fetch.mode is not Mode.FILL:
            return  # a renewal that is under way
        reader = Reader(link.channel, fetch)
        link.readers[fetch.id] = flight, reader
        self._shops.common.ahead.joined(flight)
        recall_for(fetch, flight, self._volume)
        flight.join(reader)
        self._meters.collapsed(fetch.site, "shared")
        link.tidy(fetch.id)

    def _lead(self, link: Link, name: bytes, fetch: Fetch, stored: Record | None, *, whole: bool) -> None:
        """A flight that others may join, unless only the one who asks may have what it brings."""
        if stored is not None and not whole and self._finder.cannot_complete(fetch, stored):
            stored = None
        if fetch.mode is Mode.REFRESH and stored is not None and self._finder.fresh(stored):
            return
        lead, channel, shop = self._leading.lead, link.channel, self._shops.common
        if fetch.mode is Mode.FILL and stored is None and self._is_borrowed(name, fetch):
            lead(link, name, Reader(channel, _as_pass(fetch)), None, shared=False, borrowed=True)
        elif fetch.mode is Mode.FILL and name_of(fetch.key, shop.secret) in shop.alone:
            alone = _as_pass(fetch) if fetch.ranged else replace(fetch, mode=Mode.SOLO)
            lead(link, name, Reader(channel, alone), stored, shared=False, asked=fetch.mode)
        else:
            lead(link, name, Reader(channel, fetch), stored, shared=True)

    def _is_borrowed(self, name: bytes, fetch: Fetch) -> bool:
        """Does a sibling keep it, and is it not asked for so often that we keep it, too?"""
        if fetch.by_sibling or self._shops.of(fetch).group.owner(fetch.key) is None:
            return False
        return not self._shops.common.hottest.noted(name, fetch.start)

    def _is_coming(self, name: bytes) -> bool:
        return name in self._shops.common.landing or name in self.flights

    def _came_late(self, fetch: Fetch, flight: Flight) -> bool:
        """Is the answer that a flight brings known, and not what one who comes now may get? Who had waited gets it.

        On a video site it is for all who come while it is on its way: 16 MiB again would be worse.
        """
        record = flight.record
        if record is None or flight.over:
            return False
        rules = self._shops.rules(flight.fetch)
        return rules.exact_ranges and not self._finder.suits(record, plan.demands(fetch, rules))

    # -- what becomes of flights (Hearing) -------------------------------------------------------

    def goes_on(self, flight: Flight) -> None:
        """Who has waited for its end joins it."""
        landing = self._shops.common.landing
        if landing.get(flight.name) is flight:
            del landing[flight.name]
            asyncio.get_running_loop().call_soon(self._take_again, flight)  # it is in the middle of a step

    def _take_again(self, flight: Flight) -> None:
        """Those who wait by now: some may have left since."""
        for link, fetch in self._waiting.take(flight):
            link.take(fetch)

    def landed(self, flight: Flight) -> None:
        """Who has waited for its end looks into the index again."""
        self._flights.remove(flight)
        shop = self._shops.common
        if shop.landing.get(flight.name) is flight:
            del shop.landing[flight.name]
        shop.ahead.landed(flight)
        self._wishes.landed(flight)
        for link, fetch in self._waiting.take(flight):
            if fetch.mode is Mode.REFRESH:
                self.fetch(link, fetch)
            else:
                link.channel.send(Again(fetch.id))
        for link in self.links:
            for id_ in [i for i, (f, _) in link.readers.items() if f is flight]:
                link.tidy(id_)

    # -- what a lead finds out (Tower) ------------------------------------------------------------

    def separate(self, flight: Flight, others: list[Reader]) -> None:
        """The flight's answer is its leader's alone: each of the others asks for itself (DESIGN D5)."""
        self._flights.set_apart(flight)
        for reader in others:
            flight.readers.remove(reader)
            link = self._link_of(reader)
            if link is not None:
                self._meters.collapsed(reader.fetch.site, "failed")
                alone = Reader(reader.channel, _as_pass(reader.fetch))
                self._leading.lead(link, flight.name, alone, None, shared=False)

    def redirect(self, flight: Flight, others: list[Reader]) -> None:
        """The answer is not the one that these would get: each looks for its own, and may share that."""
        if not flight.joinable:
            self._flights.set_apart(flight)
        for reader in others:
            flight.readers.remove(reader)
            reader.gone = True
            link = self._link_of(reader)
            if link is not None:
                link.readers.pop(reader.fetch.id, None)  # it may be told to look again, or be refused
                self.fetch(link, reader.fetch)

    def rename(self, flight: Flight, name: bytes) -> None:
        """The flight brings what lies under another name: those who want that join it from now on."""
        self._flights.rename(flight, name)

    def doom(self, name: bytes) -> None:
        """What is on its way under a name is out of date: its readers get it, nobody joins, nothing is kept."""
        flight = self.flights.get(name)
        if flight is not None:
            self._set_aside(flight)

    def _set_aside(self, flight: Flight) -> None:
        flight.doomed = True
        flight.joinable = False
        self._flights.set_apart(flight)

    def recheck(self, flight: Flight, record: Record) -> None:
        """The tags of what a flight brings are known now: a purge may have named them meanwhile."""
        if not flight.doomed and self._purger.outdated(flight, record):
            self._doom(flight)

    # -- purges ----------------------------------------------------------------------------------

    def purge(self, link: Link, message: Forget) -> None:
        """Take a purge; the answer comes when it holds."""
        self._tasks.spawn(self._purge(link, message), "purge")

    async def _purge(self, link: Link, message: Forget) -> None:
        purger = self._purger
        try:
            whats = message.whats
            done = await (purger.count(whats) if message.dry else purger.purge(whats, owed=message.owed))
        except (EdgeError, OSError) as error:
            link.channel.send(Forgotten(message.id, 0, 0, str(error) or type(error).__name__))
        except Exception:
            link.channel.send(Forgotten(message.id, 0, 0, "internal error"))
            raise  # a mistake of ours: `tasks` reports it
        else:
            link.channel.send(Forgotten(message.id, done.objects, done.length))

    def _doom(self, flight: Flight) -> None:
        """A purge names what this flight brings. Readers that have no head yet ask anew, after the purge."""
        if flight.doomed or flight.fetch.mode is Mode.PASS:
            return  # what is passed is not kept, and was asked for by its one reader
        self._set_aside(flight)
        if flight.head is None:
            self.redirect(flight, [reader for reader in flight.readers if reader.upload is None])

    def _link_of(self, reader: Reader) -> Link | None:
        return next((link for link in self.links if link.channel is reader.channel), None)

    # -- reports ---------------------------------------------------------------------------------

    def invalidate(self, name: bytes) -> None:
        """An unsafe request, answered through another volume's keeper, has changed this one's object."""
        self.doom(name)
        self._store.post(self._volume.delete, name, None, Eviction.INVALIDATED)

    def bad(self, message: Bad) -> None:
        """A stored extent did not verify: drop it, so that it is fetched again. An index that is damaged is lost."""
        if message.reason is Reason.STORE_FAILED:
            self._store.post(self._store.disk_failed)
        if message.name == NO_NAME:  # a worker cannot read the index
            if message.reason is Reason.CORRUPT:
                self._store.post(self._store.volume.lose_index, message.generation)
            return
        self.doom(message.name)  # a flight that knows the bad extent would point those who join it there again
        self._drops.drop(message)

    def recall(self, flight: Flight) -> None:
        """A reader waits and waits: is what the flight counts on there still?"""
        recall(flight, self._volume)

    def forget(self, link: Link, id_: int) -> None:
        """A fetch that waited for a drop, or for a landing, or that nobody has asked for yet, has been cancelled."""
        self._shops.common.ahead.withdraw(link, id_)
        self._wishes.withdraw(link, id_)
        self._waiting.forget(link, id_)
        self._drops.forget(link, id_)


def _as_pass(fetch: Fetch) -> Fetch:
    return replace(fetch, mode=Mode.PASS)
