"""What can go wrong between an edge and its origin, as values, and scripts that say to which requests it happens.

`at` counts bytes of the object, not of the answer: whoever asks in pieces meets the fault in the piece that holds it.
Nothing here is random but by a seed: the same script harms the same requests in the same way.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came to the proxy: numbers count from 1; its range is [start, end), end None = to the last."""

    number: int
    connection: int
    method: str
    path: str
    start: int = 0
    end: int | None = None

    def covers(self, at: int) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Late:
    """The answer's head comes `seconds` later, give or take `jitter`, drawn from `seed` and the request's number."""

    seconds: float
    jitter: float = 0.0
    seed: int = 1

    def of(self, seen: Seen) -> float:
        drawn = random.Random(f"{self.seed} {seen.number}").uniform(-self.jitter, self.jitter)
        return max(0.0, self.seconds + drawn)


@dataclass(frozen=True, slots=True)
class Rate:
    """No more than so many bytes of the body a second."""

    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Drip:
    """From byte `at` on: `step` bytes at a time, `seconds` apart."""

    at: int
    step: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST) before byte `at`."""

    at: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Before byte `at` it falls silent and stays open until the other side leaves."""

    at: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """The connection ends in good order (FIN) before byte `at`, short of what the head promised."""

    at: int


@dataclass(frozen=True, slots=True)
class Flip:
    """The lowest bit of byte `at` is wrong."""

    at: int


@dataclass(frozen=True, slots=True)
class Surplus:
    """So many bytes follow the body that nobody asked for."""

    count: int


@dataclass(frozen=True, slots=True)
class WrongRange:
    """Content-Range tells a start, end or total that is off by so much; an answer without one stays right."""

    start: int = 0
    end: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The proxy answers with this status itself; the origin hears nothing."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is reset instead of an answer."""


Fault = Late | Rate | Drip | Reset | Stall | Truncate | Flip | Surplus | WrongRange | Status | Refuse
Script = Callable[[Seen], tuple[Fault, ...]]


def concerns(fault: Fault, seen: Seen) -> bool:
    """Whether this request is harmed by it."""
    match fault:
        case Reset(at) | Stall(at) | Truncate(at) | Flip(at) | Drip(at):
            return seen.covers(at)
        case WrongRange():
            return seen.end is not None
        case _:
            return True


def nothing(_: Seen) -> tuple[Fault, ...]:
    """The script of a good day."""
    return ()


@dataclass(slots=True)
class Harm:
    """A script: these faults to the first `times` requests that they concern (None = to all), of one path or of any.

    `fired` is how many there were.
    """

    faults: tuple[Fault, ...]
    times: int | None = None
    path: str | None = None
    fired: int = field(default=0, init=False)

    def __call__(self, seen: Seen) -> tuple[Fault, ...]:
        if self.path not in (None, seen.path) or (self.times is not None and self.fired >= self.times):
            return ()
        found = tuple(fault for fault in self.faults if concerns(fault, seen))
        self.fired += bool(found)
        return found


def on_connection(number: int, *faults: Fault) -> Script:
    """A script that harms every request of one connection, and no other."""
    return lambda seen: tuple(f for f in faults if concerns(f, seen)) if seen.connection == number else ()


def burst(status: int, after: int, length: int) -> Script:
    """A script: `length` requests in a row, behind the first `after`, are answered with a status."""
    return lambda seen: (Status(status),) if after < seen.number <= after + length else ()
