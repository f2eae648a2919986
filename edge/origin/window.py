"""How much one connection brings in a round trip: its sender's congestion window, as it is seen from this end.

A sender puts a window's bytes on the path at once and goes on when they are acknowledged, a round trip later. So what
comes without a pause is about a window. Senders that pace (BBR) leave no pauses: there what comes within most of a
round trip counts.
"""

from typing import Final

from edge.words import KIB

FRESH: Final = 14 * KIB  # ten packets (RFC 6928): what a new connection begins with
WIDEST: Final = 256 * KIB  # no piece is longer, so no more is seen
PAUSE: Final = 0.33  # of a round trip without a byte: what follows was sent when the former was acknowledged
STREAM: Final = 0.75  # of a round trip of bytes without a pause
DOUBLED: Final = 2.3  # times the burst before it: no window grows faster, so a lost packet had held that back
GROWTH: Final = 1.33  # it brought at once all that was asked: perhaps it brings more
SHRINK: Final = 0.7  # what CUBIC leaves of a window after a loss (RFC 9438 section 4.6)


class Window:
    """Of one connection, learnt from the answers that it brings; bytes. Times are monotonic, seconds."""

    __slots__ = ("_began", "_burst", "_bursts", "_former", "_last", "_most", "size")

    def __init__(self) -> None:
        self.size = FRESH
        self.begin()

    def __repr__(self) -> str:
        return f"<Window {self.size}>"

    def begin(self) -> None:
        """Another answer is asked for."""
        self._bursts = self._burst = self._former = self._most = 0
        self._began = self._last = 0.0

    def came(self, count: int, now: float, round_trip: float) -> None:
        """So many bytes of it have come."""
        pause = now - self._last > PAUSE * round_trip
        if not self._bursts or pause or now - self._began > STREAM * round_trip:
            self._end_burst()
            self._bursts += 1
            self._began = now
        self._last = now
        self._burst += count

    def _end_burst(self) -> None:
        if self._bursts == 1 or self._burst <= DOUBLED * self._former:
            self._most = max(self._most, self._burst)
        self._former, self._burst = self._burst, 0

    def end(self) -> None:
        """The answer is complete."""
        self._end_burst()
        if self._bursts == 1:
            self.size = min(max(self.size, int(self._most * GROWTH)), WIDEST)
        elif self._bursts:
            self.size = min(max(self._most, int(self.size * SHRINK), FRESH), WIDEST)
        self.begin()
