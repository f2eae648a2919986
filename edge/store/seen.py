"""What a worker has lately seen in memory: it is believed to be there for a second, since to ask costs 4 us a window.

It may have gone by then, and the disk fail: who sends has to bear that (`server.BodySource.take_back`, `bus`).
"""

from collections import OrderedDict
from typing import Final

from edge.clock import Clock
from edge.store.doubts import CALM, COUNTS, Doubts
from edge.store.packfile import PackFile
from edge.store.record import Extent
from edge.store.residency import Residency
from edge.words import MIB

WARM_SECONDS: Final = 1.0  # how long a window just found resident is believed to be
WARM_BLOCK: Final = MIB  # bytes; a window is at most as long
WARM_WINDOWS: Final = 20_000


class Seen:
    """Of one volume; `volume` is its number among `doubts`. Used from the worker's loop only."""

    def __init__(self, clock: Clock, residency: Residency, doubts: Doubts, volume: int) -> None:
        self._clock, self._residency, self._doubts, self._volume = clock, residency, doubts, volume
        self._warm: OrderedDict[tuple[int, int], float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Seen blocks={len(self._warm)}>"

    def is_warm(self, file: PackFile, extent: Extent, at: int, length: int) -> bool:
        """Is [at, at + length) of an extent wholly in the page cache, and not doubted?

        Asked of the blocks that it lies in, so that the answer holds for what is read of them in the next second; one
        that is not there wholly may still have these bytes.
        """
        now = self._clock.monotonic()
        number = at // WARM_BLOCK
        seen = self._warm.get((file.number, extent.offset + number * WARM_BLOCK))
        if seen is None or now - seen >= WARM_SECONDS or at + length > (number + 1) * WARM_BLOCK:
            for each in range(number, (at + length - 1) // WARM_BLOCK + 1):
                if not self._is_block_warm(file, extent, each, now):
                    begin = extent.offset + at
                    if self._residency.resident(file.fileno(), begin, length) and file.reaches(begin + length):
                        break
                    return False
        # Only now: who brought the pages there has said before that it would.
        if self._doubts.map[COUNTS] == CALM:
            return True
        start = extent.offset + at
        return not self._doubts.cover(self._volume, file.number, start, start + length)

    def _is_block_warm(self, file: PackFile, extent: Extent, number: int, now: float) -> bool:
        start = number * WARM_BLOCK
        key = file.number, extent.offset + start
        seen = self._warm.get(key)
        if seen is not None and now - seen < WARM_SECONDS:
            return True
        length = min(WARM_BLOCK, extent.length - start)
        if not self._residency.resident(file.fileno(), key[1], length) or not file.reaches(key[1] + length):
            return False
        self._note(key, now)
        return True

    def _note(self, key: tuple[int, int], now: float) -> None:
        warm = self._warm
        warm[key] = now
        warm.move_to_end(key)
        while len(warm) > WARM_WINDOWS or now - next(iter(warm.values())) >= WARM_SECONDS:
            warm.popitem(last=False)

    def forget(self, pack: int, offset: int, length: int) -> None:
        """[offset, offset + length) of a pack is not in memory any more."""
        for key in [key for key in self._warm if key[0] == pack and offset - WARM_BLOCK < key[1] < offset + length]:
            del self._warm[key]

    def forget_all(self) -> None:
        """The disk has failed: what has gone from memory since it was seen there would not come again."""
        self._warm.clear()
