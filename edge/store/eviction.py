"""Which row of packs a fill goes to, and which extents of the oldest pack stay (are appended anew) (DESIGN D3).

`admit` says where a fill is written, `victims` divides a pack. "fifo" and "lru" have one row: what was hit since it
was written stays, most-hit first, at most half a pack. "popular" has two: what nobody is known to want begins in the
new row, of a pack or two, and is promoted to the kept row only if it proves wanted; a pack of the kept row keeps its
best four fifths, as far as the bytes earned by fills reach (so that the disk is written at most 1.75 times).
"""

from collections.abc import Callable, Sequence
from enum import IntEnum, StrEnum
from typing import Final

from edge.store.tables import Placed

NEW_SHARE: Final = 0.015  # of the volume: the new row; about a pack
KEEP_SHARE: Final = 0.8  # of a kept pack that may be appended anew
LEAST: Final = 1.0  # score below which nothing is promoted
MARGIN: Final = 0.5  # below the level, that a fill may be and still go to the kept row: the level lags behind
HIT: Final = 9 / 16  # "fifo" and "lru": more than a halved hit; a hit counts for three quarters of a half-life


class Policy(StrEnum):
    FIFO = "fifo"
    LRU = "lru"
    POPULAR = "popular"


class Row(IntEnum):
    """In a pack's journal header."""

    NEW = 0
    KEPT = 1


def admit(policy: Policy, score: float, level: float) -> Row:
    """Every fill is written; one that is known to be wanted (`level` = what the kept row last let go) is kept."""
    if policy is Policy.POPULAR and score >= LEAST and score + MARGIN > level:
        return Row.KEPT
    return Row.NEW


def stay_share(policy: Policy, row: Row) -> float:
    """Of a pack's size, how much may stay."""
    if policy is not Policy.POPULAR:
        return 0.5
    return KEEP_SHARE if row is Row.KEPT else 1.0


def least_score(policy: Policy, row: Row, level: float) -> float:
    """What is below it goes, whatever room there is."""
    if policy is not Policy.POPULAR:
        return HIT
    return 0.0 if row is Row.KEPT else max(LEAST, level)


def victims(
    placed: Sequence[Placed], score: Callable[[Placed], float], least: float, budget: float
) -> tuple[list[Placed], list[Placed], float]:
    """(those that stay, those that go, the lowest score that stayed or -1); `budget` = bytes to be appended anew."""
    stay: list[Placed] = []
    go: list[Placed] = []
    lowest = -1.0
    scored = [(score(entry), entry) for entry in placed]
    for scores, entry in sorted(scored, key=lambda pair: -pair[0]):
        if scores >= least and entry.length <= budget:
            stay.append(entry)
            budget -= entry.length
            lowest = scores
        else:
            go.append(entry)
    return stay, go, lowest
