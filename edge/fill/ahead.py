"""Objects that are fetched before anybody asks for them: how much of that there may be, and what becomes of it.

  wished     a worker expects that somebody will ask; several may wish for one object
  under way  a flight without readers; the first one who asks joins it, and it is used
  waiting    it is kept and marked among the hit counters; its first hit takes the mark away
  used, unused (nobody came in time), cancelled (the wishes were withdrawn first), failed, refused (no room for it)

Two bounds hold for each upstream. At any moment it has at most 15 % of the connections, so that it never takes more of
the path from those who wait; and what nobody has asked for (under way, waiting, or unused lately) is at most 15 % of
what the last minutes have brought. What is used was only brought earlier: it costs nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, Protocol

from edge.clock import Clock
from edge.fill.flight import Flight
from edge.words import MIB, MINUTES

SHARE: Final = 0.15  # of the upstream's bandwidth
ALLOWED: Final = 32 * MIB  # without any share: two segments each for the first players of a quiet night
WINDOW: Final = 5 * MINUTES  # in which bytes are compared ...
STEPS: Final = 10  # ... and how finely they leave it
UNUSED_AFTER: Final = 1 * MINUTES  # a player that goes on comes within two or three segments
WAITING_MOST: Final = 4096
USUAL_SIZE: Final = 4 * MIB  # of an object in whose directory nothing has been measured yet
LARGEST: Final = 32 * MIB  # what is larger is no segment


class Outcome(StrEnum):
    """What became of an object that was to be fetched ahead; a metric's label."""

    USED = "used"
    UNUSED = "unused"
    CANCELLED = "cancelled"
    FAILED = "failed"
    REFUSED = "refused"


class Marks(Protocol):
    """Where a worker's first hit of an object can be seen."""

    def mark_ahead(self, name: bytes) -> None: ...

    def is_ahead(self, name: bytes) -> bool: ...


class Recent:
    """A sum over the last `WINDOW` seconds, in steps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: deque[list[float]] = deque()  # when a step began, and its sum
        self.total = 0.0

    def __repr__(self) -> str:
        return f"<Recent {self.total:.0f}>"

    def add(self, amount: float) -> None:
        now = self._clock.monotonic()
        if not self._steps or now - self._steps[-1][0] >= WINDOW / STEPS:
            self._steps.append([now, 0.0])
            self.forget()
        self._steps[-1][1] += amount
        self.total += amount

    def forget(self) -> None:
        """What is older than the window leaves."""
        now = self._clock.monotonic()
        while self._steps and now - self._steps[0][0] >= WINDOW:
            self.total -= self._steps.popleft()[1]


class Ahead:
    """Of one keeper; made in `shops`. `count` hears each outcome once."""

    def __init__(self, clock: Clock, count: Callable[[str], None], marks: Marks | None) -> None:
        self._clock = clock
        self._count = count
        self._marks = marks
        self._brought, self._wasted = Recent(clock), Recent(clock)
        self._under_way: dict[Flight, int] = {}  # how large it probably is
        self._wishes: dict[tuple[object, int], Flight] = {}  # by link and fetch
        self._waiting: OrderedDict[bytes, tuple[float, int]] = OrderedDict()  # since when, and how large

    def __repr__(self) -> str:
        return f"<Ahead under_way={len(self._under_way)} waiting={len(self._waiting)}>"

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def unasked(self) -> float:
        """Bytes that are brought, or were lately, and that nobody has asked for."""
        waiting = sum(size for _, size in self._waiting.values())
        return self._wasted.total + sum(self._under_way.values()) + waiting

    def brought(self, count: int) -> None:
        """Bytes of any body have come from an upstream."""
        self._brought.add(count)

    def may_begin(self, size: int, connections: int) -> bool:
        """Is there room for one more? `connections`: those that the upstream may have. Counted if not."""
        self.look()
        self._brought.forget()
        self._wasted.forget()
        room = max(ALLOWED, SHARE * self._brought.total)
        fits = self.unasked + size <= room and len(self._under_way) < connections
        if not fits or len(self._waiting) >= WAITING_MOST:
            self._count(Outcome.REFUSED)
            return False
        return True

    def begin(self, flight: Flight, size: int, by: object, id_: int) -> None:
        """A flight leaves that nobody waits for."""
        flight.unasked = flight.background = True
        self._under_way[flight] = size
        self._wishes[by, id_] = flight

    def wish(self, flight: Flight, by: object, id_: int) -> None:
        """Another worker expects the same, or expects it again: then it goes on, if it has not stopped yet."""
        if flight in self._under_way and flight.unasked:
            self._wishes[by, id_] = flight
            flight.background = True

    def withdraw(self, by: object, id_: int) -> None:
        """Nobody is expected to come for it any more; the last one to say so stops it."""
        flight = self._wishes.pop((by, id_), None)
        if flight is not None and flight.unasked and flight not in self._wishes.values():
            flight.background = False
            flight.wake_runs()

    def withdraw_all(self, by: object) -> None:
        """A worker has gone."""
        for link, id_ in [key for key in self._wishes if key[0] is by]:
            self.withdraw(link, id_)

    def joined(self, flight: Flight) -> None:
        """Somebody asks for what is under way."""
        if flight.unasked:
            flight.unasked = flight.background = False
            if self._under_way.pop(flight, None) is not None:
                self._count(Outcome.USED)

    def landed(self, flight: Flight) -> None:
        """A flight is over."""
        for key in [key for key, wished in self._wishes.items() if wished is flight]:
            del self._wishes[key]
        if self._under_way.pop(flight, None) is None:
            return
        size = flight.covered.length
        if flight.kept_whole:
            if self._marks is not None:
                self._marks.mark_ahead(flight.name)
            self._waiting[flight.name] = self._clock.monotonic(), size
            return
        self._wasted.add(size)
        self._count(Outcome.FAILED if flight.background else Outcome.CANCELLED)

    def look(self) -> None:
        """See what has been used, and what nobody came for. Call it each second, or so."""
        now = self._clock.monotonic()
        for name, size, since in list(self._each()):
            if self._marks is not None and not self._marks.is_ahead(name):
                del self._waiting[name]
                self._count(Outcome.USED)
            elif now - since >= UNUSED_AFTER:
                del self._waiting[name]
                self._wasted.add(size)
                self._count(Outcome.UNUSED)

    def _each(self) -> Iterator[tuple[bytes, int, float]]:
        for name, (since, size) in self._waiting.items():
            yield name, size, since
