"""A set of byte stretches of one object: which are there, which is the first that is missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Spans:
    """Half-open stretches, merged and in order."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, *spans: tuple[int, int]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in spans:
            self.add(start, end)

    def __repr__(self) -> str:
        return f"Spans({', '.join(f'{start}-{end}' for start, end in self)})"

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def add(self, start: int, end: int) -> None:
        """Note that [start, end) is there; overlapping and touching stretches become one."""
        if end <= start:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def become(self, other: "Spans") -> None:
        """Have the stretches of another one instead: who holds this one sees them."""
        self._starts, self._ends = list(other._starts), list(other._ends)

    @property
    def length(self) -> int:
        """Bytes in all stretches."""
        return sum(self._ends) - sum(self._starts)

    def reach(self, position: int) -> int:
        """How far the bytes from `position` on are there without a hole; `position` itself if it is missing."""
        at = bisect_right(self._starts, position) - 1
        return max(position, self._ends[at]) if at >= 0 and self._ends[at] > position else position

    def has(self, start: int, end: int) -> bool:
        """Is all of [start, end) there?"""
        return self.reach(start) >= end

    def gap(self, start: int, end: int) -> tuple[int, int] | None:
        """The first missing stretch within [start, end), or None."""
        first = self.reach(start)
        if first >= end:
            return None
        at = bisect_right(self._starts, first)
        return first, min(end, self._starts[at]) if at < len(self._starts) else end

    def before(self, position: int) -> int:
        """The end of the last stretch that ends at or before `position`; 0 if there is none."""
        at = bisect_right(self._ends, position) - 1
        return self._ends[at] if at >= 0 else 0
