"""What we keep of the objects that a sibling keeps: those that are asked for again and again.

Kept everywhere, every object would take room on each sibling, and all of them together would hold no more than one.
"""

from typing import Final

from cachetools import LRUCache

from edge.clock import Clock

REMEMBERED: Final = 65_536  # what was asked for lately; about 10 MiB


class Hottest:
    """Counts what is asked for; times in seconds."""

    def __init__(self, hits: int, window: float, clock: Clock) -> None:
        self._hits, self._window = hits, window
        self._clock = clock
        self._asked: LRUCache[tuple[bytes, int], tuple[int, float]] = LRUCache(REMEMBERED)

    def __repr__(self) -> str:
        return f"<Hottest {len(self._asked)} from {self._hits} in {self._window:.0f} s>"

    def noted(self, name: bytes, start: int) -> bool:
        """It is asked for once more: is that often enough, within the window, to keep it here as well?

        By where a request begins: a player that reads a film in ranges is one player, not many.
        """
        now = self._clock.monotonic()
        count, since = self._asked.get((name, start), (0, now))
        if now - since > self._window:
            count, since = 0, now
        self._asked[name, start] = count + 1, since
        return count + 1 >= self._hits
