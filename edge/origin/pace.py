"""How soon after a piece the next one is asked for, so that what comes does not stand in line on the way.

What several bodies ask for at once comes at once: with windows of 256 KiB a quarter of a second's worth lies in the
path's queue, and the first byte that another player waits for behind it. Asked for one after another, as fast as the
path carries, it waits here instead, where the most urgent goes first. The rate is what the path has carried, times a
factor that follows its queue: it falls while first bytes come late, and grows while they do not. Late is what is later
than lately, and where asking for less does not help for long it is given up for a while: an upstream that takes its
time, now more and now less, or another's traffic, would have it slowed down for ever.
"""

import statistics
from collections import deque
from typing import Final

LATE: Final = 1.04  # times as long as it takes without a queue, at the median, from which on there is one
SLOWER: Final = 0.92  # each round trip, while there is one ...
FASTER: Final = 1.03  # ... and while there is none: a rate that is held to what it has carried would never grow
LEAST: Final = 0.6  # by then any queue of ours has gone: it is something else that takes so long ...
MOST: Final = 1.5
IN_VAIN: Final = 30  # ... and for so many round trips there is no use in it
KNOWN: Final = 30  # round trips' medians of which the least is how late first bytes come without a queue
SOON: Final = 0.004  # seconds: what is due by then is due


class Pace:
    """Of one upstream. Times are monotonic, seconds."""

    def __init__(self) -> None:
        self.factor = 1.0
        self._in_vain = 0  # round trips
        self._waits: list[float] = []
        self._medians: deque[float] = deque(maxlen=KNOWN)
        self._since = self._due = 0.0

    def __repr__(self) -> str:
        return f"<Pace {self.factor:.2f} of what is carried>"

    @property
    def helps(self) -> bool:
        """Have first bytes come sooner lately when less was asked for?"""
        return not self._in_vain

    def waited(self, wait: float, now: float, round_trip: float) -> None:
        """A piece's first byte came so long after it had been asked for."""
        if not self._waits:
            self._since = now
        self._waits.append(wait)
        if now - self._since < round_trip:
            return
        median = statistics.median(self._waits)
        late = median > LATE * max(round_trip, min(self._medians, default=round_trip))
        self._medians.append(median)
        self._waits.clear()
        if self._in_vain:
            self._in_vain -= 1
            return
        self.factor = self.factor * SLOWER if late else min(MOST, self.factor * FASTER)
        if self.factor < LEAST:
            self.factor, self._in_vain = 1.0, IN_VAIN

    def asked(self, size: int, now: float, carried: float, round_trip: float) -> None:
        """So many bytes have been asked for; `carried`: bytes a second.

        Some do not wait (each body has a piece under way). What they owe is forgiven beyond a round trip: who comes
        then is not to wait for what has been on its way for long.
        """
        self._due = min(max(self._due, now) + size / (carried * self.factor), now + round_trip)

    def left(self, now: float) -> float:
        """Seconds until more may be asked for."""
        return max(0.0, self._due - now - SOON)
