"""One connection to an upstream: writes a request, parses its answer, trusts nothing (DESIGN D2).

llhttp calls back while it is fed; callbacks only record. What they recorded is looked at after each feed:
  head complete -> the waiter for the head wakes
  body bytes    -> a bounded buffer; above its high mark reading pauses until the consumer has taken enough
  complete      -> anything further on this connection is a surplus: it is closed and never used again
"""

import asyncio
import re
import select
from collections import deque
from enum import StrEnum
from typing import Any, Final

import httptools

from edge.errors import OriginError
from edge.origin.settings import OriginSettings, RequestBody
from edge.origin.window import Window
from edge.words import KIB, Reason

HIGH_WATER: Final = 512 * KIB  # unread body at which the origin is held back
LOW_WATER: Final = 128 * KIB
HTTP: Final = b"HTTP/"
KEEP_ALIVE_MARGIN: Final = 1.0  # seconds before an upstream closes in which nothing is sent any more
MAX_INTERIM: Final = 8  # 1xx answers before one that counts
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_KEEP_ALIVE: Final = re.compile(rb"(?i)\btimeout=([0-9]{1,6})\b")


class Framing(StrEnum):
    """How the end of a body is told (RFC 9112 section 6)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class ResponseHead:
    """An answer's head as it was received."""

    __slots__ = ("content_length", "fields", "framing", "keep_alive", "minor", "size", "status")

    def __init__(self) -> None:
        self.status = 0
        self.minor = 1
        self.fields: list[tuple[bytes, bytes]] = []
        self.framing = Framing.NONE
        self.content_length: int | None = None
        self.keep_alive = False
        self.size = 0  # bytes of its fields


class OriginConnection(asyncio.Protocol):
    """See the module's text. Used for one exchange at a time; `reusable` says whether for another one."""

    def __init__(self, settings: OriginSettings) -> None:
        self._settings = settings
        self._transport: Any = None
        self._arrivals: select.poll | None = None
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None  # of the exchange under way, or of the last one
        self._reset()
        self.closed = False
        self.address: object = None  # where it leads, as the resolver has it
        self.idle_since = 0.0
        self.exchanges = 0
        self.kept = False  # it has waited for a request, and may have been closed meanwhile
        self.idle_most = settings.keepalive  # less, if the upstream says that it closes earlier
        self.window = Window()  # learnt by who iterates pieces: it looks at the clock anyway
        self._writable = asyncio.Event()
        self._writable.set()

    def _reset(self) -> None:
        self._head = ResponseHead()
        self._head_bytes = 0
        self._interim = 0
        self._head_done = False
        self._complete = False
        self._busy = False
        self._method = b""
        self._error: OriginError | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._new: list[bytes] = []
        self._first = b""
        self._ended_messages = 0
        self._barren = 0  # bytes since the last one of body: chunk extensions, trailers
        self.received = 0

    def __repr__(self) -> str:
        return f"<OriginConnection busy={self._busy} complete={self._complete} closed={self.closed}>"

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("sslcontext") is None:  # TLS has messages of its own
            self._arrivals = select.poll()
            self._arrivals.register(sock.fileno(), select.POLLIN)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._busy and not self._complete:
            self._on_eof(exc)
        self._writable.set()
        self._wake()
        self._parser = None  # it knows us: both, and the last bytes, would stay until cycles are looked for

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._complete or self._error is not None:
            self.close()  # bytes that nobody asked for: nothing on this connection can be trusted any more
            return
        if self._head_done and self._head.framing is Framing.LENGTH:
            self._take_counted(data)
            return
        if len(self._first) < len(HTTP):  # llhttp takes other protocols, too
            self._first += data[: len(HTTP) - len(self._first)]
            if not HTTP.startswith(self._first):
                former = self.exchanges > 1
                if former:  # what the answer before had too much came only now: of this one there is nothing
                    self._first = b""
                self._fail(OriginError(Reason.BAD_RESPONSE, "not HTTP", retryable=former))
                self._wake()
                return
        if not self._head_done:
            self._head_bytes += len(data)
        else:
            self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(OriginError(Reason.BAD_RESPONSE, "protocol upgrade", retryable=False))
        except httptools.HttpParserError as error:
            if not self._complete:
                self._fail(OriginError(Reason.BAD_RESPONSE, f"not HTTP: {error}", retryable=False))
            else:
                self.close()  # a surplus after the answer; the answer itself was whole
        self._take_new()
        if not self._head_done and self._head_bytes > self._settings.max_head_bytes:
            self._fail(OriginError(Reason.BAD_RESPONSE, "head is too large", retryable=False))
        if self._barren > self._settings.max_head_bytes and not self._complete:
            self._fail(OriginError(Reason.BAD_RESPONSE, "chunk extensions or trailers are too large", retryable=False))
        if self._complete and self._ended_messages > 1:
            self.close()
        self._wake()

    def _take_counted(self, data: bytes) -> None:
        """Of a body whose length is told: there is nothing to parse, nor to copy."""
        left = (self._head.content_length or 0) - self.received
        self._new.append(data if len(data) <= left else data[:left])
        if len(data) >= left:
            self.on_message_complete()
        self._take_new()
        if len(data) > left:
            self.close()  # a surplus after the answer; the answer itself was whole
        self._wake()

    def _take_new(self) -> None:
        if self._new:
            self._barren = 0
        for chunk in self._new:
            self._chunks.append(chunk)
            self._buffered += len(chunk)
            self.received += len(chunk)
        self._new.clear()
        if self._buffered > HIGH_WATER and not self._paused and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    # -- httptools callbacks: they record, never raise, never send --------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._ended_messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete and not self._head_done:
            self._head.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._complete or self._head_done:
            return
        head = self._head
        head.status = self._parser.get_status_code()
        if 100 <= head.status < 200 and head.status != 101:
            self._interim += 1
            self._head = ResponseHead()
            return
        version = self._parser.get_http_version()
        head.minor = 1 if version == "1.1" else 0
        self._head_done = True
        head.keep_alive = bool(self._parser.should_keep_alive())
        self._note_keep_alive(head)
        if version not in ("1.0", "1.1"):
            self._refuse(f"HTTP/{version}")
        else:
            self._judge_head(head)

    def on_body(self, body: bytes) -> None:
        if self._complete:
            self._ended_messages += 1  # a body where there is none, as after HEAD: what follows it is anybody's guess
        elif self._head_done and self._error is None:
            self._new.append(body)

    def on_message_complete(self) -> None:
        if self._head_done and not self._complete:
            self._complete = True
            self._ended_messages = 1

    # -- the head --------------------------------------------------------------------------------

    def _judge_head(self, head: ResponseHead) -> None:
        """Framing by RFC 9112 section 6.3; whatever is ambiguous is refused."""
        lengths: list[bytes] = []
        codings: list[bytes] = []
        for name, value in head.fields:
            low = name.lower()
            if not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
                self._refuse(f"malformed field {name[:40].decode('latin-1')}")
                return
            if low == b"content-length":
                lengths.append(value)
            elif low == b"transfer-encoding":
                codings.append(value.lower())
        head.size = sum(len(name) + len(value) + 4 for name, value in head.fields)
        if len(head.fields) > self._settings.max_fields or head.size > self._settings.max_head_bytes:
            self._refuse("head is too large")
        elif head.status == 101 or head.status < 200 or head.status > 999:
            self._refuse(f"status {head.status}")
        elif lengths and codings:
            self._refuse("Content-Length beside Transfer-Encoding")
        elif len(set(lengths)) > 1 or any(not value.isdigit() or len(value) > 18 for value in lengths):
            self._refuse("Content-Length contradicts itself")
        elif codings and codings != [b"chunked"]:
            self._refuse("unknown Transfer-Encoding")
        elif codings and head.minor == 0:
            self._refuse("Transfer-Encoding in HTTP/1.0")
        else:
            self._set_framing(head, lengths, codings)

    def _note_keep_alive(self, head: ResponseHead) -> None:
        """Some say when they close (`Keep-Alive: timeout=5`): a request sent in that moment would be lost."""
        for name, value in head.fields:
            if name.lower() == b"keep-alive" and (found := _KEEP_ALIVE.search(value)):
                told = max(0.0, float(found[1]) - KEEP_ALIVE_MARGIN)
                self.idle_most = min(self._settings.keepalive, told)

    def _set_framing(self, head: ResponseHead, lengths: list[bytes], codings: list[bytes]) -> None:
        if lengths:
            head.content_length = int(lengths[0])
        if self._method == b"HEAD" or head.status in (204, 304):
            head.framing = Framing.NONE
            self._complete = True
            self._ended_messages = 1
        elif codings:
            head.framing = Framing.CHUNKED
        elif lengths:
            head.framing = Framing.LENGTH
        else:
            head.framing = Framing.CLOSE
            head.keep_alive = False

    def _refuse(self, detail: str) -> None:
        self._error = OriginError(Reason.BAD_RESPONSE, detail, retryable=False)

    # -- ends ------------------------------------------------------------------------------------

    def _on_eof(self, exc: Exception | None) -> None:
        if self._error is not None:
            return
        if not self._head_done:
            reason = Reason.CONNECT_FAILED if not self._first else Reason.TRUNCATED
            self._error = OriginError(reason, f"closed before an answer ({exc or 'end of stream'})")
        elif self._head.framing is Framing.CLOSE and exc is None:
            self._complete = True
        else:
            self._error = OriginError(Reason.TRUNCATED, f"closed after {self.received} bytes of body")

    def _fail(self, error: OriginError) -> None:
        if self._error is None:
            self._error = error
        self.close()

    def _wake(self) -> None:
        if self._interim > MAX_INTERIM and self._error is None:
            self._error = OriginError(Reason.BAD_RESPONSE, "too many interim answers", retryable=False)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Close at once; unread bytes are dropped."""
        if not self.closed:
            self.closed = True
            if self._transport is not None:
                self._transport.abort()

    # -- an exchange -----------------------------------------------------------------------------

    def begin(self, head: bytes, method: bytes) -> None:
        """Send a request; then `head()` and `chunk()`."""
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        self._busy = True
        self._method = method
        self.exchanges += 1
        self._transport.write(head)

    async def send_body(self, body: RequestBody) -> None:
        """Send a request's body as it comes, no faster than the upstream takes it; its break is the request's."""
        try:
            async for chunk in body:
                if self.closed:
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if body.length < 0 else chunk)
                async with asyncio.timeout(self._settings.stall_timeout):
                    await self._writable.wait()
            if body.length < 0 and not self.closed:
                self._transport.write(b"0\r\n\r\n")
        except TimeoutError:
            self._fail(OriginError(Reason.STALLED, "the upstream does not take the request's body", retryable=False))
            self._wake()
        except OriginError as error:
            self._fail(error)
            self._wake()

    async def sent_or_answered(self, sending: asyncio.Task[None]) -> None:
        """Wait until a body has gone, or is not wanted any more: an answer has come, or the connection is lost."""
        while not (sending.done() or self._head_done or self._error is not None or self.closed):
            self._waiter = self._loop.create_future()
            await asyncio.wait((sending, self._waiter), return_when=asyncio.FIRST_COMPLETED)
            self._waiter = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def untouched(self) -> bool:
        """Has nothing at all come back for the request under way?"""
        return not self._first

    @property
    def reusable(self) -> bool:
        """May another request be sent: whole answer read, framing told its end, not a byte too many?"""
        ended = self._complete and self._ended_messages == 1 and self._head.framing is not Framing.CLOSE
        return not self.closed and ended and self._head.keep_alive and self._error is None

    @property
    def whole(self) -> bool:
        """Has all of the answer come?"""
        return self._complete and self._error is None

    @property
    def disturbed(self) -> bool:
        """Has anything come since the last answer, bytes or an end, that the loop has not told of yet?

        Asked before a connection is used again: a request that meets a surplus is sent a second time. 1 us.
        """
        return self.closed or (self._arrivals is not None and bool(self._arrivals.poll(0)))

    @property
    def left(self) -> int | None:
        """Bytes of the body under way that are still to come; None while nobody knows, -1 when it will not end well."""
        if self.closed or self._error is not None:
            return -1
        if not self._head_done:
            return None
        length = self._head.content_length
        return -1 if length is None or not self._head.keep_alive else length - self.received

    def rest(self, now: float) -> None:
        """The exchange is over and the connection goes back to the pool."""
        self._busy = False
        self.wait_for_use(now)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def wait_for_use(self, now: float) -> None:
        """It lies in the pool from now on."""
        self.kept = True
        self.idle_since = now

    async def head(self, timeout: float) -> ResponseHead:
        """Wait for the answer's head; OriginError FIRST_BYTE_TIMEOUT, BAD_RESPONSE, CONNECT_FAILED, TRUNCATED."""
        try:
            async with asyncio.timeout(timeout):
                while not self._head_done or self._error is not None:
                    if self._error is not None:
                        raise self._error
                    if self.closed:
                        raise OriginError(Reason.CONNECT_FAILED, "connection is closed")
                    await self._wait()
        except TimeoutError:
            raise OriginError(Reason.FIRST_BYTE_TIMEOUT, f"no answer in {timeout:.1f} s") from None
        return self._head

    async def chunk(self, stall_timeout: float) -> bytes | None:
        """The next bytes of the body, None at its end; OriginError STALLED, TRUNCATED, BAD_RESPONSE."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._complete:
                return None
            if self.closed:
                raise OriginError(Reason.TRUNCATED, f"closed after {self.received} bytes of body")
            try:
                async with asyncio.timeout(stall_timeout):
                    await self._wait()
            except TimeoutError:
                raise OriginError(Reason.STALLED, f"nothing for {stall_timeout:.1f} s") from None
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._paused and self._buffered < LOW_WATER and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
