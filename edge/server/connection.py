"""The protocol of one connection: requests in, answers out, in order, one at a time.

    reading    bytes -> reader -> waiting requests (at most 16; then reading pauses)
    serving    the first waiting request becomes the exchange; the next one waits for its end
    answering  one write for small bodies, else a `Sender`; `resume_writing` tells that all queued has gone

`finish()` is the only good end of an exchange, `_lose()` the only bad one. Nothing here is recursive: a
handler that answers at once returns into the loop of `_serve`, which takes up the next request.
"""

import logging
import socket
from typing import Final

from aiofastnet import Transport

from edge.errors import BadRequest
from edge.server.exchange import Body, BodySource, Exchange, FileWindow, Outcome
from edge.server.incoming import IncomingBody
from edge.server.lifetime import Lifetime
from edge.server.observer import Event
from edge.server.request import Request
from edge.server.sending import OneWindow, Sender, Unreadable, send_at_once
from edge.server.service import Service
from edge.words import KIB

log = logging.getLogger("edge.server")

_DONE: Final = Outcome.DONE  # an enum's member costs four times as much to name
_LEFT: Final = Outcome.CLIENT_LEFT
_TURN: Final = 16  # requests answered in a row before other connections get their turn
_ONE_WRITE: Final = 64 * KIB  # up to here copying head and body together is cheaper than two buffers
_STAY: Final = (b"Connection: keep-alive\r\n\r\n", b"\r\n")  # by minor: HTTP/1.0 must be told (RFC 9112 9.3)
_CLOSE: Final = b"Connection: close\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


class Connection(Lifetime):
    """Made when a socket was accepted; lives until its transport is lost."""

    __slots__ = ("_requests_left", "_serving", "_stay")

    def __init__(self, service: Service, sock: socket.socket, peer: str, secure: bool) -> None:
        super().__init__(service, sock, peer, secure)
        self._requests_left = service.settings.max_requests
        self._serving = False
        self._stay = False  # after the answer under way

    # -- reading ---------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> bytearray:
        """One buffer serves all connections, since what is read is copied out in the same call.

        Left to itself the transport would allocate 256 KiB for each read, which costs three system calls.
        """
        return self.service.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending_until:
            return
        body = self._reader.body
        self._reader.feed(bytes(self.service.view[:nbytes]), self.service.monotonic())
        if body is not None and not self._body_came(body):
            return
        if self._exchange is None:
            self._serve()
        if self._reader.full and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client will send no more. True keeps our side open: it may still read its answers."""
        self._eof = True
        if self._ending_until or self.idle:
            return False
        if self._reader.body is not None:
            self.abort(Outcome.CLIENT_LEFT)  # the rest of the request will never come
            return False
        if self._secure:
            # The TLS transport stops writing after close_notify: an answer under way cannot be completed.
            self.abort(Outcome.CLIENT_LEFT)
            return False
        return True

    def _body_came(self, body: IncomingBody) -> bool:
        """More of a body is there: its handler hears of it. False: its framing is broken, nothing more is served."""
        refusal, exchange = self._reader.refusal, self._exchange
        if refusal is None or body.complete:
            body.tell()
            return True
        if exchange is not None and exchange.request.body is not body:
            return True  # its turn has not come; what waits before it is still good
        if exchange is not None and exchange.head_sent_at:
            self.abort(Outcome.CLIENT_LEFT)
        else:
            self.service.observer.count(Event.BAD_REQUEST)
            self._lose(Outcome.CLIENT_LEFT)
            self._refuse(refusal)
        return False

    def _body_wanted(self) -> None:
        """The handler has begun to take a request's body, or has room for more of it."""
        body, transport = self._reader.body, self._transport
        if body is None or transport is None or self._ending_until:
            return
        if body.expects_continue:
            body.expects_continue = False
            transport.write(_CONTINUE)
        if self._reader.raw and not body.full:
            self._reader.read_on(self.service.monotonic())
        if not self._reader.full:
            self._read_again()

    # -- serving ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer what waits until an answer takes longer, nothing waits, or others are due."""
        if self._serving:
            return
        self._serving = True
        reader, turns = self._reader, _TURN
        while self._exchange is None and not self._ending_until:
            if not reader.waiting and reader.raw:
                reader.read_on(self.service.monotonic())
            if not reader.waiting:
                self._rest()
                break
            if turns == 0:
                self.service.loop.call_soon(self._serve)
                break
            turns -= 1
            self._begin(reader.waiting.popleft())
        self._serving = False

    def _begin(self, request: Request) -> None:
        request.connection = self
        exchange = self._exchange = Exchange(request, self)
        if request.body is not None:
            request.body.wire(self._body_wanted)
        try:
            self.service.handler.handle(exchange)
        except Exception:
            log.exception("the handler failed on %r", request)
            self.service.observer.count(Event.HANDLER_FAILED)
            if self._exchange is not exchange:
                return  # it had answered already
            if exchange.head_sent_at:
                self.abort(Outcome.BROKEN)
            else:
                self._lose(Outcome.BROKEN)
                self._refuse(BadRequest("internal error", 500))

    def _rest(self) -> None:
        """Nothing waits: say what was wrong with what came, part, or hear more."""
        reader = self._reader
        if reader.refusal is not None:
            self.service.observer.count(Event.BAD_REQUEST)
            self._refuse(reader.refusal)
        elif self._eof or (self.service.draining and reader.started_at is None):
            self._part()
        else:
            self._read_again()

    # -- answering (Carrier) ---------------------------------------------------------------------

    def respond(self, exchange: Exchange, head: bytes, body: Body, length: int | None) -> None:
        """See `Exchange.respond`."""
        transport, request = self._transport, exchange.request
        assert transport is not None
        wanted = request.method != b"HEAD"
        if exchange.head_sent_at:
            raise RuntimeError("an exchange is answered once")
        if wanted and length is not None:
            there = body.count if isinstance(body, FileWindow) else len(body) if isinstance(body, bytes) else length
            if there != length:
                raise ValueError(f"a body of {there} bytes where {length} are promised")
        exchange.head_sent_at = self.service.monotonic()
        self._requests_left -= 1
        chunked = length is None and request.minor == 1
        if self._eof or self._requests_left <= 0 or self.service.parting:
            self._stay = self._may_stay(request) and (chunked or length is not None)
        else:
            self._stay = request.keep_alive and (chunked or length is not None)
        end = _STAY[request.minor] if self._stay else _CLOSE
        if chunked:
            end = _CHUNKED + end
        if isinstance(body, FileWindow):
            self._respond_window(transport, head + end, body if wanted else None)
        elif body is None or isinstance(body, bytes):
            self._respond_bytes(transport, head + end, body or b"" if wanted else b"", chunked and wanted)
        elif not wanted or length == 0:
            body.close()
            self._respond_bytes(transport, head + end, b"", False)
        else:
            self._sender = self._make_sender(transport, body, length, chunked)
            self._sender.start(head + end)

    def _may_stay(self, request: Request) -> bool:
        """Keep the connection after this answer?"""
        if self.service.draining or not request.keep_alive or self._requests_left <= 0:
            return False
        return not (self._eof or self.service.parting) or bool(self._reader.waiting) or self._reader.raw > 0

    def _make_sender(self, transport: Transport, body: BodySource, length: int | None, chunked: bool) -> Sender:
        settings, by_copy = self.service.settings, self._user_space_tls
        limit = settings.window_tls if by_copy else settings.window_plain
        return Sender(self, transport, body, length, limit, chunked=chunked, by_copy=by_copy)

    def _respond_bytes(self, transport: Transport, head: bytes, body: bytes, chunked: bool) -> None:
        count = len(body)
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (count, body) if body else b"0\r\n\r\n"
        self.written += len(head) + len(body)
        if count <= _ONE_WRITE:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        if self.handed(count):
            self.finish()

    def _respond_window(self, transport: Transport, head: bytes, window: FileWindow | None) -> None:
        """The commonest hit: one stretch of a file, most often taken by the kernel in one go."""
        if window is None or window.count == 0:
            self._respond_bytes(transport, head, b"", False)
            return
        count = left = window.count
        unreadable = False
        if self.sock is not None and not self.paused and not transport.is_closing():
            try:
                left = send_at_once(self.sock, head, window)
            except Unreadable as bad:
                left, unreadable = bad.left, True
            if left <= count:
                self.written += len(head) + count - left
                head = b""
            else:
                kept = left - count
                self.written += len(head) - kept
                head, left = head[len(head) - kept :], count
        exchange = self._exchange
        if left == 0 and exchange is not None:
            exchange.body_bytes_sent += count
            self.finish()
            return
        assert exchange is not None
        exchange.body_bytes_sent += count - left
        rest = OneWindow(FileWindow(window.file, window.offset + count - left, left), exchange)
        self._sender = self._make_sender(transport, rest, left, False)
        if unreadable:
            self._sender.take_back(0)
        else:
            self._sender.start(head)

    def resume_body(self) -> None:
        if self._sender is not None:
            self._sender.resume()

    def handed(self, count: int) -> bool:
        """`count` body bytes are with the transport. False: not all with the kernel, which will be told."""
        exchange = self._exchange
        if self.paused or exchange is None:
            self._inflight, self._partial, self._flushing = count, 0, True
            return False
        exchange.body_bytes_sent += count
        return True

    def sent_at_once(self, count: int) -> None:
        """`count` body bytes are with the kernel, and their window ends with them."""
        self.written += count
        if self._exchange is not None:
            self._exchange.body_bytes_sent += count

    def finish(self) -> None:
        """The answer has gone; the next one may begin."""
        exchange, sender, transport = self._exchange, self._sender, self._transport
        assert exchange is not None
        assert transport is not None
        self._exchange = self._sender = None
        if sender is not None:
            sender.stop()
        self._idle_since = now = self.service.monotonic()
        if self._reader.started_at is not None:
            self._reader.started_at = now  # the next head was not read on while its turn had not come
        exchange.end(_LEFT if transport.is_closing() else _DONE, now)
        if not self._stay:
            self._part()
        elif not self._serving:
            self._serve()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        """All that the transport held is with the kernel."""
        self.paused = False
        exchange = self._exchange
        if not self._flushing or exchange is None:
            return
        exchange.body_bytes_sent += self._inflight
        self._inflight = self._partial = 0
        self._flushing = False
        if self._sender is not None:
            self._sender.advance()
        else:
            self.finish()
