"""The client: one request, one answer, over a pooled connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from edge.access.passes import FIELD_LOW
from edge.clock import Clock
from edge.errors import OriginError
from edge.http import fields
from edge.http.cache_status import relays
from edge.origin.breaker import Breaker
from edge.origin.budget import retry_budget
from edge.origin.connection import OriginConnection, ResponseHead
from edge.origin.dial import FAIR
from edge.origin.hedge import Hedge, race
from edge.origin.latency import Latency
from edge.origin.pool import Observer, Pool
from edge.origin.resolve import Resolver
from edge.origin.response import UpstreamResponse
from edge.origin.served import Served
from edge.origin.settings import FieldList, OriginSettings, Signer, UpstreamRequest
from edge.origin.telling import PassSigner
from edge.tasks import Tasks
from edge.words import Reason

DRAIN_TRIPS: Final = 8  # round trips within which the end of an answer that nobody wants comes, or is broken off
CANNOT_SERVE: Final = frozenset({502, 503, 504})
OUR_OWN: Final = frozenset({Reason.QUEUE_FULL, Reason.QUEUE_TIMEOUT})  # these say nothing of a member: it was not asked
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

    def pause(self) -> None: ...

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
        self.latency = Latency(clock)
        self.clock = clock
        self._tasks = Tasks("origin")
        self._signer = signer
        self._admits = isinstance(signer, PassSigner)  # it is one of ours, and may refuse us
        self._host = (settings.host_header or "").encode() or self.pool.address.authority
        self.member = self.pool.address.member
        self.breaker = Breaker(clock, self.member)
        self.served = Served()

    def __repr__(self) -> str:
        return f"<OriginClient {self.settings.url} {self.pool}>"

    @asynccontextmanager
    async def fetch(
        self, request: UpstreamRequest, timeout: float | None = None, *, on: OriginConnection | None = None
    ) -> AsyncIterator[UpstreamResponse]:
        """One try, `on` a connection that was taken already if there is one. OriginError says what failed.

        `timeout` bounds all that is waited for until the head has come: our turn, a connection, the head. A kept
        connection that dies before the first byte of an answer is replaced by a new one at once (RFC 9112 section
        9.3.1), which is not a try. Leaving before the body's end closes the connection, unless it is far and what is
        left is on its way already.
        """
        begun = self.clock.monotonic()
        asked = self.clock.wall()
        self._retries.earn()
        connection = on
        sending: asyncio.Task[None] | None = None
        answered = failed = False
        first_byte = 0.0
        response: UpstreamResponse | None = None
        if request.counts:
            self.latency.asked()  # now: while one connects, others would take it for the fastest, too
        try:
            if connection is None:
                idle_most = None if request.retry else STILL_OPEN
                connection = await self.pool.take(
                    idle_most=idle_most, urgency=request.urgency, within=timeout, in_use=request.counts
                )
            used = connection.exchanges > 0
            sent = self.clock.monotonic()
            first_byte = self._first_byte_within(timeout, sent - begun)
            connection.begin(self._head(request, await self._signed(request)), request.method)
            if request.body is not None:
                sending = self._tasks.spawn(connection.send_body(request.body), "request body")
                await connection.sent_or_answered(sending)
            try:
                connection, head = await self._first_head(connection, request, first_byte)
            except OriginError:
                unseen = used or (connection.kept and not self.breaker.failing)  # one that is dying gets nothing twice
                if not (request.retry and unseen and connection.untouched and connection.closed):
                    raise
                self.pool.give_back(connection)
                left = first_byte - (self.clock.monotonic() - sent)
                connection = await self._send(request, idle_most=0, within=left)
                head = await connection.head(max(first_byte - (self.clock.monotonic() - sent), 0.0))
            self._check_admitted(head)
            self.observer.ttfb(self.clock.monotonic() - begun)
            if request.hedge:
                self._hedge.note(self.clock.monotonic() - begun)
            self.observer.request(head.status)
            answered = True
            relayed = self._admits and head.status in CANNOT_SERVE and relays(head.fields)
            self._note_answer(request, begun, 0 if relayed else head.status)
            response = UpstreamResponse(
                connection,
                head,
                self.observer,
                member=self.member,
                stall_timeout=self.settings.stall_timeout,
                request_time=asked,
                response_time=self.clock.wall(),
                clock=self.clock,
                relayed=relayed,
            )
            yield response
        except OriginError as error:
            failed = True
            self.observer.error(error.reason.value)
            if not answered and error.retryable:
                self._note_failure(request, begun, first_byte, error)
            raise
        finally:
            if response is not None and request.counts:
                self._note_body(response, begun)
            if connection is not None:
                if sending is not None and not sending.done():
                    sending.cancel()
                    connection.close()  # half a request is on the wire
                if failed:
                    self.pool.give_back(connection)
                else:
                    self._let_go(connection)

    # -- what is learned of the member -----------------------------------------------------------

    def _first_byte_within(self, timeout: float | None, passed: float) -> float:
        most = self.settings.first_byte_timeout
        return most if timeout is None else max(0.0, min(most, timeout - passed))

    def _note_answer(self, request: UpstreamRequest, begun: float, status: int) -> None:
        """Its head has come. `status` 0: what it says was said by whom the member had asked."""
        failed = status in CANNOT_SERVE
        if request.body is None and not failed:
            noted = self.latency.answered if request.counts else self.latency.checked
            noted(self.clock.monotonic() - begun)
        if request.counts and failed:
            self.breaker.failed(f"answered {status}", begun=begun)
        elif request.counts:
            self.breaker.succeeded()
            if status and request.method == b"GET":
                self.served.note(request)

    def _note_failure(self, request: UpstreamRequest, begun: float, given: float, error: OriginError) -> None:
        """`given`: seconds for the head. What our own line is the cause of is no failure: it was full, or took them."""
        if error.reason in OUR_OWN:
            return
        if not request.counts:
            return
        if error.reason is Reason.FIRST_BYTE_TIMEOUT:
            if given < min(FAIR, self.settings.first_byte_timeout / 2):
                return
            self.latency.silent(given)
        self.breaker.failed(str(error), begun=begun)

    def _note_body(self, response: UpstreamResponse, begun: float) -> None:
        """What its body did. Of one that nobody wanted to the end nothing is known, nor of one that we have held up."""
        if response.broken and not response.held_up:
            self.breaker.body_broke(response.received, begun=begun)
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

    async def _send(
        self, request: UpstreamRequest, idle_most: float | None = None, within: float | None = None
    ) -> OriginConnection:
        connection = await self.pool.take(
            idle_most=idle_most, urgency=request.urgency, within=within, in_use=request.counts
        )
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
        left -= after
        send = partial(self._send, request, within=left)
        return await race(self._tasks, connection, left, send, self.pool.give_back)

    def _check_admitted(self, head: ResponseHead) -> None:
        """A shield or a sibling that does not let us in is as good as away: that is no answer for a player."""
        if self._admits and fields.first(head.fields, FIELD_LOW) is not None:
            raise OriginError(Reason.NOT_ADMITTED, f"it does not let us in: {head.status}")

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

    def observe(self, observer: Observer) -> None:
        """Count with `observer` from now on."""
        self.observer = self.pool.observer = observer

    async def close(self) -> None:
        await self._tasks.close()
        await self.pool.close()
