"""Purges on the keeper's loop: what is on its way is doomed, then the store forgets (DESIGN D9).

  1. from here on look-ups do not see what is purged, and every flight that asked before is doomed: it is not joined
     and not kept; readers that have not got its head yet ask anew, the others get what they were promised
  2. the store notes the purge, durably, and forgets in steps; what was queued for it before is forgotten with it
  3. only then is the purge acknowledged
A flight whose tags are not known yet is judged by them when its head comes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from edge.fill.flight import Flight
from edge.policy.purges import Purge, Scope
from edge.store.record import Flag, Record
from edge.store.thread import StoreThread


@dataclass(frozen=True, slots=True)
class Forgot:
    """Objects, and bytes that they had stored."""

    objects: int
    length: int


class Purger:
    """One per desk. `flights` gives all that are under way, `doom` takes one out of date."""

    def __init__(
        self, store: StoreThread, flights: Callable[[], Iterable[Flight]], doom: Callable[[Flight], None]
    ) -> None:
        self._store = store
        self._flights = flights
        self._doom = doom
        self._turn = asyncio.Lock()
        self._under_way: list[tuple[Sequence[Purge], int]] = []  # and the first generation that is newer
        self._by_tag: list[tuple[int, Purge]] = []  # and its number; for flights that asked before it
        self.number = 0  # of the last purge that has begun

    def __repr__(self) -> str:
        return f"<Purger number={self.number} under_way={self._under_way}>"

    async def purge(self, whats: Sequence[Purge]) -> Forgot:
        """Forget, or make stale, what is meant; OSError or StoreError: not all of it, or not for ever."""
        volume = self._store.volume
        before = volume.new_generation()
        self.number += 1
        entry = whats, before
        self._under_way.append(entry)
        self._doom_flights(whats)
        try:
            async with self._turn:  # one at a time: what is done at a start after a crash goes by their order
                purging = await self._store.call_patiently(volume.purges.begin, whats, before)
                while await self._store.call_patiently(purging.step):
                    pass
                await self._store.call_patiently(volume.purges.end, purging.sequence)
        finally:
            self._under_way.remove(entry)
        return Forgot(purging.objects, purging.length)

    async def count(self, whats: Sequence[Purge]) -> Forgot:
        """What a purge would forget now."""
        purging = await self._store.call_patiently(self._store.volume.purges.count, whats)
        while await self._store.call_patiently(purging.step):
            pass
        return Forgot(purging.objects, purging.length)

    def _doom_flights(self, whats: Sequence[Purge]) -> None:
        flights = list(self._flights())
        self._by_tag += [(self.number, what) for what in whats if what.scope is Scope.TAG]
        for flight in flights:
            tags = flight.record.tags if flight.record is not None else ()
            if any(what.matches(flight.fetch.key, tags) for what in whats):
                self._doom(flight)
        oldest = min((flight.asked_at for flight in flights if flight.record is None), default=self.number)
        self._by_tag = [(number, tagged) for number, tagged in self._by_tag if number > oldest]

    def outdated(self, flight: Flight, record: Record) -> bool:
        """Has a purge by tag named what a flight brings, after it was asked for?"""
        return any(number > flight.asked_at and what.matches(record.key, record.tags) for number, what in self._by_tag)

    def seen(self, record: Record) -> Record | None:
        """A stored record as the purges under way leave it."""
        for whats, before in self._under_way:
            if record.generation < before and any(what.matches(record.key, record.tags) for what in whats):
                if not whats[0].soft:
                    return None
                record = replace(record, flags=record.flags | Flag.STALE)
        return record
