"""Connections to one upstream: kept warm, the best first, bounded, with a bounded line of those who wait."""

import asyncio
import heapq
from collections import deque
from typing import Final, Protocol

from edge.clock import Clock
from edge.origin.connection import OriginConnection
from edge.origin.dial import Dialer
from edge.origin.line import Line
from edge.origin.path import PathStatistics
from edge.origin.resolve import Resolver
from edge.origin.settings import Address, OriginSettings, Urgency

OPEN_AHEAD: Final = 8  # connections that are opened ahead at a time
OPENING_MOST: Final = 32  # connections that are opened for pieces at a time
RESERVED: Final = 4  # idle connections that pieces leave for first requests
FADES: Final = 0.99  # a second: half of what was in use is kept open after a minute
AHEAD_SHARE: Final = 0.15  # of the connections, and with them of the bandwidth, for what nobody has asked for


class Observer(Protocol):
    """What is counted of an upstream."""

    def connected(self, seconds: float) -> None: ...

    def request(self, code: int) -> None: ...

    def ttfb(self, seconds: float) -> None: ...

    def bytes(self, count: int) -> None: ...

    def error(self, reason: str) -> None: ...

    def retry(self) -> None: ...

    def hedge(self) -> None: ...

    def resume(self) -> None: ...

    def repeat(self) -> None: ...

    def pause(self) -> None: ...

    def probe(self, *, well: bool) -> None: ...


class Pool:
    """At most `max_connections` in use; who comes when all are waits in line, at most `queue_timeout`."""

    def __init__(
        self, settings: OriginSettings, clock: Clock, observer: Observer, resolver: Resolver | None = None
    ) -> None:
        self.settings = settings
        self.address = Address.of(settings.url)
        self.observer = observer
        self.path = PathStatistics(settings.far)
        self.dialer = Dialer(settings, self.address, clock, self.path, resolver)
        self._clock = clock
        self._idle: deque[OriginConnection] = deque()  # those used last at the end
        self._in_use: set[OriginConnection] = set()
        self._line = Line(
            settings.name,
            most=settings.max_connections,
            limit=settings.queue_limit,
            patience=settings.queue_timeout,
        )
        self._reserved = min(RESERVED, settings.max_connections // 16)
        self._last_taken = clock.monotonic()
        self._opening = 0  # connections
        self.pieces = 0  # of bodies, under way, counted by who asks: some have no connection yet
        self._busy = 0.0  # connections that were in use at the same time, or would have been of use, lately
        self._closed = False

    def __repr__(self) -> str:
        return f"<Pool idle={len(self._idle)} {self._line}>"

    @property
    def counts(self) -> tuple[int, int, int]:
        """(in use, idle, waiting in line)."""
        return self._line.taken, len(self._idle), self._line.waiting

    @property
    def spare(self) -> bool:
        """Are there connections beyond those that first requests may need? Pieces of a spread body take no others."""
        return not self._line.waiting and self._line.taken < self.for_pieces

    @property
    def for_pieces(self) -> int:
        """How many connections may be in use before another piece is asked for."""
        return max(1, self.settings.max_connections * 3 // 4)

    @property
    def for_ahead(self) -> int:
        """How many connections may bring what nobody has asked for."""
        return max(1, int(self.settings.max_connections * AHEAD_SHARE))

    async def keep_warm(self) -> None:
        """Learn how far the upstream is; if it is far and in use, have connections open ahead. Call it each second.

        As many as `warm`, or as were in use at the same time or would have been of use lately.
        """
        now = self._clock.monotonic()
        self._drop_idle(now)
        if self._closed or (self.path.rtt is not None and now - self._last_taken > self.settings.keepalive):
            return
        self.dialer.refresh()  # where all connections are kept nobody else asks
        self._busy *= FADES
        wanted = (
            max(self.settings.warm, int(self._busy) + self._reserved) if self.path.far else int(self.path.rtt is None)
        )
        missing = min(wanted - len(self._idle) - self._line.taken, OPEN_AHEAD)
        if missing > 0 and self.spare:
            await asyncio.gather(*(self._open_ahead() for _ in range(missing)), return_exceptions=True)

    def _drop_idle(self, now: float) -> None:
        """Close what has been idle for too long, forget what the upstream has closed."""
        kept = [connection for connection in self._idle if self._may_serve(connection, now)]
        if len(kept) < len(self._idle):
            for connection in set(self._idle).difference(kept):
                connection.close()
            self._idle = deque(kept)

    def _may_serve(self, connection: OriginConnection, now: float) -> bool:
        fresh = not connection.closed and now - connection.idle_since <= connection.idle_most
        return fresh and self.dialer.leads_there(connection)

    async def _open_ahead(self) -> None:
        if not self._line.enter_at_once():
            return
        try:
            connection = await self._open()
        finally:
            self._line.leave()
        connection.wait_for_use(self._clock.monotonic())
        if self._closed:
            connection.close()
        else:
            self._idle.appendleft(connection)  # those that have been used are warmer

    async def take(
        self,
        *,
        idle_most: float | None = None,
        urgency: Urgency = Urgency.SEGMENT,
        within: float | None = None,
        in_use: bool = True,
    ) -> OriginConnection:
        """A connection that is ready for a request; OriginError: QUEUE_*, CONNECT_*.

        `idle_most`: how long it may have been idle, in seconds (0: a new one); one kept for longer may be on its way
        to being closed by the upstream. `within`: seconds for all of it, if that is less than the line and a connect
        may take. `in_use` False: to look whether it is there is no use of it, for which others would be kept open.
        """
        begun = self._clock.monotonic()
        if in_use:
            self._last_taken = begun
        await self._line.enter(urgency, within)
        try:
            connection = self._best(self.settings.keepalive if idle_most is None else idle_most)
            if connection is None:
                passed = self._clock.monotonic() - begun
                connection = await self._open(None if within is None else within - passed)
        except BaseException:
            self._line.leave()
            raise
        self._use(connection)
        return connection

    def take_warm(self) -> OriginConnection | None:
        """The idle connection with the widest window, at once; None if there is none to spare.

        Some stay for first requests: to open one would make a player wait for one more round trip.
        """
        spare = self.spare and len(self._idle) > self._reserved
        connection = self._best(self.settings.keepalive) if spare else None
        if connection is not None:
            self._last_taken = self._clock.monotonic()
            self._line.enter_at_once()  # there is room: `spare`
            self._use(connection)
        return connection

    def put_back(self, connection: OriginConnection) -> None:
        """It was taken, and nothing has been sent on it."""
        if connection in self._in_use and not self._closed and not connection.closed:
            self._in_use.discard(connection)
            self._idle.append(connection)
            self._line.leave()
        else:
            self.give_back(connection)

    def _use(self, connection: OriginConnection) -> None:
        connection.window.begin()
        self._in_use.add(connection)
        self._busy = max(self._busy, float(self._line.taken))

    def expect(self, connections: int) -> None:
        """So many would be of use to a body that comes in pieces: have them open for the next one."""
        self._busy = max(self._busy, float(min(connections, self.for_pieces)))

    @property
    def to_open(self) -> int:
        """How many more connections may be opened for pieces now: an upstream's backlog is bounded, too."""
        return max(0, min(self.for_pieces - self._line.taken - len(self._idle), OPENING_MOST - self._opening))

    @property
    def windows(self) -> tuple[int, int]:
        """How many idle connections pieces may take, and what these bring together in a round trip."""
        idle = len(self._idle)
        if idle <= self._reserved:
            return 0, 0
        together = sum(connection.window.size for connection in self._idle)
        return idle - self._reserved, together * (idle - self._reserved) // idle

    def widest(self, most: int) -> int:
        """What so many of the idle connections that pieces may take bring together in a round trip, at best."""
        spare = max(0, min(most, len(self._idle) - self._reserved))
        return sum(heapq.nlargest(spare, (connection.window.size for connection in self._idle)))

    def _best(self, idle_most: float) -> OriginConnection | None:
        """The best that is idle, if nothing has come on it that nobody asked for."""
        best = self._next(idle_most)
        while best is not None and best.disturbed:
            best.close()
            best = self._next(idle_most)
        return best

    def _next(self, idle_most: float) -> OriginConnection | None:
        """The one used last: its congestion window is the least forgotten. Far away: the one with the widest."""
        if idle_most <= 0:
            return None
        now = self._clock.monotonic()
        if self.path.far:
            self._drop_idle(now)
            fit = [one for one in self._idle if now - one.idle_since <= idle_most]
            best = max(reversed(fit), key=_width, default=None)
            if best is not None:
                self._idle.remove(best)
            return best
        while self._idle:
            latest = self._idle.pop()
            if not self._may_serve(latest, now):
                latest.close()
            elif now - latest.idle_since <= idle_most:
                return latest
            else:
                self._idle.append(latest)
                return None  # the others have been idle for longer
        return None

    async def _open(self, within: float | None = None) -> OriginConnection:
        begun = self._clock.monotonic()
        self._opening += 1
        try:
            connection = await self.dialer.open(within)
        finally:
            self._opening -= 1
        self.observer.connected(self._clock.monotonic() - begun)
        return connection

    def give_back(self, connection: OriginConnection) -> None:
        """The exchange is over: keep the connection if it can be used again. A second time does nothing."""
        if connection not in self._in_use:
            return
        self._in_use.discard(connection)
        if connection.reusable and not self._closed and self.dialer.leads_there(connection):
            connection.rest(self._clock.monotonic())
            self._idle.append(connection)
        else:
            connection.close()
        self._line.leave()

    def retire(self) -> None:
        """Keep nothing any more: each connection is closed when its exchange is over."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def close(self) -> None:
        self.retire()
        for connection in self._in_use:
            connection.close()
        await self.dialer.close()


def _width(connection: OriginConnection) -> int:
    return connection.window.size
