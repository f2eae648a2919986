"""What all connections of one listener share, and the register of those that are open."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from edge.clock import Clock
from edge.server.exchange import Handler
from edge.server.observer import Observer
from edge.server.reader import Hosts
from edge.server.settings import ServerSettings
from edge.words import KIB

ErrorResponse = Callable[[int, str], bytes]
_READ = 64 * KIB  # bytes taken from a socket at once
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    505: "HTTP Version Not Supported",
}


def plain_error(status: int, detail: str) -> bytes:
    """An answer of the server's own: head, blank line, body. `Connection: close` is added when it is sent."""
    body = detail.encode() + b"\n"
    return b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        _REASONS.get(status, "Error").encode(),
        len(body),
        body,
    )


class Member(Protocol):
    """An open connection, as the register sees it."""

    @property
    def idle(self) -> bool: ...

    @property
    def busy(self) -> bool: ...

    def sweep(self, now: float) -> None: ...

    def leave_when_idle(self) -> None: ...

    def cut(self) -> None: ...

    def drop(self) -> None: ...


class Service:
    """Held by every connection; the listener makes it."""

    __slots__ = (
        "_on_lost", "buffer", "draining", "error_response", "executor", "handler", "hosts", "loop",
        "monotonic", "observer", "open", "parting", "settings", "view",
    )  # fmt: skip

    def __init__(
        self,
        loop: AbstractEventLoop,
        handler: Handler,
        settings: ServerSettings,
        clock: Clock,
        observer: Observer,
        error_response: ErrorResponse,
        executor: Executor | None,
        on_lost: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.handler = handler
        self.settings = settings
        self.monotonic = clock.monotonic
        self.observer = observer
        self.error_response = error_response
        self.executor = executor
        self.hosts = Hosts()
        self.buffer = bytearray(_READ)
        self.view = memoryview(self.buffer)
        self.draining = False  # idle connections are closed, new ones too
        self.parting = False  # each connection ends with its next answer
        self.open: set[Member] = set()
        self._on_lost = on_lost

    def __repr__(self) -> str:
        return f"<Service open={len(self.open)} draining={self.draining}>"

    def lost(self, connection: Member) -> None:
        """A connection is no more."""
        self.open.discard(connection)
        self._on_lost()
