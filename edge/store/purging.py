"""A purge at work in the store's thread, a bounded step at a time, so that fills are not held up.

Order is that of the queue: what was to be committed before the purge began is in the index when its steps come by;
what is committed meanwhile has a higher sequence number and stays.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge.policy.purges import Purge, Scope
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.record import Flag, Glance, Record
from edge.store.tables import KEY_CUT, Side, tag_row
from edge.store.tallies import Tallies
from edge.store.writing import Wanted
from edge.words import Eviction

STEP: Final = 1000  # objects, at first
STEP_LEAST: Final = 500
STEP_MOST: Final = 4000
STEP_SECONDS: Final = 0.02  # while commits and writes wait: the next step takes as many as this one had time for
RANGES_A_STEP: Final = 1000  # most of them name one object, or none
NAME: Final = 16  # bytes at a row's end


@dataclass(frozen=True, slots=True)
class Range:
    """Rows of a side table that begin alike."""

    side: Side
    prefix: bytes


def ranges(what: Purge) -> list[Range]:
    """Where the objects of one purge are found; more may lie there, none lies elsewhere."""
    if what.scope is Scope.TAG:
        return [Range(Side.TAGS, tag_row(what.text))]
    if what.scope is Scope.PREFIX or len(what.text) >= KEY_CUT:
        return [Range(Side.KEYS, what.text[:KEY_CUT])]
    own = [Range(Side.KEYS, what.text + b"\0")]
    return own if what.scope is Scope.KEY else [*own, Range(Side.KEYS, what.text + b"?")]


class Purging:
    """`step` until it returns False; then `objects` and `length` (bytes stored) say what was forgotten, or would be.

    `sequence`: objects with a higher one are newer than the purge. `before`: the same for short-lived answers,
    which have no sequence number, by generation. `dry`: nothing is changed.
    """

    def __init__(
        self,
        index: Index,
        live: LiveTable,
        tallies: Tallies,
        whats: Sequence[Purge],
        sequence: int,
        before: int,
        *,
        dry: bool = False,
    ) -> None:
        self._index, self._live, self._tallies, self._whats = index, live, tallies, whats
        self.sequence, self._before, self._dry = sequence, before, dry
        self._ranges = [(what, where) for what in reversed(whats) for where in ranges(what)]  # the last comes first
        self._after = b""
        self._most = STEP
        self.objects = 0
        self.length = 0

    def __repr__(self) -> str:
        return f"<Purging {len(self._whats)} ranges={len(self._ranges)} objects={self.objects}>"

    def begin(self) -> None:
        """What is short-lived goes at once: the table is small."""
        if not self._dry:
            self.objects += self._live.revise(self._revised_live)
            return
        seen: list[Record] = []

        def count(record: Record) -> Record:
            if self._revised_live(record) is not record:
                seen.append(record)
            return record

        self._live.revise(count)
        self.objects += len(seen)

    def _revised_live(self, record: Record) -> Record | None:
        if record.generation >= self._before:
            return record
        for what in self._whats:
            if what.matches(record.key, record.tags):
                return replace(record, flags=record.flags | Flag.STALE) if what.soft else None
        return record

    def step(self) -> bool:
        """Forget some objects, all of them in one transaction; False when none is left."""
        began = time.perf_counter()
        wanted = self._find(self._most)
        if wanted:
            self._take(wanted)
            took = time.perf_counter() - began
            self._most = max(STEP_LEAST, min(STEP_MOST, int(len(wanted) * STEP_SECONDS / took)))
        return bool(self._ranges)

    def _find(self, left: int) -> list[Wanted]:
        """The next names that lie in the ranges, with what is to be done to them."""
        wanted: list[Wanted] = []
        looked = 0
        with self._index.scanning() as rows:
            while self._ranges and left > 0 and looked < RANGES_A_STEP:
                what, where = self._ranges[-1]
                found = rows(where.side, where.prefix, self._after, left)
                if found:
                    meant, soft = self._meant(what), what.soft
                    wanted += [(row[-NAME:], meant, soft) for row in found]
                self._after = found[-1] if len(found) == left else b""
                left, looked = left - len(found), looked + 1
                if not self._after:
                    self._ranges.pop()
        return wanted

    def _take(self, wanted: list[Wanted]) -> None:
        if self._dry:
            self._count(wanted)
            return
        with self._index.writing() as txn:
            hard, soft, length = txn.purge(wanted)
        self._tallies.evictions[Eviction.PURGE] += hard
        self.objects += hard + soft
        self.length += length

    def _count(self, wanted: list[Wanted]) -> None:
        index = self._index
        for name, meant, _ in wanted:
            record = index.record(name)
            if record is not None and meant(record):
                self.objects += 1
                self.length += sum(extent.length for extent in index.extents(record))

    def _meant(self, what: Purge) -> Callable[[Record | Glance], bool]:
        if len(what.text) < KEY_CUT and not what.site:  # what the rows name is what is meant
            return self._is_older_and_fresh if what.soft else self._is_older

        def meant(record: Record | Glance) -> bool:
            older = self._is_older_and_fresh(record) if what.soft else self._is_older(record)
            return older and what.matches(record.key, record.tags)

        return meant

    def _is_older(self, record: Record | Glance) -> bool:
        return record.sequence <= self.sequence

    def _is_older_and_fresh(self, record: Record | Glance) -> bool:
        return record.sequence <= self.sequence and not record.flags & Flag.STALE
