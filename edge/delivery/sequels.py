"""Who reads in order: a player that asks for one range after another gets the next ones before it asks.

A request that begins where another one of the same object ended goes on with it, whoever sent it: players use several
connections, and two that watch the same film are at different places. Nothing is kept of who they are. How far ahead
it is read for goes by what was read: four times that, and a bound.

    begins   the second range in order: a step is asked for, and the keeper brings it while the lease lasts
    goes on  with the next range, or the reading of this one: half of what may be ahead is asked for at a time
    ends     the answer is broken off, the connection ends, the connection asks for a range of it elsewhere (a seek),
             or nothing is read for `QUIET` seconds: what has not been asked for upstream by then is not asked for
"""

from collections.abc import Iterator
from typing import Final, Protocol

from edge.delivery.memory import Memory
from edge.words import KIB, SECONDS

# Times what has been read in order: who leaves soon leaves little unread. With twice as much a film in ranges of 1 MiB
# came at two thirds of the speed over 200 ms (128 MB: 64 and 72 Mbit/s, 95 and 103 with four times).
EARNED: Final = 4
LEAST: Final = 512 * KIB  # ahead: a keeper fetches whole slices, and for a few bytes none more is due
KNOWN: Final = 2048  # places in objects at which somebody may go on
QUIET: Final = 5 * SECONDS  # without a byte read, after which a player counts as gone; the next range begins anew


class Answer(Protocol):
    """An answer under way."""

    body_bytes_sent: int


class Sequel:
    """Somebody who reads an object in order.

    `by`: the connection that asked last, None if that says nothing, or nothing is asked for and nothing under way: of
    connections that have gone none is kept.
    """

    __slots__ = ("_lengths", "_read", "_seen", "asked", "by", "leased", "moved_at", "name", "reach", "total")

    def __init__(self, name: bytes, reach: int, total: int) -> None:
        self.name = name
        self.reach = reach  # where the last range ends
        self.total = total
        self.asked = reach  # up to where it has been asked for
        self.leased = False
        self.by: object = None
        self.moved_at = 0.0
        self._read = 0  # by answers that are over
        self._seen = 0
        self._lengths: dict[Answer, int] = {}

    def __repr__(self) -> str:
        state = "leased" if self.leased else "idle"
        return f"<Sequel {state} read={self.read} up to {self.reach}, asked up to {self.asked}>"

    @property
    def read(self) -> int:
        """Bytes that have been read in order."""
        return self._read + sum(answer.body_bytes_sent for answer in self._lengths)

    @property
    def under_way(self) -> bool:
        return bool(self._lengths)

    def began(self, answer: Answer, start: int, end: int, now: float) -> None:
        self._lengths[answer] = end - start
        self.reach = max(self.reach, end)
        self.moved_at = now

    def ended(self, answer: Answer, now: float) -> None:
        if self._lengths.pop(answer, None) is not None:
            self._read += answer.body_bytes_sent
            self.moved_at = now
            self.let_go()

    def let_go(self) -> None:
        """Its connection is of no interest once there is no lease that could end with it, and no answer."""
        if not self.leased and not self.under_way:
            self.by = None

    def look(self, now: float) -> None:
        """Has it read on?"""
        read = self.read
        if read != self._seen:
            self._seen, self.moved_at = read, now

    def step(self, most: int) -> tuple[int, int] | None:
        """What should be fetched next, `most` bytes before where it reads at most; None for nothing now."""
        read = self.read
        pending = sum(length - answer.body_bytes_sent for answer, length in self._lengths.items())
        window = min(EARNED * read, most)
        until = min(self.reach + window, self.reach - pending + most, self.total)
        start = max(self.asked, self.reach)
        if window < LEAST or until <= start or (until - start < window // 2 and until < self.total):
            return None  # half of it is enough to go on
        self.asked = until
        return start, until


class Sequels:
    """Of one worker; `most` bytes are read ahead of a reader at most, 0 = none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: Memory[tuple[bytes, int], Sequel] = Memory(KNOWN)
        self._leased: dict[Sequel, None] = {}
        self._of: dict[object, Sequel] = {}  # by connection, of those that are leased

    def __repr__(self) -> str:
        return f"<Sequels leased={len(self._leased)}>"

    def __len__(self) -> int:
        return len(self._leased)

    def begin(
        self, name: bytes, start: int, end: int, total: int, answer: Answer, by: object, now: float
    ) -> tuple[Sequel | None, Sequel | None]:
        """[start, end) is being answered: who goes on with it, and who has left for it, whose lease is over."""
        if not self._most:
            return None, None
        known = self._known.get((name, start))
        left = None
        if known is None or known.reach not in (start, end) or known.total != total:
            known = Sequel(name, end, total)
            left = self._of.get(by) if by is not None else None
            left = left if left is not None and left.name == name and self.end(left) else None
        if known.by is not by:
            self._forget_connection(known)
            known.by = by
        known.began(answer, start, end, now)
        self._known.put((name, end), known)
        return known, left

    def step(self, sequel: Sequel) -> tuple[int, int] | None:
        """What is to be fetched for it now; its lease lasts from now on."""
        stretch = sequel.step(self._most)
        if stretch is not None:
            sequel.leased = True
            self._leased[sequel] = None
        if sequel.leased and sequel.by is not None:
            self._of[sequel.by] = sequel
        return stretch

    def end(self, sequel: Sequel) -> bool:
        """Nothing more is to be fetched for it; False if that was so before. What it has read is remembered."""
        if not sequel.leased:
            return False
        sequel.leased = False
        sequel.asked = sequel.reach
        del self._leased[sequel]
        self._forget_connection(sequel)
        sequel.let_go()
        return True

    def look(self, now: float) -> Iterator[tuple[Sequel, bool]]:
        """Those that are leased, and whether they still read."""
        for sequel in list(self._leased):
            sequel.look(now)
            yield sequel, now - sequel.moved_at < QUIET

    def _forget_connection(self, sequel: Sequel) -> None:
        if self._of.get(sequel.by) is sequel:
            del self._of[sequel.by]
