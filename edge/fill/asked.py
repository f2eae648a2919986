"""A piece: one ranged request of a body that comes over several connections, and what it has brought so far.

When is it worth asking for again? What is asked for now comes after a round trip, so not when it comes by itself
before that. In round trips: its bytes come in bursts, one apart; a lost packet that others follow comes one or a little
more after them (RFC 8985), the last one of all two after it was sent (a tail loss probe); a request that was lost, two
later. So:
  nothing has come   when it waits longer than others did
  a packet or three  as soon as the only burst that it should have come in is over
  more               when even a probe should have come (a little more: when what others follow should have), or it
                     needs several bursts more than it was to
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Final

from edge.errors import OriginError
from edge.origin.connection import OriginConnection
from edge.words import KIB

PAUSE: Final = 0.3  # round trips without a byte: a burst is over
FEW: Final = 3 * 1448  # bytes: fewer packets than it takes to see that one before them was lost
MENDED: Final = 1.5  # round trips after a burst, by which a lost packet within it has come
PROBED: Final = 2.3  # round trips after the last byte, by which a tail loss probe has been answered
LITTLE: Final = 16 * KIB  # costs little, and most of what has not come by then waits for a time-out ...
UNMENDED: Final = 1.4  # ... so many round trips after the last byte


class AskedPiece:
    """[start, end) of the object: what has come of it and was not given out yet. Times are monotonic, seconds."""

    __slots__ = (
        "asked_at",
        "burst",
        "changed",
        "chunks",
        "connection",
        "done",
        "end",
        "error",
        "first_at",
        "former",
        "moved_at",
        "on_came",
        "received",
        "rivals",
        "round_trip",
        "size",
        "start",
        "task",
        "weight",
        "window",
    )

    def __init__(
        self,
        start: int,
        end: int,
        now: float,
        *,
        window: int,
        round_trip: float,
        connection: OriginConnection | None = None,
    ) -> None:
        """`window`: what its connection is thought to bring in a round trip."""
        self.start = start
        self.end = end
        self.size = end - start
        self.received = 0
        self.chunks: deque[bytes] = deque()
        self.done = False
        self.error: OriginError | None = None
        self.changed = asyncio.Event()
        self.window = window
        self.round_trip = round_trip
        self.asked_at = self.first_at = self.moved_at = now
        self.burst = self.former = 0  # bytes that came without a pause, now and before the last pause
        self.connection = connection  # taken for it, until the request has gone
        self.task: asyncio.Task[None] | None = None
        self.rivals: tuple[AskedPiece, ...] = ()
        self.weight = 0  # bytes that it has under way now ...
        self.on_came: Callable[[AskedPiece], None] | None = None  # ... for as long as it counts among all that are

    def __repr__(self) -> str:
        return f"<AskedPiece {self.start}-{self.end} +{self.received} done={self.done}>"

    @property
    def position(self) -> int:
        return self.start + self.received

    @property
    def over(self) -> bool:
        """Will nothing more come of it?"""
        return self.done or self.error is not None

    def lags(self, now: float, patience: float) -> bool:
        """Is it worth asking for again? `patience`: how long a first byte may take, in seconds."""
        if self.over or self.position >= self.end:
            return False
        if not self.received:
            return now > self.asked_at + patience
        left, silent, trip = self.end - self.position, now - self.moved_at, self.round_trip
        if silent > (UNMENDED if left <= LITTLE else PROBED) * trip:
            return True
        if self.size <= self.window and left <= FEW:
            return silent > PAUSE * trip
        over_at = self.first_at + (ceil(self.size / self.window) - 1) * trip
        return now > over_at + MENDED * trip and left > max(self.burst, self.former)

    def add(self, chunk: bytes, now: float) -> None:
        if not self.received:
            self.first_at = now
        elif now - self.moved_at > PAUSE * self.round_trip:
            self.former, self.burst = self.burst, 0
        self.chunks.append(chunk)
        self.received += len(chunk)
        self.burst += len(chunk)
        self.moved_at = now
        if self.on_came is not None:
            self.on_came(self)
        self.changed.set()

    def finish(self, error: OriginError | None = None) -> None:
        self.error = error
        self.done = error is None
        self.changed.set()
