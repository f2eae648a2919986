"""A player's connection: requests in, answers out, in order.

  reading   data_received -> llhttp -> callbacks record -> complete requests wait in a bounded queue
  handling  one exchange at a time is current: the handler answers it now or later
  sending   the head, then window after window; the next one when the last has left (see `_send`)

Rules (DESIGN D1): callbacks never raise and never send; raw head bytes are counted by us; nothing lenient.
"""

import asyncio
import os
import re
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools

from edge.clock import Clock
from edge.server.exchange import BodyBroken, BodySource, Exchange, FileWindow, Window
from edge.server.request import Request
from edge.server.settings import ServerSettings
from edge.words import PENDING

_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
IN_A_ROW: Final = 4  # windows that may leave at once before other connections get their turn


class Handler(Protocol):
    """Answers requests."""

    def handle(self, exchange: Exchange) -> None: ...


class Shared(Protocol):
    """What a connection needs of its listener."""

    settings: ServerSettings
    clock: Clock
    handler: Handler
    draining: bool

    def refusal(self, status: int, detail: str) -> tuple[bytes, bytes]: ...

    def opened(self, connection: "Connection") -> None: ...

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """See the module's text."""

    __slots__ = (
        "_advancing",
        "_closing",
        "_current",
        "_eof",
        "_future",
        "_head_bytes",
        "_head_since",
        "_in_head",
        "_loop",
        "_parsed",
        "_parser",
        "_peer",
        "_queue",
        "_reading_paused",
        "_refused",
        "_request",
        "_requests",
        "_scheduled",
        "_secure",
        "_send_file",
        "_sent_at_mark",
        "_shared",
        "_transport",
        "_window_limit",
        "_write_paused",
        "idle_since",
        "slow_mark",
    )

    def __init__(self, shared: Shared, *, secure: bool) -> None:
        self._shared = shared
        self._secure = secure
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = None
        self._peer = ""
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._request: Request | None = None
        self._in_head = False
        self._head_bytes = 0  # raw, since the last complete head: bounds what llhttp may buffer unseen
        self._parsed = 0  # of the head under way, as parsed: what the limit is about
        self._advancing = False
        self._head_since = 0.0
        self._refused: tuple[int, str] | None = None
        self._requests = 0
        self._reading_paused = False
        self._write_paused = False
        self._future: asyncio.Future[None] | None = None
        self._scheduled = False
        self._closing = False
        self._eof = False
        self._send_file: Callable[..., Any] | None = None
        self._window_limit = shared.settings.window_tls if secure else shared.settings.window_plain
        self.idle_since = shared.clock.monotonic()
        self.slow_mark: tuple[float, int] | None = None
        self._sent_at_mark = 0

    def __repr__(self) -> str:
        return f"<Connection {self._peer} current={self._current} waiting={len(self._queue)}>"

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        if not self._secure or transport.get_extra_info("ktls_send_enabled"):
            self._send_file = self._transport.sendfile
            self._window_limit = self._shared.settings.window_plain
        else:
            self._transport.set_write_buffer_limits(high=64 * 1024, low=16 * 1024)
        self._shared.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._shared.lost(self)
        current, self._current = self._current, None
        waiting = list(self._queue)
        self._queue.clear()
        for exchange in ([current] if current is not None else []) + waiting:
            self._abandon(exchange)

    def _abandon(self, exchange: Exchange) -> None:
        exchange.aborted = True
        if exchange.on_gone is not None:
            exchange.on_gone()
        self._end(exchange)

    def eof_received(self) -> bool:
        """A half-closed connection stays until its answers have gone."""
        self._eof = True
        return self._current is not None or bool(self._queue)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refused is not None:
            return  # a refusal is on its way: what else comes is not read
        if not self._in_head and self._request is None:
            self._head_since = self._shared.clock.monotonic()
            self._in_head = True
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "protocol upgrade is not offered")
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP: {error}")
        if self._in_head and self._refused is None and self._head_bytes > self._shared.settings.max_head:
            self._refuse(431, "the request head is too large")
        self._advance()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._current is not None and self._future is None:
            self._send(self._current)

    # -- httptools callbacks: they record, never raise, never send --------------------------------

    def on_message_begin(self) -> None:
        self._request = Request()
        self._in_head = True
        self._parsed = 0

    def on_url(self, url: bytes) -> None:
        if self._request is not None:
            self._request.target += url
            if len(self._request.target) > self._shared.settings.max_line:
                self._refuse(414, "the request line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._request
        if request is not None and self._refused is None:
            if len(request.fields) >= self._shared.settings.max_fields:
                self._refuse(431, "too many header fields")
                return
            request.add(name, value.strip(b" \t"))
            self._parsed += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        request = self._request
        if request is None or self._refused is not None:
            return
        request.method = self._parser.get_method()
        version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        problem = self._problem(request, version)
        if problem is not None:
            self._refuse(*problem)

    def on_body(self, body: bytes) -> None:
        self._refuse(400, "a request body is not accepted")

    def on_message_complete(self) -> None:
        request, self._request = self._request, None
        self._in_head = False
        if request is None or self._refused is not None:
            return
        if self._parsed + len(request.target) > self._shared.settings.max_head:
            self._refuse(431, "the request head is too large")
            return
        self._head_bytes = 0
        request.received_at = self._shared.clock.monotonic()
        request.peer = self._peer
        request.secure = self._secure
        self._requests += 1
        if self._requests >= self._shared.settings.max_requests:
            request.keep_alive = False
        self._queue.append(Exchange(self, request))

    def _problem(self, request: Request, version: str) -> tuple[int, str] | None:
        """What RFC 9112 does not allow, or we do not accept; None for a good request."""
        if version not in ("1.1", "1.0"):
            return 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"
        request.minor = 1 if version == "1.1" else 0
        hosts = 0
        for name, value in request.fields:
            if _BAD_VALUE.search(value):
                return 400, "a control character in a field"
            size = len(name)
            if size == 4 and name.lower() == b"host":
                hosts += 1
                request.host = value
            elif (size == 17 and name.lower() == b"transfer-encoding") or (
                size == 14 and name.lower() == b"content-length" and value != b"0"
            ):
                return 400, "a request body is not accepted"
        if hosts > 1 or (hosts == 0 and request.minor == 1):
            return 400, "exactly one Host is needed"
        if request.host is not None and _HOST.fullmatch(request.host) is None:
            return 400, "the Host is not valid"
        return None

    def _refuse(self, status: int, detail: str) -> None:
        if self._refused is None:
            self._refused = status, detail
            self._request = None
            self._in_head = False

    # -- one exchange after the other ------------------------------------------------------------

    def _advance(self) -> None:
        """Handle what is waiting, one at a time; a loop, since handlers answer synchronously."""
        self._advancing = True
        while self._current is None and self._queue and not self._closing:
            exchange = self._queue.popleft()
            self._current = exchange
            self._shared.handler.handle(exchange)
        self._advancing = False
        if self._current is None and not self._closing:
            if self._refused is not None:
                self._answer_refusal()
                return
            if self._eof:
                self._close()
                return
            self.idle_since = self._shared.clock.monotonic()
        self._steer_reading()

    def _steer_reading(self) -> None:
        """Back-pressure: with enough requests waiting nothing more is read."""
        full = len(self._queue) >= self._shared.settings.pipeline
        if full and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        elif self._reading_paused and not self._queue and not self._closing:
            self._reading_paused = False
            self._transport.resume_reading()

    def _answer_refusal(self) -> None:
        assert self._refused is not None
        head, body = self._shared.refusal(*self._refused)
        self._transport.write(head + b"Connection: close\r\n\r\n" + body)
        self._closing = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        # Closing with unread bytes would reset the connection and lose the refusal: linger a moment.
        self._loop.call_later(self._shared.settings.linger, self._transport.abort)

    # -- answering -------------------------------------------------------------------------------

    def answer(self, exchange: Exchange, head: bytes, body: bytes | BodySource, length: int | None) -> None:
        """See `Exchange.respond`."""
        if self._closing or exchange is not self._current:
            if not isinstance(body, bytes):
                body.close()
            return
        request = exchange.request
        exchange.head_at = self._shared.clock.monotonic()
        if self._shared.draining or self._refused is not None or self._eof:
            request.keep_alive = False
        if length is None:
            exchange.chunked = request.minor == 1
            if exchange.chunked:
                head += b"Transfer-Encoding: chunked\r\n"
            else:
                request.keep_alive = False
        if not request.keep_alive:
            head += b"Connection: close\r\n\r\n"
        elif request.minor == 0:
            head += b"Connection: keep-alive\r\n\r\n"
        else:
            head += b"\r\n"
        if request.method == b"HEAD" or length == 0:
            if not isinstance(body, bytes):
                body.close()
            body, exchange.chunked = b"", False
        if isinstance(body, bytes):
            exchange.body_bytes = len(body)
            self._transport.write(head + body)
            self._finished(exchange)
            return
        self._transport.write(head)
        exchange.source = body
        self.slow_mark = exchange.head_at, 0
        self._send(exchange)

    def resume(self, exchange: Exchange) -> None:
        """See `Exchange.resume`."""
        if exchange is self._current and exchange.source is not None and not self._closing:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._current is not None and self._future is None and not self._write_paused:
            self._send(self._current)

    def _send(self, exchange: Exchange) -> None:
        """Send windows until the socket is full, the source has nothing, or others should have their turn."""
        source = exchange.source
        if source is None or self._closing or self._scheduled:
            return
        for _ in range(IN_A_ROW):
            if self._write_paused or self._future is not None:
                return
            try:
                window = source.next_window(self._window_limit)
            except BodyBroken:
                self.abort()
                return
            if window is PENDING:
                return
            if window is None:
                if exchange.chunked:
                    self._transport.write(b"0\r\n\r\n")
                self._finished(exchange)
                return
            assert not isinstance(window, type(PENDING))
            self._send_window(exchange, window)
            if self._closing:
                return
        self._schedule()

    def _send_window(self, exchange: Exchange, window: Window) -> None:
        count = window.count if isinstance(window, FileWindow) else len(window)
        exchange.body_bytes += count
        if exchange.chunked:
            self._transport.write(b"%x\r\n" % count)
        if isinstance(window, FileWindow):
            self._send_from_file(window)
        else:
            self._transport.write(window)
        if exchange.chunked and not self._closing:
            self._transport.write(b"\r\n")

    def _send_from_file(self, window: FileWindow) -> None:
        if self._send_file is None:
            data = window.file.view(window.offset, window.count)
            self._transport.write(
                os.pread(window.file.fileno(), window.count, window.offset) if data is None else data
            )
            return
        try:
            future = self._send_file(window.file, window.offset, window.count)
        except (OSError, RuntimeError, NotImplementedError):
            self.abort()
            return
        if future is not None:
            self._future = future
            future.add_done_callback(self._window_left)

    def _window_left(self, future: "asyncio.Future[None]") -> None:
        """A queued sendfile is over; its result is always taken, also when the connection is gone."""
        self._future = None
        if future.cancelled() or future.exception() is not None:
            return  # connection_lost tells the exchange
        if self._current is not None:
            self._turn()

    def _finished(self, exchange: Exchange) -> None:
        self._current = None
        self.slow_mark = None
        self._end(exchange)
        if not exchange.request.keep_alive:
            self._close()
        elif self._advancing:
            pass  # the loop there goes on
        elif self._queue or self._reading_paused or self._refused is not None or self._eof:
            self._loop.call_soon(self._advance)
        else:
            self.idle_since = exchange.head_at

    def _end(self, exchange: Exchange) -> None:
        if exchange.source is not None:
            exchange.source.close()
            exchange.source = None
        on_closed, exchange.on_closed = exchange.on_closed, None
        if on_closed is not None:
            on_closed(exchange)

    def _close(self) -> None:
        """Close when everything written has gone."""
        if not self._closing:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Reset: the client must not take what it got for the whole (DESIGN D8)."""
        if self._transport is None or (self._closing and self._current is None):
            return
        self._closing = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self._transport.abort()

    # -- the sweep (once a second, by the listener) ----------------------------------------------

    def sweep(self, now: float) -> str | None:
        """End what is too slow; says why, None if all is well."""
        settings = self._shared.settings
        if self._closing:
            return None
        if self._current is None:
            if self._in_head and now - self._head_since > settings.head_timeout:
                self._refuse(408, "the request head took too long")
                self._advance()
                return "head_timeout"
            if not self._in_head and now - self.idle_since > settings.idle_timeout:
                self._close()
                return "idle"
            return None
        return self._sweep_slow(self._current, now)

    def _sweep_slow(self, exchange: Exchange, now: float) -> str | None:
        settings = self._shared.settings
        if self.slow_mark is None or not (self._future is not None or self._write_paused):
            self.slow_mark = (now, exchange.body_bytes) if exchange.source is not None else None
            return None
        since, at = self.slow_mark
        if now - since < settings.drain_seconds:
            return None
        sent = exchange.body_bytes - at + self._drained()
        if sent < settings.drain_bytes * settings.drain_seconds:
            self.abort()
            return "slow_reader"
        self.slow_mark = now, exchange.body_bytes
        return None

    def _drained(self) -> int:
        """Bytes of the window under way that have left since the last mark."""
        left: int = self._transport.get_write_buffer_size()
        drained, self._sent_at_mark = max(0, self._sent_at_mark - left), left
        return drained

    @property
    def active(self) -> bool:
        return self._current is not None or bool(self._queue)

    def drain(self) -> None:
        """No further requests: an idle connection is closed now, a busy one after its answer."""
        if not self.active and not self._closing:
            self._close()
