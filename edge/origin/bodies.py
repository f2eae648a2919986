"""How the bodies of one member's answers end: one that sends heads and then falls silent serves nobody.

A body that comes to its end makes up for those that broke, if it has got further than they did: small answers pass
where large ones do not (a path that drops full packets, a disk that reads the first block).
"""

from typing import Final

from edge.clock import Clock
from edge.words import KIB

BROKEN: Final = 5  # in a row, from which on it does not serve
FEW_PACKETS: Final = 4 * KIB  # so much passes anywhere, also where one broke before its first byte
FAR_ENOUGH: Final = 256 * KIB  # who brings that much may well bring more: the first piece of a far body is less
FORGOTTEN: Final = 60.0  # seconds: a member that only small answers are asked of has to be trusted again some day


class Bodies:
    """Told of each end that says something. Sizes are what has come, in bytes."""

    __slots__ = ("_broken", "_clock", "_last", "_reached")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._broken = 0
        self._last = 0.0
        self._reached = 0  # by the longest that broke

    def __repr__(self) -> str:
        return f"<Bodies {self._broken} broken after {self._reached}>"

    @property
    def bad(self) -> bool:
        """Have so many broken that a head alone is no sign of health?"""
        return self._broken >= BROKEN and not self._forgotten

    @property
    def _forgotten(self) -> bool:
        return self._clock.monotonic() - self._last > FORGOTTEN

    def broke(self, size: int) -> bool:
        """One has stalled, or was cut off. Are they bad now?"""
        if self._forgotten:
            self._broken = 0
        self._reached = max(self._reached if self._broken else FEW_PACKETS, size)
        self._broken += 1
        self._last = self._clock.monotonic()
        return self.bad

    def came(self, size: int) -> bool:
        """One is whole. Were they bad, and are no more?"""
        if not self._broken or not (size > self._reached or size >= FAR_ENOUGH):
            return False
        was, self._broken = self.bad, 0
        return was
