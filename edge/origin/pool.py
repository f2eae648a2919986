"""Connections to one upstream: kept warm, the most recently used first, bounded, with a bounded queue."""

import asyncio
import socket
from collections import deque
from typing import Any, Protocol

import aiofastnet
from cachetools import TTLCache

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.connection import OriginConnection, tls_context
from edge.origin.path import PathStatistics, round_trip
from edge.origin.settings import Address, OriginSettings
from edge.words import Reason

DNS_SECONDS = 30.0
OPEN_AHEAD = 8  # connections that are opened ahead at a time


class Observer(Protocol):
    """What is counted of an upstream."""

    def connected(self, seconds: float) -> None: ...

    def request(self, code: int) -> None: ...

    def ttfb(self, seconds: float) -> None: ...

    def bytes(self, count: int) -> None: ...

    def error(self, reason: str) -> None: ...

    def retry(self) -> None: ...


class Pool:
    """At most `max_connections` in use; who comes when all are waits in line, at most `queue_timeout`."""

    def __init__(self, settings: OriginSettings, clock: Clock, observer: Observer) -> None:
        self.settings = settings
        self.address = Address.of(settings.url)
        self._clock = clock
        self.observer = observer
        self._idle: deque[OriginConnection] = deque()
        self._in_use: set[OriginConnection] = set()
        self._opening = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._tls = tls_context(settings) if self.address.secure else None
        self._dns: TTLCache[tuple[str, int], list[Any]] = TTLCache(64, DNS_SECONDS, timer=clock.monotonic)
        self._last_known: list[Any] = []
        self.path = PathStatistics(settings.far)
        self._last_taken = clock.monotonic()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Pool {self.settings.name} in_use={len(self._in_use)} idle={len(self._idle)} line={len(self._line)}>"

    @property
    def counts(self) -> tuple[int, int, int]:
        """(in use, idle, waiting in line)."""
        return len(self._in_use) + self._opening, len(self._idle), len(self._line)

    @property
    def spare(self) -> bool:
        """Are there connections beyond those that first requests may need? Pieces of a spread body take no others."""
        return not self._line and len(self._in_use) + self._opening < self.for_pieces

    @property
    def for_pieces(self) -> int:
        """How many connections may be in use before another piece is asked for."""
        return max(1, self.settings.max_connections * 3 // 4)

    async def keep_warm(self) -> None:
        """Learn how far the upstream is; if it is far and in use, have `warm` connections open. Call it each second."""
        now, keepalive = self._clock.monotonic(), self.settings.keepalive
        while self._idle and (self._idle[0].closed or now - self._idle[0].idle_since > keepalive):
            self._idle.popleft().close()
        if self._closed or (self.path.rtt is not None and now - self._last_taken > keepalive):
            return
        wanted = self.settings.warm if self.path.far else int(self.path.rtt is None)
        missing = min(wanted - len(self._idle) - len(self._in_use) - self._opening, OPEN_AHEAD)
        if missing > 0 and self.spare:
            await asyncio.gather(*(self._open_ahead() for _ in range(missing)), return_exceptions=True)

    async def _open_ahead(self) -> None:
        self._opening += 1
        try:
            connection = await self._open()
        finally:
            self._opening -= 1
            self._next_in_line()
        connection.idle_since = self._clock.monotonic()
        if self._closed:
            connection.close()
        else:
            self._idle.appendleft(connection)  # those that have been used are warmer

    async def take(self, *, idle_most: float | None = None) -> OriginConnection:
        """A connection that is ready for a request; OriginError: QUEUE_*, CONNECT_*.

        `idle_most`: how long it may have been idle, in seconds (0: a new one); one kept for longer may be on its way
        to being closed by the upstream.
        """
        self._last_taken = self._clock.monotonic()
        await self._place_in_line()
        try:
            connection = self._warmest(self.settings.keepalive if idle_most is None else idle_most)
            if connection is None:
                connection = await self._open()
        except BaseException:
            self._opening -= 1
            self._next_in_line()
            raise
        self._opening -= 1
        self._in_use.add(connection)
        return connection

    async def _place_in_line(self) -> None:
        """Count ourselves as opening, at once or when our turn has come."""
        settings = self.settings
        if len(self._in_use) + self._opening < settings.max_connections and not self._line:
            self._opening += 1
            return
        if len(self._line) >= settings.queue_limit:
            raise OriginError(Reason.QUEUE_FULL, f"{settings.queue_limit} requests are waiting for {settings.name}")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(settings.queue_timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._opening -= 1  # our turn came in the same moment: hand it on
                self._next_in_line()
            elif turn in self._line:
                self._line.remove(turn)
            if isinstance(error, TimeoutError):
                raise OriginError(Reason.QUEUE_TIMEOUT, f"waited {settings.queue_timeout:.0f} s") from None
            raise

    def _next_in_line(self) -> None:
        while self._line and len(self._in_use) + self._opening < self.settings.max_connections:
            turn = self._line.popleft()
            if not turn.done():
                self._opening += 1
                turn.set_result(None)

    def _warmest(self, idle_most: float) -> OriginConnection | None:
        now = self._clock.monotonic()
        while self._idle:
            if not self._idle[-1].closed and idle_most < now - self._idle[-1].idle_since <= self.settings.keepalive:
                return None  # the others have been idle for longer
            connection = self._idle.pop()
            if connection.closed or now - connection.idle_since > self.settings.keepalive:
                connection.close()
                continue
            return connection
        return None

    async def _open(self) -> OriginConnection:
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                connection = await self._connect(await self._addresses())
        except TimeoutError:
            detail = f"no connection in {self.settings.connect_timeout:.1f} s"
            raise OriginError(Reason.CONNECT_TIMEOUT, detail) from None
        except OSError as error:  # ssl.SSLError is one too
            raise OriginError(Reason.CONNECT_FAILED, str(error)) from error
        self.observer.connected(self._clock.monotonic() - begun)
        return connection

    async def _addresses(self) -> list[Any]:
        """What the name stands for, remembered for a moment; the address that failed last comes last.

        While names cannot be resolved the last answer is used on: the upstream may well be there.
        """
        key = self.address.host, self.address.port
        known = self._dns.get(key)
        if known is None:
            loop = asyncio.get_running_loop()
            try:
                known = list(await loop.getaddrinfo(*key, type=socket.SOCK_STREAM))
            except OSError:
                if not self._last_known:
                    raise
                known = self._last_known
            self._dns[key] = self._last_known = known
        return known

    async def _connect(self, addresses: list[Any]) -> OriginConnection:
        """The first address that answers, each having its share of the time."""
        share = self.settings.connect_timeout / max(1, min(len(addresses), 3))
        order = list(addresses)  # others may connect, and put a failed address last, meanwhile
        for entry in order:
            last = entry is order[-1]
            try:
                async with asyncio.timeout(None if last else share):
                    return await self._connect_to(entry)
            except (OSError, TimeoutError):
                if last:
                    raise
                addresses.remove(entry)
                addresses.append(entry)
        raise OSError(f"{self.address.host} has no address")

    async def _connect_to(self, entry: Any) -> OriginConnection:
        """Whatever happens, cancellation included, no socket is left open."""
        family, kind, protocol, _, sockaddr = entry
        loop = asyncio.get_running_loop()
        connection = OriginConnection(self.settings)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, sockaddr)
            self.path.connected(round_trip(sock))
            host = (self.settings.sni or self.address.host) if self._tls else None
            await aiofastnet.create_connection(loop, lambda: connection, sock=sock, ssl=self._tls, server_hostname=host)
        except BaseException:
            connection.close()
            sock.close()
            raise
        return connection

    def give_back(self, connection: OriginConnection) -> None:
        """The exchange is over: keep the connection if it can be used again."""
        self._in_use.discard(connection)
        if connection.reusable and not self._closed:
            connection.rest(self._clock.monotonic())
            self._idle.append(connection)
        else:
            connection.close()
        self._next_in_line()

    def retire(self) -> None:
        """Keep nothing any more: each connection is closed when its exchange is over."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def close(self) -> None:
        self._closed = True
        for connection in (*self._idle, *self._in_use):
            connection.close()
        self._idle.clear()
