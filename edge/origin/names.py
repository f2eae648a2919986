"""What an upstream's name stands for: resolved by one request for all, and renewed behind what is in use."""

import asyncio
from typing import Final

from edge.clock import Clock
from edge.origin.resolve import Entry, Resolver, SystemResolver
from edge.tasks import Tasks

DNS_SECONDS: Final = 30.0  # where the resolver does not tell for how long an answer is good
TTL_LEAST: Final = 1.0
TTL_MOST: Final = 300.0  # an upstream that moves is found within so long, whatever its name server says
STALE_SECONDS: Final = 300.0  # an answer older than that is waited for: the upstream may have moved
# Name servers with many addresses give some of them, other ones each time: one is gone when it was in no answer for
# so long. Connections to it end then, each when its exchange is over.
GONE_SECONDS: Final = 60.0


class Names:
    """The addresses of one host, those that failed last at the end.

    While the name cannot be resolved the last answer is used on: the upstream may well be there.
    """

    def __init__(self, host: str, port: int, clock: Clock, resolver: Resolver | None = None) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._resolver: Resolver = resolver or SystemResolver()
        self._known: list[Entry] = []
        self._seen: dict[object, float] = {}  # socket address -> when an answer had it last
        self._answered_at = 0.0
        self._asked_at = 0.0  # monotonic: when the last look-up ended
        self._due = 0.0  # when the last answer is out of date
        self._asking: asyncio.Task[None] | None = None
        self._tasks = Tasks("names")

    def __repr__(self) -> str:
        return f"<Names {self._host} known={len(self._known)}>"

    async def addresses(self) -> list[Entry]:
        """At least one address, or OSError. Costs nothing while the last answer is good."""
        self.refresh()
        stale = self._clock.monotonic() > self._asked_at + STALE_SECONDS
        if self._asking is not None and (not self._known or stale):
            await asyncio.shield(self._asking)
        if not self._known:
            raise OSError("the name cannot be resolved")
        return self._known

    def refresh(self) -> None:
        """Ask again, behind what is in use, if the last answer is out of date."""
        if self._asking is None and (not self._known or self._clock.monotonic() > self._due):
            self._asking = self._tasks.spawn(self._ask(), self._host)

    async def _ask(self) -> None:
        good_for: float | None = None
        try:
            found, good_for = await self._resolver.resolve(self._host, self._port)
            self._answered_at = self._clock.monotonic()
            self._seen.update((entry[4], self._answered_at) for entry in found)
            self._seen = {address: at for address, at in self._seen.items() if self._answered_at - at <= GONE_SECONDS}
            kept = [entry for entry in self._known if entry in found]
            self._known = kept + [entry for entry in found if entry not in kept]
        except (OSError, UnicodeError):
            pass  # who has no address says so
        finally:
            seconds = DNS_SECONDS if good_for is None else min(max(good_for, TTL_LEAST), TTL_MOST)
            self._asked_at = self._clock.monotonic()
            self._due = self._asked_at + seconds
            self._asking = None

    def serves(self, address: object) -> bool:
        """Is this still an address of the upstream? One that nobody has asked about is."""
        return not self._seen or address in self._seen

    def failed(self, entry: Entry) -> None:
        """It could not be connected to: the others are tried first from now on."""
        if entry in self._known:
            self._known = [other for other in self._known if other != entry] + [entry]

    async def close(self) -> None:
        await self._tasks.close()
        await self._resolver.close()
