"""How wanted something is: its own hits, and what the other segments of its title get (DESIGN D3).

Most segments at the border between staying and going were hit once or never: their own counter says little, the mean
of their title much. That mean is learnt from fills and evictions only, so a hit costs nothing for it.
"""

import struct
import zlib
from array import array
from typing import Final

from edge.errors import StoreError
from edge.store.hits import HitCounters

HALF_LIFE: Final = 24 * 3600.0  # seconds after which counters and means count half
TITLES: Final = 1 << 16  # means; titles share one by chance
LEARN: Final = 1 / 64  # weight of the newest observation in a title's mean
EARNED: Final = 0.75  # bytes that may be appended anew for each byte filled: writes stay below 1.8
SAVED: Final = 4  # packs: no more is earned ahead
SMOOTH: Final = 0.1  # weight of the newest pack in the level
_HEAD: Final = struct.Struct("<8sdddqd")
_MAGIC: Final = b"EDGEPOP1"


def title_of(key: bytes) -> int:
    """The bucket of a title: the path less file and rendition directory."""
    return zlib.crc32(key.partition(b"?")[0].rsplit(b"/", 2)[0]) & TITLES - 1


class Popularity:
    """Of one volume; `hits` is shared by all processes, the means are the keeper's. Runs in the store thread."""

    def __init__(self, pack_size: int, now: float, hits: HitCounters | None = None) -> None:
        self.hits = hits
        self.level = 0.0  # about the score at which the kept row lets go
        self.credit = 0.0  # bytes that may be appended anew
        self.day = 0  # whose written bytes are counted
        self.spent = 0.0
        self._most_credit = SAVED * pack_size
        self._means = array("f", bytes(4 * TITLES))
        self._aged = now

    def __repr__(self) -> str:
        return f"<Popularity level={self.level:.2f} credit={self.credit:.0f}>"

    def observe(self, name: bytes, title: int) -> float:
        """The score, and learn from it."""
        count = self.hits.count(name) if self.hits is not None else 0
        self._means[title] += (count - self._means[title]) * LEARN
        return (count + self._means[title]) / 2

    def earn(self, filled: int) -> None:
        self.credit = min(self.credit + EARNED * filled, self._most_credit)

    def let_go(self, lowest: float, appended: int) -> None:
        """A kept pack was divided (`lowest` >= 0), or a new one; `appended` bytes of it stay."""
        self.credit -= appended
        if lowest >= 0:
            self.level += (lowest - self.level) * SMOOTH

    def age(self, now: float, *, counters: bool) -> None:
        """Halve once per half-life; the shared counters are halved by one keeper only."""
        if now < self._aged:  # the clock was set back
            self._aged = now
        while now - self._aged >= HALF_LIFE:
            self._aged += HALF_LIFE
            self.level /= 2
            self._means = array("f", [mean / 2 for mean in self._means])
            if counters and self.hits is not None:
                self.hits.halve_all()

    def to_bytes(self) -> bytes:
        """All of it, to survive a restart of the machine."""
        head = _HEAD.pack(_MAGIC, self._aged, self.level, self.credit, self.day, self.spent)
        counters = self.hits.to_bytes() if self.hits is not None else b""
        body = zlib.compress(head + self._means.tobytes() + counters, 1)
        return struct.pack("<I", zlib.crc32(body)) + body

    def restore(self, raw: bytes) -> None:
        """StoreError: damaged. Counters that somebody has used since are newer than the file and stay."""
        if len(raw) < 4 or zlib.crc32(raw[4:]) != int.from_bytes(raw[:4], "little"):
            raise StoreError("the file of popularity is damaged")
        body = zlib.decompress(raw[4:])
        magic, aged, level, credit, day, spent = _HEAD.unpack_from(body)
        if magic != _MAGIC:
            raise StoreError("the file of popularity is of another format")
        self._aged, self.level, self.credit, self.day, self.spent = aged, level, credit, day, spent
        end = _HEAD.size + 4 * TITLES
        self._means = array("f", body[_HEAD.size : end])
        if self.hits is not None:
            self.hits.restore(body[end:])
