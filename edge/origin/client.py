"""The client: one request, one answer, over a pooled connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.pool import Observer, Pool
from edge.origin.response import UpstreamResponse
from edge.origin.settings import OriginSettings, UpstreamRequest


class Unobserved:
    """Counts nothing."""

    def connected(self, seconds: float) -> None: ...

    def request(self, code: int) -> None: ...

    def ttfb(self, seconds: float) -> None: ...

    def bytes(self, count: int) -> None: ...

    def error(self, reason: str) -> None: ...

    def retry(self) -> None: ...


class OriginClient:
    """Speaks to one upstream."""

    def __init__(self, settings: OriginSettings, clock: Clock, observer: Observer | None = None) -> None:
        self.settings = settings
        self.observer: Observer = observer or Unobserved()
        self.pool = Pool(settings, clock, self.observer)
        self._clock = clock
        self._host = (settings.host_header or "").encode() or self.pool.address.authority
        self._member = f"{self.pool.address.host}:{self.pool.address.port}"

    def __repr__(self) -> str:
        return f"<OriginClient {self.settings.url} {self.pool}>"

    @asynccontextmanager
    async def fetch(self, request: UpstreamRequest, timeout: float | None = None) -> AsyncIterator[UpstreamResponse]:
        """One try. Leaving before the body's end closes the connection. OriginError says what failed.

        `timeout` bounds the wait for the head; a kept connection that dies before the first byte of an answer is
        replaced by a new one at once (RFC 9112 section 9.3.1), which is not a try.
        """
        first_byte = min(timeout or self.settings.first_byte_timeout, self.settings.first_byte_timeout)
        begun = self._clock.monotonic()
        asked = self._clock.wall()
        connection = await self.pool.take()
        try:
            reused = connection.exchanges > 0
            connection.begin(self._head(request), request.method)
            try:
                head = await connection.head(first_byte)
            except OriginError:
                if not (reused and connection.untouched and connection.closed):
                    raise
                self.pool.give_back(connection)
                connection = await self.pool.take(fresh=True)
                connection.begin(self._head(request), request.method)
                head = await connection.head(max(first_byte - (self._clock.monotonic() - begun), 0.0))
            self.observer.ttfb(self._clock.monotonic() - begun)
            self.observer.request(head.status)
            yield UpstreamResponse(
                connection,
                head,
                self.observer,
                member=self._member,
                stall_timeout=self.settings.stall_timeout,
                request_time=asked,
                response_time=self._clock.wall(),
            )
        except OriginError as error:
            self.observer.error(error.reason.value)
            raise
        finally:
            self.pool.give_back(connection)

    def _head(self, request: UpstreamRequest) -> bytes:
        lines = [
            b"%s %s%s HTTP/1.1\r\nHost: %s\r\n"
            % (
                request.method,
                self.pool.address.base_path,
                request.target,
                self._host,
            )
        ]
        lines.extend(b"%s: %s\r\n" % field for field in request.fields)
        lines.append(b"\r\n")
        return b"".join(lines)

    def observe(self, observer: Observer) -> None:
        """Count with `observer` from now on."""
        self.observer = self.pool.observer = observer

    async def close(self) -> None:
        await self.pool.close()
