"""Accepts connections from an inherited listening socket, a few at a time, within limits (DESIGN D1)."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

import aiofastnet

from edge.clock import Clock
from edge.server.connection import Connection, Handler
from edge.server.settings import ServerSettings
from edge.tasks import Tasks

ACCEPTS_AT_ONCE: Final = 8
SWEEP_SECONDS: Final = 1.0
FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """One listening socket of a worker."""

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        settings: ServerSettings,
        clock: Clock,
        refusal: Callable[[int, str], tuple[bytes, bytes]],
        *,
        tls: ssl.SSLContext | None = None,
        on_swept: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.handler = handler
        self.draining = False
        self.refusal = refusal
        self.connections: set[Connection] = set()
        self._sock = sock
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks("server")
        self._on_swept = on_swept
        self._spare: int | None = None
        self._accepting = False

    def __repr__(self) -> str:
        return f"<Listener {self._sock.getsockname()} connections={len(self.connections)} draining={self.draining}>"

    def start(self) -> None:
        """Begin to accept."""
        self._sock.setblocking(False)
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._loop.add_reader(self._sock.fileno(), self._acceptable)
        self._accepting = True
        self._tasks.spawn(self._sweep(), "sweep")

    def stop_accepting(self) -> None:
        """Leave new connections to others (the socket itself belongs to the supervisor)."""
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._sock.fileno())

    async def drain(self, timeout: float) -> bool:
        """Accept no more, let running answers finish; True if all did within `timeout` seconds."""
        self.stop_accepting()
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        deadline = self.clock.monotonic() + timeout
        while self.connections and self.clock.monotonic() < deadline:
            await asyncio.sleep(0.02)
        drained = not self.connections
        for connection in list(self.connections):
            connection.abort()
        await self._tasks.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        return drained

    # -- accepting -------------------------------------------------------------------------------

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in FULL:
                    self._turn_one_away()
                return
            if len(self.connections) >= self.settings.max_connections:
                sock.close()
                continue
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        def factory() -> Connection:
            return Connection(self, secure=self._tls is not None)

        self._tasks.spawn(self._connect(sock, factory), "accept")

    async def _connect(self, sock: socket.socket, factory: Callable[[], Connection]) -> None:
        more = {"ssl": self._tls, "ssl_handshake_timeout": self.settings.tls_handshake} if self._tls else {}
        try:
            await aiofastnet.connect_accepted_socket(self._loop, factory, sock, **more)  # type: ignore[arg-type]
        except (OSError, TimeoutError):
            sock.close()  # a handshake that failed, or a client that has left already

    def _turn_one_away(self) -> None:
        """Out of descriptors: the reserve serves to accept one client and close it, so that the loop does not spin."""
        if self._spare is None:
            return
        os.close(self._spare)
        try:
            sock, _ = self._sock.accept()
            sock.close()
        except OSError:
            pass
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    # -- connections -----------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)

    @property
    def active(self) -> int:
        """Connections with a request under way."""
        return sum(connection.active for connection in self.connections)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.clock.monotonic()
            for connection in list(self.connections):
                reason = connection.sweep(now)
                if reason is not None and self._on_swept is not None:
                    self._on_swept(reason)
