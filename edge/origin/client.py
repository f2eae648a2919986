"""The client: one request, one answer, over a pooled connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edge.access.passes import FIELD_LOW
from edge.clock import Clock
from edge.errors import OriginError
from edge.http import fields
from edge.origin.breaker import Breaker
from edge.origin.budget import retry_budget
from edge.origin.connection import OriginConnection, ResponseHead
from edge.origin.hedge import Hedge, race
from edge.origin.pool import Observer, Pool
from edge.origin.resolve import Resolver
from edge.origin.response import UpstreamResponse
from edge.origin.settings import FieldList, OriginSettings, Signer, UpstreamRequest
from edge.origin.telling import PassSigner
from edge.tasks import Tasks
from edge.words import Reason

DRAIN_TRIPS: Final = 8  # round trips within which the end of an answer that nobody wants comes, or is broken off
CANNOT_SERVE: Final = frozenset({502, 503, 504})
WITH_CONTENT: Final = frozenset({b"POST", b"PUT", b"PATCH"})  # who sends none says so (RFC 9110 section 8.6)
STILL_OPEN: Final = 2.0  # seconds: upstreams keep idle connections for five and more


class Unobserved:
    """Counts nothing."""

    def connected(self, seconds: float) -> None: ...

    def request(self, code: int) -> None: ...

    def ttfb(self, seconds: float) -> None: ...

    def bytes(self, count: int) -> None: ...

    def error(self, reason: str) -> None: ...

    def retry(self) -> None: ...

    def hedge(self) -> None: ...

    def resume(self) -> None: ...

    def repeat(self) -> None: ...

    def probe(self, *, well: bool) -> None: ...


class OriginClient:
    """Speaks to one upstream."""

    def __init__(
        self,
        settings: OriginSettings,
        clock: Clock,
        observer: Observer | None = None,
        *,
        signer: Signer | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self.settings = settings
        self.observer: Observer = observer or Unobserved()
        self.pool = Pool(settings, clock, self.observer, resolver)
        self._retries = retry_budget(clock)
        self._hedge = Hedge(clock)
        self.breaker = Breaker(clock)
        self.clock = clock
        self._tasks = Tasks("origin")
        self._signer = signer
        self._admits = isinstance(signer, PassSigner)  # it is one of ours, and may refuse us
        self._host = (settings.host_header or "").encode() or self.pool.address.authority
        self.member = f"{self.pool.address.host}:{self.pool.address.port}"

    def __repr__(self) -> str:
        return f"<OriginClient {self.settings.url} {self.pool}>"

    @asynccontextmanager
    async def fetch(
        self, request: UpstreamRequest, timeout: float | None = None, *, on: OriginConnection | None = None
    ) -> AsyncIterator[UpstreamResponse]:
        """One try, `on` a connection that was taken already if there is one. OriginError says what failed.

        `timeout` bounds the wait for the head; a kept connection that dies before the first byte of an answer is
        replaced by a new one at once (RFC 9112 section 9.3.1), which is not a try. Leaving before the body's end
        closes the connection, unless it is far and what is left is on its way already.
        """
        first_byte = min(timeout or self.settings.first_byte_timeout, self.settings.first_byte_timeout)
        begun = self.clock.monotonic()
        asked = self.clock.wall()
        self._retries.earn()
        connection = on
        sending: asyncio.Task[None] | None = None
        answered = failed = False
        response: UpstreamResponse | None = None
        try:
            if connection is None:
                idle_most = None if request.retry else STILL_OPEN
                connection = await self.pool.take(idle_most=idle_most, urgency=request.urgency)
            reused = connection.exchanges > 0
            connection.begin(self._head(request, await self._signed(request)), request.method)
            if request.body is not None:
                sending = self._tasks.spawn(connection.send_body(request.body), "request body")
                await connection.sent_or_answered(sending)
            try:
                connection, head = await self._first_head(connection, request, first_byte)
            except OriginError:
                if not (request.retry and reused and connection.untouched and connection.closed):
                    raise
                self.pool.give_back(connection)
                connection = await self._send(request, idle_most=0)
                head = await connection.head(max(first_byte - (self.clock.monotonic() - begun), 0.0))
            self._check_admitted(head)
            self.observer.ttfb(self.clock.monotonic() - begun)
            if request.hedge:
                self._hedge.note(self.clock.monotonic() - begun)
            self.observer.request(head.status)
            answered = True
            if head.status in CANNOT_SERVE:
                self.breaker.failed()
            else:
                self.breaker.succeeded()
            response = UpstreamResponse(
                connection,
                head,
                self.observer,
                member=self.member,
                stall_timeout=self.settings.stall_timeout,
                request_time=asked,
                response_time=self.clock.wall(),
            )
            yield response
        except OriginError as error:
            failed = True
            self.observer.error(error.reason.value)
            if not answered and error.retryable:
                self.breaker.failed()
            raise
        finally:
            if response is not None:
                self._note_body(response)
            if connection is not None:
                if sending is not None and not sending.done():
                    sending.cancel()
                    connection.close()  # half a request is on the wire
                if failed:
                    self.pool.give_back(connection)
                else:
                    self._let_go(connection)

    def _note_body(self, response: UpstreamResponse) -> None:
        """What its body did. Of one that nobody wanted to the end nothing is known."""
        if response.broken:
            self.breaker.body_broke(response.received)
        elif response.whole:
            self.breaker.body_came(response.received)

    def _let_go(self, connection: OriginConnection) -> None:
        """The exchange is over, perhaps before its end.

        Far away a connection whose window has grown is worth more than the few bytes that are under way anyway.
        """
        left = connection.left
        worth = self.pool.path.far and left != 0 and (left is None or 0 < left <= connection.window.size)
        if worth and not connection.reusable and not self.pool.counts[2]:
            self._tasks.spawn(self._drain(connection), "drain")
        else:
            self.pool.give_back(connection)

    async def _drain(self, connection: OriginConnection) -> None:
        """Take the end of an answer that nobody wants any more, if it is short and comes soon."""
        limit = DRAIN_TRIPS * (self.pool.path.rtt or 0.0)
        try:
            async with asyncio.timeout(limit):
                await connection.head(limit)
                while 0 < (connection.left or 0) <= connection.window.size:
                    if await connection.chunk(limit) is None:
                        break
        except (OriginError, TimeoutError):
            pass
        finally:
            self.pool.give_back(connection)

    async def _send(self, request: UpstreamRequest, idle_most: float | None = None) -> OriginConnection:
        connection = await self.pool.take(idle_most=idle_most, urgency=request.urgency)
        try:
            connection.begin(self._head(request, await self._signed(request)), request.method)
        except BaseException:
            connection.close()
            self.pool.give_back(connection)
            raise
        return connection

    async def _signed(self, request: UpstreamRequest) -> FieldList:
        """Fields that let this request in, if the member asks for any."""
        if self._signer is None:
            return ()
        return await self._signer.sign(request, self.pool.address.base_path + request.target, self._host)

    async def _first_head(
        self, connection: OriginConnection, request: UpstreamRequest, left: float
    ) -> tuple[OriginConnection, ResponseHead]:
        """The head, on this connection or, when it is late, on the one of two that is faster."""
        after = self._hedge.after if request.hedge and self.settings.hedge else None
        if after is None or after >= left:
            return connection, await connection.head(left)
        try:
            return connection, await connection.head(after)
        except OriginError as error:
            if error.reason is not Reason.FIRST_BYTE_TIMEOUT:
                raise
        if not self.pool.spare or not self._hedge.take():
            return connection, await connection.head(left - after)
        self.observer.hedge()
        return await race(self._tasks, connection, left - after, lambda: self._send(request), self.pool.give_back)

    def _check_admitted(self, head: ResponseHead) -> None:
        """A shield or a sibling that does not let us in is as good as away: that is no answer for a player."""
        if self._admits and fields.first(head.fields, FIELD_LOW) is not None:
            raise OriginError(Reason.NOT_ADMITTED, f"{self.member} does not let us in: {head.status}")

    def _head(self, request: UpstreamRequest, signed: FieldList) -> bytes:
        lines = [
            b"%s %s%s HTTP/1.1\r\nHost: %s\r\n"
            % (
                request.method,
                self.pool.address.base_path,
                request.target,
                self._host,
            )
        ]
        lines.extend(b"%s: %s\r\n" % field for field in (*request.fields, *signed))
        if request.body is not None:
            length = request.body.length
            lines.append(b"Transfer-Encoding: chunked\r\n" if length < 0 else b"Content-Length: %d\r\n" % length)
        elif request.method in WITH_CONTENT:
            lines.append(b"Content-Length: 0\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1 or b"\0" in head:
            raise ValueError("a line break within a request's field")  # one request must not become two
        return head

    def may_retry(self) -> bool:
        """Is there a try left in the budget? If so, it is taken. What has brought bytes goes on without asking."""
        if not self._retries.take():
            return False
        self.observer.retry()
        return True

    async def probe(self) -> None:
        """Can it be connected to? Its breaker hears of it."""
        try:
            connection = await self.pool.dialer.open()
        except OriginError as error:
            self.observer.error(error.reason.value)
            self.breaker.failed()
        else:
            connection.close()
            self.breaker.succeeded()

    def observe(self, observer: Observer) -> None:
        """Count with `observer` from now on."""
        self.observer = self.pool.observer = observer

    async def close(self) -> None:
        await self._tasks.close()
        await self.pool.close()
