"""Purges on the keeper's loop: what is on its way is doomed, then the store forgets (DESIGN D9).

  1. from here on look-ups do not see what is purged, and every flight that asked before is doomed: it is not joined
     and not kept; readers that have not got its head yet ask anew, the others get what they were promised
  2. the store notes the purge, durably, and forgets in steps; what was queued for it before is forgotten with it
  3. only then is the purge acknowledged
Where it cannot be noted (the disk is read-only, fails, does not answer), what it names is hidden from everybody,
workers included, as long as this keeper lives or until the same purge is done; whoever asked is told, and asks again.
So it is while a purge takes long, or waits behind one that does, and from the first moment on when it is owed.
A flight whose tags are not known yet is judged by them when its head comes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from edge.errors import StoreError
from edge.fill.flight import Flight
from edge.policy.purges import Purge, Scope
from edge.store.record import Flag, Record
from edge.store.thread import StoreThread

HANG_SECONDS: Final = 5.0  # no purge alone holds the thread up for so long in one step


@dataclass(slots=True, eq=False)
class _UnderWay:
    """`before`: the first generation that is newer; the rest is the store thread's. Two that say the same are two."""

    whats: Sequence[Purge]
    before: int
    hidden: list[int] = field(default_factory=list)  # meanwhile: as `Purges.hide` says
    over: bool = False


@dataclass(frozen=True, slots=True)
class Forgot:
    """Objects, and bytes that they had stored."""

    objects: int
    length: int


class Purger:
    """One per desk. `flights` gives all that are under way, `doom` takes one out of date."""

    def __init__(
        self,
        store: StoreThread,
        flights: Callable[[], Iterable[Flight]],
        doom: Callable[[Flight], None],
        greet: Callable[[], None],
    ) -> None:
        self._store = store
        self._flights = flights
        self._doom = doom
        self._greet = greet  # tells workers what is hidden
        self._turn = asyncio.Lock()
        self._under_way: list[_UnderWay] = []
        self._by_tag: list[tuple[int, Purge]] = []  # and its number; for flights that asked before it
        self.number = 0  # of the last purge that has begun

    def __repr__(self) -> str:
        return f"<Purger number={self.number} under_way={self._under_way}>"

    async def purge(self, whats: Sequence[Purge], *, owed: bool = False) -> Forgot:
        """Forget, or make stale, what is meant; StoreError: not for ever yet, but from now on nobody is served it.

        `owed`: it was asked before; what is hidden of it already is not hidden anew.
        """
        before = self._store.volume.generation
        self.number += 1
        entry = _UnderWay(whats, before)
        self._under_way.append(entry)
        self._doom_flights(whats)
        patience = asyncio.get_running_loop().call_later(HANG_SECONDS, self._hide_meanwhile, entry, owed)
        try:
            if owed and await self._store.call_patiently(self._store.volume.purges.hide_what_is_seen, whats):
                self._greet()
            return await self._purge(entry)
        except (OSError, StoreError) as error:
            if not owed:
                await self._hide(whats, before)
            raise StoreError(f"hidden until it can be done: {error}") from error
        finally:
            patience.cancel()
            self._under_way.remove(entry)

    async def _purge(self, entry: _UnderWay) -> Forgot:
        purges, call = self._store.volume.purges, self._store.call_patiently
        async with self._turn:  # one at a time: what is done at a start after a crash goes by their order
            if not self._store.volume.health.writable:
                raise StoreError("the volume is not written to: its disk has failed")
            purging = await call(purges.begin, entry.whats, entry.before)
            while await call(purging.step):
                pass
            if await call(self._met, entry, purging.sequence):
                self._greet()
            await call(purges.end, purging.sequence)
        return Forgot(purging.objects, purging.length)

    async def _hide(self, whats: Sequence[Purge], before: int) -> None:
        purges = self._store.volume.purges
        await self._store.call_patiently(purges.hide, whats)
        try:
            await self._store.call_patiently(purges.forget_live, whats, before)
        finally:
            self._greet()

    def _met(self, entry: _UnderWay, sequence: int) -> bool:
        """In the thread: it has been done, also of what was hidden meanwhile."""
        entry.over = True
        return self._store.volume.purges.met(entry.whats, sequence, entry.hidden)

    def _hide_meanwhile(self, entry: _UnderWay, owed: bool) -> None:
        """It takes long. A disk that does not answer keeps the thread from hiding anything: nobody waits for it."""
        if self._store.hangs:
            self._hide_entry(entry, owed)
            self._greet()
        else:
            self._store.call_patiently(self._hide_entry, entry, owed).add_done_callback(lambda _: self._greet())

    def _hide_entry(self, entry: _UnderWay, owed: bool) -> None:
        if entry.over:
            return
        purges = self._store.volume.purges
        if owed:
            purges.hide_what_is_seen(entry.whats)
        else:
            entry.hidden.append(purges.hide(entry.whats))

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
        for entry in self._under_way:
            whats = entry.whats
            if record.generation < entry.before and any(what.matches(record.key, record.tags) for what in whats):
                if not whats[0].soft:
                    return None
                record = replace(record, flags=record.flags | Flag.STALE)
        return record

    def judged(self, record: Record, live: bool) -> Record | None:
        """The same by those that are unmet as well, which short-lived answers have been judged by."""
        seen = self.seen(record)
        return seen if seen is None or live else self._store.volume.purges.unmet.revised(seen)
