"""For whom a flight brings more than is asked for, and for how long: readers in order, while they read.

A worker begins a lease, goes on with it stretch by stretch, and withdraws it when its reader stops or seeks. What has
been asked for upstream by then may still come, to the last whole slice; nothing more is asked for.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from edge.fill.readers import Run

MOST: Final = 32  # readers of one object that are read ahead for; who was not heard of for longest makes room

By = tuple[object, int]  # a worker's link, and the number of its fetch


class Lease:
    """[start, end) is to be brought, of which `waiting` is not begun yet."""

    __slots__ = ("end", "start", "waiting")

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.waiting: deque[tuple[int, int]] = deque()  # it goes on by half of what may be ahead: two or three

    def __repr__(self) -> str:
        return f"<Lease {self.start}-{self.end} waiting={len(self.waiting)}>"

    def wants(self, run: Run) -> bool:
        return self.start < run.end and run.start < self.end


class Leases:
    """Of one flight."""

    def __init__(self) -> None:
        self._leases: dict[By, Lease] = {}  # the one that was heard of last comes last

    def __repr__(self) -> str:
        return f"<Leases {list(self._leases.values())}>"

    @property
    def waiting(self) -> Iterable[deque[tuple[int, int]]]:
        """What is not begun yet, by lease."""
        return [lease.waiting for lease in self._leases.values() if lease.waiting]

    def extend(self, by: By, start: int, end: int, runs: Iterable[Run]) -> None:
        """A lease begins or goes on; of the runs those that were about to stop go on for it."""
        lease = self._leases.pop(by, None)
        if lease is None:
            lease = Lease(start, end)
            if len(self._leases) >= MOST:
                self.withdraw(next(iter(self._leases)), runs)
        self._leases[by] = lease
        lease.start, lease.end = min(lease.start, start), max(lease.end, end)
        lease.waiting.append((start, end))
        for run in runs:
            if run.withdrawn and lease.wants(run):
                run.ahead, run.withdrawn = True, False

    def failed(self, run: Run) -> None:
        """It was to bring bytes ahead: what follows them would probably fail as well, and its reader will ask."""
        for lease in self._leases.values():
            if lease.wants(run):
                lease.waiting.clear()

    def withdraw(self, by: By, runs: Iterable[Run]) -> None:
        """A lease is over; of the runs those stop that only it wanted."""
        if self._leases.pop(by, None) is None:
            return
        for run in runs:
            if run.ahead and not any(lease.wants(run) for lease in self._leases.values()):
                run.ahead, run.withdrawn = False, True
