"""A piece: one ranged request of a body that comes over several connections, and what it has brought so far."""

import asyncio
from collections import deque

from edge.errors import OriginError
from edge.origin.connection import OriginConnection


class AskedPiece:
    """[start, end) of the object: what has come of it and was not given out yet. Times are monotonic, seconds."""

    __slots__ = (
        "changed",
        "chunks",
        "connection",
        "counted",
        "done",
        "due",
        "end",
        "error",
        "moved_at",
        "received",
        "rival",
        "size",
        "start",
        "task",
        "weight",
    )

    def __init__(
        self, start: int, end: int, now: float, due: float, connection: OriginConnection | None = None
    ) -> None:
        self.start = start
        self.end = end
        self.size = end - start
        self.received = 0
        self.chunks: deque[bytes] = deque()
        self.done = False
        self.error: OriginError | None = None
        self.changed = asyncio.Event()
        self.moved_at = now
        self.due = due  # when it should have come
        self.connection = connection  # taken for it, until the request has gone
        self.task: asyncio.Task[None] | None = None
        self.rival: AskedPiece | None = None
        self.weight = 0  # bytes that it has under way at a time ...
        self.counted = False  # ... among all that are

    def __repr__(self) -> str:
        return f"<AskedPiece {self.start}-{self.end} +{self.received} done={self.done}>"

    @property
    def position(self) -> int:
        return self.start + self.received

    @property
    def over(self) -> bool:
        """Will nothing more come of it?"""
        return self.done or self.error is not None

    def late(self, now: float, patience: float) -> bool:
        """Has it brought nothing for too long, or is it overdue?"""
        return not self.done and (now > self.moved_at + patience or now > self.due)

    def add(self, chunk: bytes, now: float) -> None:
        self.chunks.append(chunk)
        self.received += len(chunk)
        self.moved_at = now
        self.changed.set()

    def finish(self, error: OriginError | None = None) -> None:
        self.error = error
        self.done = error is None
        self.changed.set()
