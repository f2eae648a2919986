"""What is known of the path to an upstream: how far it is, and how large a piece of it one connection brings well."""

from collections import deque
from typing import Final

from edge.words import KIB

CONNECTS: Final = 16  # of which the fastest counts as the round trip: the others had a loss or a busy moment
PIECE_FIRST: Final = 128 * KIB  # nothing is known yet; a connection's first 10 segments are 14 KiB
PIECE_LEAST: Final = 64 * KIB
PIECE_MOST: Final = 512 * KIB
GRAIN: Final = 16 * KIB
WELL: Final = 1.4  # round trips that a piece takes which fits into a congestion window ...
BADLY: Final = 2.2  # ... and one that does not
STEP: Final = 1.06  # per piece; a run has dozens of them


class PathStatistics:
    """Of one upstream; times in seconds."""

    def __init__(self, far: float) -> None:
        self._far = far
        self._connects: deque[float] = deque(maxlen=CONNECTS)
        self._piece = float(PIECE_FIRST)
        self._took = 0.0

    def __repr__(self) -> str:
        return f"<PathStatistics rtt={self.rtt} piece={self.piece}>"

    @property
    def rtt(self) -> float | None:
        """The round trip, as the fastest of the last TCP handshakes has shown it; None before the first."""
        return min(self._connects) if self._connects else None

    @property
    def far(self) -> bool:
        """Is one connection's congestion window, rather than the path, what bounds a transfer?"""
        return bool(self._connects) and min(self._connects) >= self._far

    @property
    def piece(self) -> int:
        """How many bytes to ask one connection for: what it brings in little more than a round trip."""
        return int(self._piece) // GRAIN * GRAIN

    @property
    def patience(self) -> float:
        """How long a piece may bring nothing before it lags."""
        return max(2.5 * (self.rtt or 0.0), 1.5 * self._took)

    def connected(self, seconds: float) -> None:
        """A TCP handshake took so long."""
        self._connects.append(seconds)

    def brought(self, size: int, seconds: float) -> None:
        """A piece of `size` bytes was complete so long after it had been asked for."""
        rtt = self.rtt
        if rtt is None or size < PIECE_LEAST:
            return
        self._took += 0.1 * (seconds - self._took)
        if seconds > BADLY * rtt:
            self._piece = max(float(PIECE_LEAST), self._piece / STEP)
        elif seconds < WELL * rtt and size >= self._piece / 2:
            self._piece = min(float(PIECE_MOST), self._piece * STEP)
