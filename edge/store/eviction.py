"""Pure: which extents of the oldest pack stay (are appended anew) and which go (DESIGN D3).

`admit` says whether a complete fill is kept at all, `victims` divides a pack. "fifo": what was hit since it was
written stays, most-hit first, at most half a pack. "lru": the same order, but everything that was hit stays as
far as half a pack allows and never-hit extents are kept behind it while there is room.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from edge.store.index import Placed


class Policy(StrEnum):
    FIFO = "fifo"
    LRU = "lru"


def admit(policy: Policy, length: int) -> bool:
    """Every complete cacheable fill goes into the current pack; what is not hit leaves with its pack."""
    return policy in (Policy.FIFO, Policy.LRU) and length >= 0


def victims(
    policy: Policy, placed: Sequence[Placed], hits: Callable[[bytes], int], budget: int
) -> tuple[list[Placed], list[Placed]]:
    """(those that stay, those that go); `budget` = bytes that may be appended anew."""
    ranked = sorted(placed, key=lambda entry: -hits(entry.name))
    stay: list[Placed] = []
    go: list[Placed] = []
    for entry in ranked:
        if (hits(entry.name) > 0) and entry.length <= budget:
            stay.append(entry)
            budget -= entry.length
        else:
            go.append(entry)
    return stay, go
