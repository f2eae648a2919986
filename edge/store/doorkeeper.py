"""Who has been here before? So that what is asked for once is not remembered (TinyLFU calls this a doorkeeper).

Most objects are asked for once: remembering them pushes out what is wanted again, and strews memory that lives for
some minutes among that of what stays.
"""

from array import array
from collections.abc import Hashable
from typing import Final

PLACES: Final = 1 << 15  # 256 KiB


class Doorkeeper:
    """Knows some 30,000 that came last, more or less: each by its hash, in the place that follows from it."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes = array("q", bytes(8 * PLACES))

    def admits(self, key: Hashable) -> bool:
        """True if it has come before."""
        mark = hash(key)
        place = mark & (PLACES - 1)
        if self._hashes[place] == mark:
            return True
        self._hashes[place] = mark
        return False
