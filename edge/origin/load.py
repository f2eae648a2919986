"""How much is asked of a path at a time, so that its queue does not overflow.

Many connections together do what one does in its slow start: each has a window that fits the path alone, all of them
overflow its queue, and who loses most of a window waits for a time-out, a second and more. So what is under way is
held to twice what the path has carried in a round trip, for some time after first bytes have come late:
then there was a queue. Without one there is no bound but the windows. Several bodies are asked for at its pace then.
"""

from typing import Final

from edge.origin.pace import Pace

HEADROOM: Final = 2.0  # times what it carries: a part of what was asked waits for packets that were lost
FULL: Final = 1.25  # times the same: with less under way nothing of ours stands in line
CROWDED: Final = 1.2  # round trips to the first byte, on the average, from which on there is a queue
REMEMBERED: Final = 10.0  # seconds: the next segment comes after fewer
FADES: Final = 0.98  # of the most that it has carried, each round trip: paths change within seconds


class Load:
    """Of one upstream; bytes. Times are monotonic, seconds."""

    def __init__(self) -> None:
        self.asked = 0  # under way as far as windows allow: more of a piece is sent when that is acknowledged
        self.pace = Pace()
        self._most = 0.0  # carried in a round trip, lately
        self._came = 0
        self._since = 0.0
        self._crowded_until = 0.0

    def __repr__(self) -> str:
        return f"<Load {self.asked} under way, {self._most:.0f} a round trip at most>"

    def came(self, count: int, now: float, round_trip: float) -> None:
        """So many bytes of a piece have come."""
        took = now - self._since
        if took >= round_trip:
            self._most = max(self._most * FADES, self._came * round_trip / took)
            self._came, self._since = 0, now
        self._came += count

    def waited(self, wait: float, now: float, round_trip: float) -> None:
        """First bytes take so long now, on the average."""
        if wait >= CROWDED * round_trip:
            self._crowded_until = now + REMEMBERED

    def room(self, now: float) -> float:
        """What may be under way at a time."""
        return HEADROOM * self._most if self._is_crowded(now) else float("inf")

    def asks(self, size: int, now: float, round_trip: float) -> None:
        """So much more is under way."""
        self.asked += size
        if self._is_crowded(now) and round_trip > 0:
            self.pace.asked(size, now, self._most / round_trip, round_trip)

    def hold(self, now: float) -> float:
        """Seconds for which nothing more is to be asked for by several bodies. While there are any it stays crowded.

        What is carried is measured by what is asked for: where less of it does not help, less than the path holds would
        make both less and less.
        """
        full = self._is_crowded(now) and (self.pace.helps or self.asked >= FULL * self._most)
        left = self.pace.left(now) if full else 0.0
        if left > 0:
            self._crowded_until = now + REMEMBERED
        return left

    def _is_crowded(self, now: float) -> bool:
        return self._most > 0 and now < self._crowded_until
