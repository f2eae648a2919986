"""A piece: one ranged request of a body that comes over several connections, and what it has brought so far."""

import asyncio
from collections import deque

from edge.errors import OriginError


class AskedPiece:
    """[start, end) of the object: what has come of it and was not given out yet. Times are monotonic, seconds."""

    __slots__ = (
        "changed",
        "chunks",
        "done",
        "end",
        "error",
        "looked_at",
        "moved_at",
        "received",
        "rival",
        "size",
        "start",
        "task",
    )

    def __init__(self, start: int, end: int, now: float) -> None:
        self.start = start
        self.end = end
        self.size = end - start
        self.received = 0
        self.chunks: deque[bytes] = deque()
        self.done = False
        self.error: OriginError | None = None
        self.changed = asyncio.Event()
        self.looked_at = self.moved_at = now
        self.task: asyncio.Task[None] | None = None
        self.rival: AskedPiece | None = None

    def __repr__(self) -> str:
        return f"<AskedPiece {self.start}-{self.end} +{self.received} done={self.done}>"

    @property
    def position(self) -> int:
        return self.start + self.received

    def add(self, chunk: bytes, now: float) -> None:
        self.chunks.append(chunk)
        self.received += len(chunk)
        self.moved_at = now
        self.changed.set()

    def finish(self, error: OriginError | None = None) -> None:
        self.error = error
        self.done = error is None
        self.changed.set()
