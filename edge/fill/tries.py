"""How often a body may break in a row without getting on: `resume_max` times.

What counts as getting on is PROGRESS, in one try or in several: a link that breaks every 20 KB is gone on with, as it
brings that much within its tries, and one that brings a few bytes each time is not, though it never brings none.
"""

from typing import Final

from edge.words import KIB

PROGRESS: Final = 64 * KIB  # with three tries 16 KiB each: who brings less brings no video
RELAYED: Final = (
    1  # tries of what a member hands on: it has had tries there, and each one here is several at the origin
)


class Tries:
    """Of one body, or one piece. `count`: breaks since it last got on; the first one is none if bytes had come."""

    __slots__ = ("_began", "_mark", "count")

    def __init__(self, position: int, *, began: bool = False) -> None:
        """`began`: it has broken at `position` already, for the first time."""
        self.count = 0
        self._mark = position
        self._began = began

    def __repr__(self) -> str:
        return f"<Tries {self.count} since {self._mark}>"

    def broke(self, position: int) -> int:
        """It has broken there. Returns the count."""
        gained = position - self._mark
        if gained >= PROGRESS or (gained and not self._began):
            self.count, self._mark = 0, position
        else:
            self.count += 1
        self._began = True
        return self.count
