"""Accepts connections from a listening socket that all workers share, a few at a time and within limits.

Our own loop: it leaves some of a burst to the other workers, stops at a number of connections, and keeps a
descriptor in reserve, so that running out of them turns clients away instead of spinning on a socket that
stays readable.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

import aiofastnet

from edge.clock import Clock
from edge.observe.privacy import network_of
from edge.server.connection import Connection
from edge.server.exchange import Handler
from edge.server.handshake import QuietHandshakes, asked_name
from edge.server.observer import Event, Observer, Unobserved
from edge.server.proxy import client_of, trusted
from edge.server.service import ErrorResponse, Service, plain_error
from edge.server.settings import ServerSettings
from edge.server.tls import Certificates
from edge.sockets import AS_IT_IS, SocketOptions
from edge.tasks import Tasks
from edge.words import KIB

log = logging.getLogger("edge.server")

_AT_ONCE: Final = 8  # accepted in one turn of the loop
_SWEEP: Final = 1.0  # seconds between looks at the deadlines of all connections
_LOOK: Final = 0.02  # seconds between looks at what a drain still waits for
_GOODBYE: Final = 0.5  # seconds that a stop waits for clients to close connections whose answers have gone
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BIO_IN: Final = 16 * KIB + 64  # one TLS record: requests are small
_BIO_OUT: Final = 8 * (16 * KIB + 64)  # encrypted bytes for one send(): 16 records save 2 % CPU, 4 cost 4 %


class Listener:
    """One listening socket, which it owns from now on, and the connections that came through it."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        settings: ServerSettings,
        *,
        ssl_context: Certificates | ssl.SSLContext | None = None,
        clock: Clock,
        observer: Observer | None = None,
        error_response: ErrorResponse = plain_error,
        executor: Executor | None = None,
        options: SocketOptions = AS_IT_IS,
    ) -> None:
        """`error_response(status, detail)` answers what is not HTTP: a head, its empty line, and a body.

        `options`: those that the socket was given.
        """
        self._sock = sock
        self._options = options
        self._certificates = Certificates(ssl_context, {}) if isinstance(ssl_context, ssl.SSLContext) else ssl_context
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._service = Service(
            self._loop,
            handler,
            settings,
            clock,
            observer or Unobserved(),
            error_response,
            executor,
            self._lost,
        )
        self._tasks = Tasks("server")
        self._greeting = 0  # accepted, and no connection yet: TLS shakes hands
        self._reserve: int | None = None
        self._accepting = False
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet: QuietHandshakes | None = None

    def __repr__(self) -> str:
        return f"<Listener connections={self.connections} active={self.active} accepting={self._accepting}>"

    @property
    def connections(self) -> int:
        """How many are open, or opening."""
        return len(self._service.open) + self._greeting

    @property
    def active(self) -> int:
        """How many have an answer under way."""
        return sum(not connection.idle for connection in self._service.open)

    @property
    def idle(self) -> int:
        return self.connections - self.active

    # -- start and stop --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept."""
        self._sock.setblocking(False)
        if self._sock.family != socket.AF_UNIX:
            # Accepted sockets inherit it (Linux). A head and its body may leave apart: no ACK between them.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reserve = _open_reserve()
        if self._certificates is not None:
            self._quiet = QuietHandshakes(self._loop)
        self._timer = self._loop.call_later(_SWEEP, self._tick)
        self._resume()

    def stop(self) -> None:
        """Accept no more; connections go on. The backlog is left to those who share the socket."""
        if not self._stopped:
            self._pause()
            self._stopped = True
            self._sock.close()

    def retire(self) -> None:
        """Accept no more, and let each connection end with its next answer, which says so (`Connection: close`).

        Nothing is closed that a request may be on its way to: who takes over has the same listening socket.
        """
        self.stop()
        self._service.parting = True

    async def drain(self, timeout: float) -> int:
        """Stop, let running answers finish, then close what is left; the number of answers cut short.

        Idle connections are closed at once; an answer under way has up to `timeout` seconds.
        """
        self.stop()
        self._service.draining = self._service.parting = True
        for connection in list(self._service.open):
            connection.leave_when_idle()
        await self._until(timeout, lambda: any(connection.busy for connection in self._service.open))
        cut = [connection for connection in self._service.open if connection.busy]
        for connection in cut:
            connection.cut()
        await self._tasks.close()
        await self._until(_GOODBYE, lambda: bool(self._service.open))
        for connection in list(self._service.open):
            connection.drop()
        await asyncio.sleep(0)  # transports that were aborted say connection_lost in the next turn
        self._close_own()
        return len(cut)

    async def _until(self, timeout: float, waiting: Callable[[], bool]) -> None:
        deadline = self._loop.time() + timeout
        while waiting() and self._loop.time() < deadline:  # noqa: ASYNC110 - many things end a wait here
            await asyncio.sleep(_LOOK)

    def _close_own(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        if self._quiet is not None:
            self._quiet.remove()

    # -- accepting -------------------------------------------------------------------------------

    def _resume(self) -> None:
        if not self._accepting and not self._stopped:
            self._accepting = True
            self._loop.add_reader(self._sock.fileno(), self._acceptable)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._sock.fileno())

    def _acceptable(self) -> None:
        for _ in range(_AT_ONCE):
            if self.connections >= self._settings.max_connections:
                self._service.observer.count(Event.ACCEPT_PAUSED)
                self._pause()  # until one of ours has gone; other workers may have room
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._turn_away()
                    return
                continue  # accept(2): errors of the connection itself, which is gone already
            self._service.observer.count(Event.ACCEPTED)
            self._greeting += 1
            peer = address[0].removeprefix("::ffff:") if isinstance(address, tuple) else ""
            self._tasks.spawn(self._greet(sock, peer), "greet")

    def _turn_away(self) -> None:
        """No descriptors left: the reserve's place serves to accept one client and close it again."""
        self._service.observer.count(Event.NO_DESCRIPTORS)
        if self._reserve is not None:
            os.close(self._reserve)
            try:
                self._sock.accept()[0].close()
            except OSError:
                pass
        self._reserve = _open_reserve()
        if self._reserve is None:
            self._pause()  # the next sweep tries again

    async def _greet(self, sock: socket.socket, peer: str) -> None:
        certificates, proxies = self._certificates, self._settings.proxies
        if proxies and trusted(peer, proxies):
            told = await self._told_by_proxy(sock, peer)
            if told is None:
                self._greeting -= 1
                return
            peer = told

        def connect() -> Connection:
            return Connection(self._service, sock, peer, certificates is not None)

        try:
            self._options.insist(sock)
            if certificates is None:
                await aiofastnet.connect_accepted_socket(self._loop, connect, sock)
            else:
                await self._shake_hands(certificates, sock, connect)
        except OSError as error:  # so are ssl.SSLError and TimeoutError
            sock.close()
            if certificates is not None:
                self._service.observer.count(Event.HANDSHAKE_FAILED)
                log.debug("no TLS with %s: %s", network_of(peer), error)
        finally:
            self._greeting -= 1

    async def _told_by_proxy(self, sock: socket.socket, peer: str) -> str | None:
        """Whose connection a proxy hands on; None: it does not say, and the connection is closed."""
        try:
            return await client_of(self._loop, sock, peer, self._settings.head_timeout)
        except OSError as error:  # so are NoProxyHeader and TimeoutError
            sock.close()
            self._service.observer.count(Event.NO_PROXY_HEADER)
            log.debug("nothing from the proxy %s: %s", peer, error)
            return None
        except asyncio.CancelledError:
            sock.close()
            self._greeting -= 1
            raise

    async def _shake_hands(
        self, certificates: Certificates, sock: socket.socket, connect: Callable[[], Connection]
    ) -> None:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.handshake_timeout):
                context = certificates.only or certificates.choose(await asked_name(self._loop, sock))
                await aiofastnet.connect_accepted_socket(
                    self._loop,
                    connect,
                    sock,
                    ssl=context,
                    ssl_handshake_timeout=settings.handshake_timeout + 1,  # ours comes first
                    ssl_shutdown_timeout=settings.drain_grace,
                    ssl_incoming_bio_size=_BIO_IN,
                    ssl_outgoing_bio_size=_BIO_OUT,
                )
        except asyncio.CancelledError:
            sock.close()
            raise

    # -- connections -----------------------------------------------------------------------------

    def _lost(self) -> None:
        self._service.observer.count(Event.CLOSED)
        if not self._accepting and self._reserve is not None:
            self._resume()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_SWEEP, self._tick)
        if self._reserve is None:
            self._reserve = _open_reserve()
        if self._reserve is not None and self.connections < self._settings.max_connections:
            self._resume()
        self.sweep()

    def sweep(self) -> None:
        """Look at all deadlines; called once a second."""
        now = self._service.monotonic()
        for connection in list(self._service.open):
            connection.sweep(now)


def _open_reserve() -> int | None:
    try:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
