"""The body of a request as it comes in: framed, bounded, handed on at the pace of who takes it.

Only a handler that starts it gets it; one that answers without it has its connection closed after the answer,
since the next request begins where this body ends.
"""

from collections.abc import Callable
from typing import Final

from edge.errors import BadRequest
from edge.http.chunked import ChunkedReader
from edge.words import KIB

HELD_MOST: Final = 256 * KIB  # taken by nobody yet; then the client waits


class IncomingBody:
    """`length` None: chunked. `complete`: all of it has come. `too_large`: more than `most` bytes were sent."""

    __slots__ = (
        "_chunks", "_left", "_most", "_on_more", "_reader", "_resume", "_seen", "complete", "expects_continue",
        "held", "last_at", "length", "started", "too_large",
    )  # fmt: skip

    def __init__(self, length: int | None, most: int, *, expects_continue: bool, now: float) -> None:
        self.length = length
        self.expects_continue = expects_continue
        self.complete = length == 0
        self.too_large = False
        self.started = False
        self.held = 0
        self.last_at = now  # monotonic: when something came, or was taken
        self._left = length
        self._most = most
        self._seen = 0
        self._reader = ChunkedReader() if length is None else None
        self._chunks: list[bytes] = []
        self._on_more: Callable[[], None] | None = None
        self._resume: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<IncomingBody {self._seen} of {self.length} held={self.held} complete={self.complete}>"

    # -- the connection's side -------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Is so much held that the client has to wait?"""
        return self.held >= HELD_MOST

    def feed(self, data: bytes, now: float) -> int:
        """Take what belongs to this body; how many bytes that was. BadRequest: its framing is broken."""
        self.last_at = now
        if self._reader is not None:
            content, used = self._reader.feed(data)
            self.complete = self._reader.done
        else:
            assert self._left is not None
            content = data[: self._left]
            used = len(content)
            self._left -= used
            self.complete = self._left == 0
        self._seen += len(content)
        if self._seen > self._most:
            self.too_large, self.complete = True, False  # what it is short of is never taken for its end
            raise BadRequest("the request's body is too large", 413)
        if content:
            self._chunks.append(content)
            self.held += len(content)
        return used

    def wire(self, resume: Callable[[], None]) -> None:
        """`resume` is called when there is room again, and when the handler begins to take."""
        self._resume = resume

    def tell(self) -> None:
        """More has come: say so to who takes it."""
        if self._on_more is not None:
            self._on_more()

    # -- the handler's side ----------------------------------------------------------------------

    def start(self, on_more: Callable[[], None]) -> None:
        """Begin to take it; `on_more` is called when more has come, or when no more will."""
        self.started = True
        self._on_more = on_more
        if self._resume is not None:
            self._resume()
        on_more()

    @property
    def empty(self) -> bool:
        """Is nothing held?"""
        return not self.held

    def take(self, most: int) -> bytes:
        """The next bytes, at most so many; b"" when none are there."""
        if not self._chunks:
            return b""
        was_full = self.full
        chunk = self._chunks[0]
        if len(chunk) > most:
            chunk, self._chunks[0] = chunk[:most], chunk[most:]
        else:
            del self._chunks[0]
        self.held -= len(chunk)
        if was_full and not self.full and self._resume is not None:
            self._resume()
        return chunk
