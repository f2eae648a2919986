"""One request and its answer: what a handler is given, and what it gives back."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from edge.errors import EdgeError
from edge.server.request import Request
from edge.words import Pending

log = logging.getLogger("edge.server")


class BodyBroken(EdgeError):
    """A body cannot be completed as promised; the connection is reset, so that nobody takes it for whole."""


class Outcome(StrEnum):
    """How an exchange ended; a metric label and a field of the access log."""

    DONE = "done"  # the last byte was handed to the kernel
    CLIENT_LEFT = "client_left"
    BROKEN = "broken"  # we reset the connection: the body could not be completed
    SLOW = "slow"  # we reset the connection: the client did not take what it was sent
    CUT = "cut"  # we reset the connection: the server is stopping


class WindowFile(Protocol):
    """An open file that outlives every window of it; closed by nobody but its last reference."""

    def fileno(self) -> int: ...

    def view(self, offset: int, count: int) -> memoryview | None:
        """The bytes without a copy, only if touching them never waits for a disk; None: they must be read."""

    def is_there(self, offset: int, count: int) -> bool:
        """Could these bytes be sent now without waiting for a disk?"""


@dataclass(slots=True)
class FileWindow:
    """A stretch of a file to be sent: `count` bytes, all of them within the file."""

    file: WindowFile
    offset: int
    count: int


class BodySource(Protocol):
    """A body, window by window."""

    def next_window(self, limit: int) -> FileWindow | bytes | memoryview | Pending | None:
        """At most `limit` bytes and at least one; PENDING: `exchange.resume()` will be called; None: the end.

        Raises BodyBroken to have the connection reset.
        """

    def take_back(self, count: int) -> None:
        """The disk does not give the last `count` bytes of the last window: they are to come from elsewhere, next."""

    def close(self) -> None:
        """No further window will be asked for. Called once, whatever the end."""


Body = bytes | FileWindow | BodySource | None


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    def respond(self, exchange: "Exchange", head: bytes, body: "Body", length: int | None) -> None: ...

    def resume_body(self) -> None: ...

    def abort(self, outcome: Outcome) -> None: ...


class Exchange:
    """Given to the handler with its request; answered once, at any time.

    `on_closed` is called once, at the end. `on_gone` is called when the end comes before `respond()` was
    called: who waits on behalf of this client may stop. `on_unreadable` brings what the disk does not give of a
    `FileWindow` that was a whole body. `context` belongs to the handler. Times are monotonic seconds.
    """

    __slots__ = (
        "_carrier",
        "body_bytes_sent",
        "closed_at",
        "context",
        "head_sent_at",
        "on_closed",
        "on_gone",
        "on_unreadable",
        "outcome",
        "request",
    )

    def __init__(self, request: Request, carrier: Carrier) -> None:
        self.request = request
        self._carrier: Carrier | None = carrier
        self.on_closed: Callable[[Exchange], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.on_unreadable: Callable[[Exchange, FileWindow], BodySource] | None = None
        self.context: Any = None
        self.outcome: Outcome | None = None  # None until the end
        self.body_bytes_sent = 0
        self.head_sent_at = 0.0  # 0: no head was sent
        self.closed_at = 0.0

    def __repr__(self) -> str:
        return f"<Exchange {self.request!r} sent={self.body_bytes_sent} outcome={self.outcome}>"

    @property
    def open(self) -> bool:
        """Has it not ended yet?"""
        return self._carrier is not None

    def respond(self, head: bytes, body: Body, *, length: int | None) -> None:
        """Answer. After the end (the client has left) nothing happens, and a source is closed unread.

        A `FileWindow` is a whole body that can be sent at once.

        `head`: status line and fields, each with its CRLF, without Connection, Transfer-Encoding and the
        blank line. `length`: how many body bytes the head's Content-Length promises (to a GET); None: the
        head promises none, and the body is chunked, or delimited by the connection's end for HTTP/1.0.
        """
        if self._carrier is not None:
            self._carrier.respond(self, head, body, length)
        elif body is not None and not isinstance(body, bytes | FileWindow):
            body.close()

    def elsewhere(self, window: FileWindow) -> BodySource:
        """Who brings what the disk does not give. BodyBroken: nobody does."""
        if self.on_unreadable is None:
            raise BodyBroken(f"{window.count} bytes at {window.offset} cannot be read")
        return self.on_unreadable(self, window)

    def resume(self) -> None:
        """The source that said PENDING has more, or knows its end. Harmless at any other time."""
        if self._carrier is not None:
            self._carrier.resume_body()

    def abort(self) -> None:
        """Reset the connection: what was promised cannot be sent."""
        if self._carrier is not None:
            self._carrier.abort(Outcome.BROKEN)

    def end(self, outcome: Outcome, now: float) -> None:
        """The connection's word that it is over; tells who asked to be told."""
        if self._carrier is None:
            return
        self._carrier = None
        self.outcome = outcome
        self.closed_at = now
        gone, closed = self.on_gone, self.on_closed
        self.on_gone = self.on_closed = self.on_unreadable = None
        try:
            if gone is not None and not self.head_sent_at:
                gone()
            if closed is not None:
                closed(self)
        except Exception:
            log.exception("who was told of the end of %r failed", self)


class Handler(Protocol):
    """What answers requests. Called on the loop, must not wait."""

    def handle(self, exchange: Exchange) -> None: ...
