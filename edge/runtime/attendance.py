"""Since when volumes have had no keeper: one that had none for a while is not where objects live meanwhile.

Workers look elsewhere after 10 s without, for the rest of a minute in which keepers died three times, and at the start
of a server where one is 3 s later than the first (`volumes`). Here it is less, since others count from moments of their
own. The only volume of a server is never left.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from edge.control.owed import AWAY_SECONDS
from edge.runtime.volumes import FALLS, UNSTEADY_SECONDS

LATE_SECONDS: Final = 2.5


class Attendance:
    """`now`: monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._gone: dict[int, float] = {}  # by volume: since when it has no keeper
        self._falls: dict[int, deque[float]] = {}
        self._told: set[int] = set()
        self._expected: set[int] = set()
        self._first: float | None = None  # when one was there
        self._alone = True

    def __repr__(self) -> str:
        return f"<Attendance gone={sorted(self._gone)}>"

    def begin(self, volumes: Collection[int], *, starting: bool) -> None:
        """These are served; `starting`: their keepers are only on their way."""
        self._alone = len(volumes) < 2
        self._expected = set(volumes) if starting else set()

    def lost(self, volume: int) -> None:
        """Its keeper has ended."""
        now = self._now()
        self._gone.setdefault(volume, now)
        falls = self._falls.setdefault(volume, deque(maxlen=FALLS))
        falls.append(now)
        if len(falls) == FALLS and now - falls[0] < UNSTEADY_SECONDS:
            self._gone[volume] = min(self._gone[volume], now - AWAY_SECONDS)

    def gone_since(self, volume: int) -> float:
        """As its next keeper's charter says; 0: it has not been missed."""
        return self._gone.get(volume, 0.0) if not self._alone else 0.0

    def _is_away(self, volume: int) -> bool:
        since = self._gone.get(volume)
        if self._alone:
            return False
        if since is None and volume in self._expected and self._first is not None:
            return self._now() - self._first >= LATE_SECONDS
        return since is not None and self._now() - since >= AWAY_SECONDS

    def has_just_gone(self, volume: int) -> bool:
        """Is it away? True once."""
        if volume in self._told or not self._is_away(volume):
            return False
        self._told.add(volume)
        return True

    def found(self, volume: int) -> bool:
        """It has a keeper again: was it away, and nobody has been told?"""
        away = self.has_just_gone(volume)
        self._gone.pop(volume, None)
        self._told.discard(volume)
        self._expected.discard(volume)
        if self._first is None:
            self._first = self._now()
        return away
