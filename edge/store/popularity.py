"""How wanted something is: its own hits, and what one would expect of its title, rendition and place (DESIGN D3).

Most segments at the border between staying and going were hit once or never: their own counter says little. What is
expected of a segment says more: the mean of its title, times how its rendition and its file name do in all titles.
All three are learnt from fills and evictions only, so a hit costs nothing for them.

What was counted fades with a half-life that follows the volume: a hit must be remembered for as long as it takes to
fill the volume anew, or a large one would forget what it holds; a small one follows what is wanted today.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from edge.errors import StoreError
from edge.store.hits import ONE, HitCounters, fitted
from edge.store.traits import TITLES, Ratios, Traits, titles_for

HALF_LIFE: Final = 24 * 3600.0  # seconds: the shortest
HALF_LIFE_MOST: Final = 4 * HALF_LIFE
TURNS: Final = 2.0  # times that the volume is filled anew in a half-life, if it lies between the two
TURN_PART: Final = 1 / 8  # of a turn, after which its time is measured
TURN_SMOOTH: Final = 0.1  # weight of the newest measurement
STEPS: Final = 4  # of fading, in a half-life
LEARN: Final = 1 / 32  # weight of the newest observation in a title's mean
EXPECTED: Final = 2.0  # weight of what is expected, beside 1 of the own counter
LIKE_LEAST, LIKE_MOST = 0.1, 10.0  # times its title that a segment may be expected to be wanted
EARNED: Final = 0.75  # bytes that may be appended anew for each byte filled: writes stay below 1.8
SAVED: Final = 4  # packs: no more is earned ahead
SMOOTH: Final = 0.1  # weight of the newest pack in the level
JUMP: Final = 2 * HALF_LIFE  # seconds between two looks: the clock was set, as by NTP some time after the boot
_HEAD: Final = struct.Struct("<8sdddqdddd")
_MAGIC: Final = b"EDGEPOP3"
_COUNT: Final = struct.Struct("<I")  # of means, behind the head
_MAGIC_2: Final = b"EDGEPOP2"  # until 2026-11-30: without that, and 65,536 means
_OLD_HEAD: Final = struct.Struct("<8sdddqd")
_OLD_MAGIC: Final = b"EDGEPOP1"  # until 2026-11-29: whole hits, no ratios, no turns
_GONE: Final = 64  # steps after which nothing is left of a counter


def with_sum(pieces: Iterable[bytes]) -> bytes:
    """What `Popularity.restore` takes."""
    body = b"".join(pieces)
    return struct.pack("<I", zlib.crc32(body)) + body


class Popularity:
    """Of one volume; `hits` is shared by all processes, the rest is the keeper's. Runs in the store thread."""

    def __init__(self, size_bytes: int, pack_size: int, now: float, hits: HitCounters | None = None) -> None:
        self.hits = hits
        self.level = 0.0  # about the score at which the kept row lets go
        self.credit = 0.0  # bytes that may be appended anew
        self.day = 0  # whose written bytes are counted
        self.spent = 0.0
        self.turn = 0.0  # seconds in which as many bytes are filled as the volume has; 0 = not known
        self._size, self._most_credit = size_bytes, SAVED * pack_size
        self.titles = titles_for(size_bytes)
        self._means = array("f", bytes(4 * self.titles))
        self._renditions, self._files = Ratios(), Ratios()
        self._aged = self._since = self._looked = now
        self._filled = 0.0  # since `_since`

    def __repr__(self) -> str:
        return f"<Popularity level={self.level:.2f} credit={self.credit:.0f} half_life={self.half_life:.0f}>"

    @property
    def half_life(self) -> float:
        """Seconds after which what was counted counts half."""
        return min(max(TURNS * self.turn, HALF_LIFE), HALF_LIFE_MOST)

    def observe(self, name: bytes, traits: Traits) -> float:
        """The score, and learn from it."""
        count = self.hits.count(name) if self.hits is not None else 0.0
        title, rendition, file = traits
        mean, by_rendition, by_file = self._means[title], self._renditions.of(rendition), self._files.of(file)
        self._renditions.learn(rendition, count, mean * by_file)
        self._files.learn(file, count, mean * by_rendition)
        like = min(max(by_rendition * by_file, LIKE_LEAST), LIKE_MOST)
        self._means[title] += (count - mean * like) * LEARN / max(like, 1.0)
        return (count + EXPECTED * self._means[title] * like) / (1 + EXPECTED)

    def earn(self, filled: int, now: float) -> None:
        """Bytes are filled."""
        self.credit = min(self.credit + EARNED * filled, self._most_credit)
        self._look(now)
        if now < self._since:  # the clock was set back
            self._since, self._filled = now, 0.0
        self._filled += filled
        if self._filled >= self._size * TURN_PART:
            turn = (now - self._since) / TURN_PART
            self.turn += (turn - self.turn) * (TURN_SMOOTH if self.turn else 1.0)
            self._since, self._filled = now, 0.0

    def let_go(self, lowest: float, appended: int) -> None:
        """A kept pack was divided (`lowest` >= 0), or a new one; `appended` bytes of it stay."""
        self.credit -= appended
        if lowest >= 0:
            self.level += (lowest - self.level) * SMOOTH

    def age(self, now: float, *, counters: bool) -> None:
        """Fade by the steps that are due; the shared counters are faded by one keeper only."""
        self._look(now)
        if now < self._aged:  # the clock was set back
            self._aged = now
        step = self.half_life / STEPS
        steps = int((now - self._aged) / step)
        if not steps:
            return
        self._aged += steps * step
        left = 0.5 ** (min(steps, _GONE) / STEPS)
        self.level *= left
        self._means = array("f", [mean * left for mean in self._means])
        self._renditions.fade(left)
        self._files.fade(left)
        if counters and self.hits is not None:
            self.hits.fade(left)

    def _look(self, now: float) -> None:
        """A clock that is set by more than a keeper ever waits ages nothing."""
        ahead = now - self._looked
        self._looked = now
        if ahead > JUMP:
            self._aged += ahead
            self._since += ahead

    def to_bytes(self, now: float) -> bytes:
        """All of it, to survive a restart of the machine."""
        return with_sum(self.in_pieces(now))

    def in_pieces(self, now: float) -> Iterator[bytes]:
        """The same but for its sum; each piece takes some 40 ms."""
        packer = zlib.compressobj(1)
        head = _HEAD.pack(
            _MAGIC,
            self._aged,
            self.level,
            self.credit,
            self.day,
            self.spent,
            self.turn,
            now - self._since,
            self._filled,
        )
        learnt = _COUNT.pack(self.titles) + self._means.tobytes() + self._renditions.to_bytes() + self._files.to_bytes()
        yield packer.compress(head + learnt)
        for counters in self.hits.in_pieces() if self.hits is not None else ():
            yield packer.compress(counters)
        yield packer.flush()

    def restore(self, raw: bytes, now: float) -> None:
        """StoreError: damaged. Counters that somebody has used since are newer than the file and stay.

        The time between is no part of a turn.
        """
        if len(raw) < 4 or zlib.crc32(raw[4:]) != int.from_bytes(raw[:4], "little"):
            raise StoreError("the file of popularity is damaged")
        body = zlib.decompress(raw[4:])
        if body.startswith(_OLD_MAGIC):
            self._restore_old(body, now)
            return
        if not body.startswith((_MAGIC, _MAGIC_2)):
            raise StoreError("the file of popularity is of another format")
        _, self._aged, self.level, self.credit, self.day, self.spent, *turning = _HEAD.unpack_from(body)
        self._rest(now)
        self.turn, since, self._filled = turning
        self._since = now - since
        at, titles = _HEAD.size, TITLES
        if body.startswith(_MAGIC):
            (titles,) = _COUNT.unpack_from(body, at)
            at += _COUNT.size
        self._recall_means(body[at : at + 4 * titles])
        at += 4 * titles
        self._renditions = Ratios(body[at : at + Ratios.BYTES])
        at += Ratios.BYTES
        self._files = Ratios(body[at : at + Ratios.BYTES])
        if self.hits is not None:
            self.hits.restore(body[at + Ratios.BYTES :])

    def _recall_means(self, raw: bytes) -> None:
        """Of a volume that was larger or smaller, too."""
        self._means = array("f", fitted(raw, 4 * self.titles))

    def _rest(self, now: float) -> None:
        """While it was off, or while a clock says so, at most a half-life has passed."""
        self._looked, self._aged = now, max(self._aged, now - self.half_life)

    def _restore_old(self, body: bytes, now: float) -> None:
        _, self._aged, self.level, self.credit, self.day, self.spent = _OLD_HEAD.unpack_from(body)
        self._rest(now)
        end = _OLD_HEAD.size + 4 * TITLES
        self._recall_means(body[_OLD_HEAD.size : end])
        if self.hits is not None:
            self.hits.restore(body[end:].translate(bytes(min(count, 15) * ONE for count in range(256))))
