"""Reading ahead: a player that asks for one range after another gets the next ones before it asks.

A request that begins where another one of the same object ended goes on with it, whoever sent it: players use several
connections, and two that watch the same film are at different places. Nothing is kept of who they are. How far ahead is
doubled with each range; who stops or seeks leaves at most that unread.
"""

from dataclasses import dataclass
from typing import Final

from edge.delivery.memory import Memory
from edge.words import MIB

FIRST: Final = 4 * MIB  # ahead of the second range that goes on with another; then twice as much each time
EARNED: Final = 4  # times what has been read in order: who leaves soon leaves little unread
KNOWN: Final = 2048  # places in objects at which somebody may go on


@dataclass(slots=True)
class Sequel:
    """Somebody who reads in order: how far ahead it is read for, and up to where it has been asked for.

    `begun`: where the first range began.
    """

    window: int
    asked: int
    begun: int


class Sequels:
    """Of one worker; `most` bytes are read ahead of a reader at most, 0 = none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: Memory[tuple[bytes, int], Sequel] = Memory(KNOWN)

    def next(self, name: bytes, start: int, end: int, total: int) -> tuple[int, int] | None:
        """[start, end) is being answered: the stretch that should be fetched now, None for nothing."""
        if not self._most or end >= total:
            return None
        known = self._known.get((name, start))
        if known is None:
            self._known.put((name, end), Sequel(0, end, start))
            return None
        window = min(2 * known.window or FIRST, self._most, max(FIRST, EARNED * (start - known.begun)))
        asked = max(known.asked, end)
        until = min(end + window, total)
        if until - asked < window // 2 and until < total:
            until = asked  # half of it is enough to go on
        self._known.put((name, end), Sequel(window, until, known.begun))
        return (asked, until) if until > asked else None
