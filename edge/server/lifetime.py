"""How a connection comes, waits, and goes; the serving itself is in `connection`.

    open      until the last answer was given, a deadline is over, or the client leaves
    ending    our side is shut, what still comes is dropped, until the client has closed too or the time for
              it is over: closing at once would reset the connection, and the client could lose an answer that
              it had not read (RFC 9112 section 9.6)
    lost      the transport is gone

An answer under way that cannot be completed ends in a reset (RST), never in a clean close: a body that is
delimited by the connection's end would pass for whole.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import sys
import termios
from typing import Final

from aiofastnet import Transport

from edge.errors import BadRequest
from edge.server.exchange import Exchange, Outcome
from edge.server.gauge import DrainGauge
from edge.server.observer import Event
from edge.server.reader import RequestReader
from edge.server.sending import OF_THE_DISK, Sender
from edge.server.service import Service

log = logging.getLogger("edge.server")

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # close() sends RST, whatever waits
_EVENTS: Final = {
    Outcome.CLIENT_LEFT: Event.CLIENT_LEFT,
    Outcome.BROKEN: Event.BODY_BROKEN,
    Outcome.SLOW: Event.SLOW_READER,
    Outcome.CUT: Event.DRAIN_CUT,
}


class Lifetime(asyncio.BufferedProtocol):
    """The part of a connection that knows its transport, its ends and its deadlines."""

    __slots__ = (
        "_ending_until", "_eof", "_exchange", "_flushing", "_gauge", "_idle_since", "_inflight", "_partial",
        "_reader", "_reading_paused", "_secure", "_sender", "_transport", "_user_space_tls", "paused",
        "service", "sock", "written",
    )  # fmt: skip

    def __init__(self, service: Service, sock: socket.socket, peer: str, secure: bool) -> None:
        self.service = service
        self.sock = None if secure else sock  # owned by the transport; to send what needs flags of its own
        self.written = 0  # bytes given to the transport, ever
        self._secure = secure
        self._user_space_tls = secure
        self._reader = RequestReader(service.settings, service.hosts, peer, secure)
        self._transport: Transport | None = None
        self._exchange: Exchange | None = None
        self._sender: Sender | None = None
        self._gauge: DrainGauge | None = None
        self._idle_since = 0.0
        self._ending_until = 0.0  # not 0: ending
        self._inflight = 0  # body bytes with the transport
        self._partial = 0  # how many of them were seen to have gone
        self.paused = False  # something waits in the transport
        self._flushing = False  # ... and the answer goes on when it has gone
        self._eof = self._reading_paused = False

    def __repr__(self) -> str:
        state = "lost" if self._transport is None else "ending" if self._ending_until else "open"
        return f"<{type(self).__name__} {state} exchange={self._exchange!r} reader={self._reader!r}>"

    @property
    def idle(self) -> bool:
        """Is no answer under way or due?"""
        return self._exchange is None and not self._reader.waiting

    @property
    def lost(self) -> bool:
        """Has its client gone?"""
        return self._transport is None or self._eof

    @property
    def busy(self) -> bool:
        """Would closing it now lose an answer, a request half heard, or bytes not yet with the kernel?"""
        transport = self._transport
        if transport is None:
            return False
        if self._ending_until:
            return self._unsent(transport) > 0
        return not self.idle or self._reader.started_at is not None

    @property
    def certified(self) -> frozenset[str] | None:
        """The names of the client's certificate, which a CA of this listener has signed; None if it showed none."""
        transport = self._transport
        shown = transport.get_extra_info("peercert") if transport is not None and self._secure else None
        if not shown:
            return None
        return frozenset(name for kind, name in shown.get("subjectAltName", ()) if kind in ("DNS", "URI"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        if self._secure and getattr(transport, "_sendfile_compatible", False):
            self._user_space_tls = False  # the kernel encrypts: files can go as they do without TLS
        self._idle_since = self.service.monotonic()
        self.service.open.add(self)
        if self.service.draining:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._exchange is not None and self._exchange.head_sent_at:
            self._reset_on_close()
        unreadable = isinstance(exc, OSError) and exc.errno in OF_THE_DISK
        if unreadable:
            log.info("connection reset, the body cannot be completed: %s", exc)
        self._lose(Outcome.BROKEN if unreadable else Outcome.CLIENT_LEFT)
        self._transport = None
        self.service.lost(self)

    # -- ends ------------------------------------------------------------------------------------

    def abort(self, outcome: Outcome) -> None:
        """Reset the connection now; its exchange, if any, ends with `outcome`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._lose(outcome)
            return
        if self._flushing:
            self._partial = max(0, self._inflight - self._unsent(transport))
        self._ending_until = self.service.monotonic()  # nothing more is served, whatever has come already
        self._lose(outcome)
        self._reset_on_close()
        transport.abort()

    def cut(self) -> None:
        """The server stops and waits no longer."""
        self.abort(Outcome.CUT)

    def drop(self) -> None:
        """Nothing is under way: close without waiting for the client."""
        if self._transport is not None:
            self._transport.abort()

    def leave_when_idle(self) -> None:
        """The server is stopping: go now if nothing is under way, else with the last answer."""
        if self.idle and self._reader.started_at is None and not self._ending_until:
            self._close()

    def _lose(self, outcome: Outcome) -> None:
        """Whatever is under way or waits will not be answered."""
        self._reader.waiting.clear()
        exchange, sender = self._exchange, self._sender
        self._exchange = self._sender = None
        self._flushing = False
        if sender is not None:
            sender.stop()
        if exchange is not None:
            self.service.observer.count(_EVENTS[outcome])
            exchange.body_bytes_sent += self._partial
            self._inflight = self._partial = 0
            exchange.end(outcome, self.service.monotonic())

    def _part(self) -> None:
        """The last answer has gone: shut our side and drop what still comes, for a while."""
        transport = self._transport
        if transport is None:
            return
        self._reader.waiting.clear()
        if self._secure or self._eof:
            self._close()
            return
        self._ending_until = self.service.monotonic() + self.service.settings.linger_timeout
        try:
            transport.write_eof()
        except OSError:
            transport.abort()  # the client has reset the connection meanwhile
        self._read_again()

    def _close(self) -> None:
        """Close when all has been written; TLS says goodbye and waits for the client's."""
        if self._transport is not None:
            self._ending_until = self.service.monotonic() + self.service.settings.drain_grace
            self._transport.close()

    def _read_again(self) -> None:
        if self._reading_paused and not self._eof and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def _refuse(self, refusal: BadRequest) -> None:
        """Say what is wrong in the server's own words, and part."""
        if self._transport is not None and not self._ending_until:
            head, _, body = self.service.error_response(refusal.status, refusal.detail).partition(b"\r\n\r\n")
            self._transport.write(b"".join((head, b"\r\nConnection: close\r\n\r\n", body)))
            self._part()

    def _reset_on_close(self) -> None:
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        except OSError:
            pass  # it is closed already

    # -- deadlines -------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Called about once a second: is any of this connection's deadlines over?"""
        transport, settings, started = self._transport, self.service.settings, self._reader.started_at
        if transport is None:
            return
        if self._ending_until:
            if now >= self._ending_until:
                transport.abort()
        elif self._exchange is not None:
            self._sweep_answer(transport, now)
        elif started is not None:
            if now - started >= settings.head_timeout:
                self.service.observer.count(Event.HEAD_TIMEOUT)
                self._refuse(BadRequest("the request head did not come in time", 408))
        elif now - self._idle_since >= settings.idle_timeout:
            self.service.observer.count(Event.IDLE_TIMEOUT)
            self._close()

    def _sweep_answer(self, transport: Transport, now: float) -> None:
        body, exchange = self._reader.body, self._exchange
        answered = exchange is not None and exchange.head_sent_at  # then a 408 would be taken for a part of the answer
        if body is not None and body.started and not body.full and not answered:
            if now - body.last_at >= self.service.settings.body_timeout:
                self._lose(Outcome.SLOW)
                self._refuse(BadRequest("the request's body did not come in time", 408))
            return
        if not self.paused:
            self._gauge = None
            return
        unsent = self._unsent(transport)
        if self._flushing:
            self._partial = max(0, self._inflight - unsent)
        position = self.written - unsent - _unacknowledged(transport)
        settings = self.service.settings
        if self._gauge is None:
            self._gauge = DrainGauge(position, now)
        elif self._gauge.too_slow(position, now, settings.min_drain_rate, settings.drain_grace):
            self.abort(Outcome.SLOW)

    def _unsent(self, transport: Transport) -> int:
        """Bytes that wait in this process; in user-space TLS also the encrypted ones."""
        if self._user_space_tls:
            return int(transport.get_local_write_buffer_size())  # type: ignore[attr-defined]
        return int(transport.get_write_buffer_size())


def _unacknowledged(transport: Transport) -> int:
    """Bytes in the kernel's send queue (tcp(7), SIOCOUTQ)."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)
