"""A purge at work in the store's thread, a bounded step at a time, so that fills are not held up.

Order is that of the queue: what was to be committed before the purge began is in the index when its steps come by;
what is committed meanwhile has a higher sequence number and stays.

  1. names are gathered from the side tables and put in order
  2. they are forgotten, in order: a transaction of some thousand touches each page of the tree once
  3. then their rows in the side tables are deleted, in the order of those. A crash before that leaves rows that name
     nothing; who finds one by them finds no record, or a later one, which may have other tags
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from edge.policy.purges import Purge, Scope
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.record import Flag, Glance, Record
from edge.store.tables import KEY_CUT, Side, tag_row
from edge.store.tallies import Tallies
from edge.store.writing import SideRows, Wanted
from edge.words import Eviction

STEP_SECONDS: Final = 0.01  # in which commits and writes wait: a miss waits for two of them
LOOK: Final = 50  # rows between two looks at the clock
GATHERED_A_STEP: Final = 10_000  # names: 3 to 10 ms
GATHERED_MOST: Final = 30_000  # 6 MB; to sort them takes up to 10 ms
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


class Pace:
    """When a step has taken enough: at its end comes a commit, which takes as long as the last one did."""

    def __init__(self) -> None:
        self._until = self._ended = self._commit = 0.0

    def __repr__(self) -> str:
        return f"<Pace commit={self._commit * 1000:.1f} ms>"

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around the whole step. A commit that was slow once leaves half of the time all the same."""
        self._until = time.perf_counter() + max(STEP_SECONDS - self._commit, STEP_SECONDS / 2)
        yield
        self._commit = time.perf_counter() - self._ended

    def goes_on(self) -> bool:
        """Is there time for more?"""
        self._ended = time.perf_counter()
        return self._ended < self._until


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
        self._ways = [(self._meant(what), what.soft) for what in whats]
        self._ranges = [(number, where) for number, what in enumerate(whats) for where in ranges(what)]
        self._ranges.reverse()  # the last comes first
        self._after = b""
        self._wanted: list[bytes] = []  # names, each with the number of the purge that wants it; the first ones last
        self._pace = Pace()
        self._is_gathered = False
        self._rows = SideRows()
        self._unsorted: list[list[bytes]] = []  # of these
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
        """A bounded step; False when nothing is left."""
        if self._rows and not self._wanted:
            self._delete_rows()
        elif self._wanted and self._is_gathered:
            self._purge_some()
        else:
            self._gather()
        return bool(self._ranges or self._wanted or self._rows)

    def _gather(self) -> None:
        """Find the next names; enough of them are put in order, since on a page of the index lie ten."""
        left, looked = GATHERED_A_STEP, 0
        with self._index.scanning() as rows:
            while self._ranges and left > 0 and looked < RANGES_A_STEP:
                number, where = self._ranges[-1]
                found = rows(where.side, where.prefix, self._after, left)
                if found:
                    of = number.to_bytes(4, "big")
                    self._wanted += [row[-NAME:] + of for row in found]
                self._after = found[-1] if len(found) == left else b""
                left, looked = left - len(found), looked + 1
                if not self._after:
                    self._ranges.pop()
        self._is_gathered = not self._ranges or len(self._wanted) >= GATHERED_MOST
        if self._is_gathered:
            self._wanted.sort(reverse=True)

    def _purge_some(self) -> None:
        """The next names, all of them in one transaction."""
        if self._dry:
            with self._pace.step():
                self._count(self._next_wanted())
            return
        with self._pace.step(), self._index.writing() as txn:
            hard, soft, length, freed = txn.purge(self._next_wanted(), self._rows)
        self._tallies.evicted(Eviction.PURGE, hard, freed)
        self.objects += hard + soft
        self.length += length
        self._unsorted = [self._rows.places, self._rows.keys, self._rows.tags]

    def _next_wanted(self) -> Iterator[Wanted]:
        """As many as there is time for, and one at least: a film has thousands of extents."""
        wanted, ways = self._wanted, self._ways
        while wanted:
            row = wanted.pop()
            yield row[:NAME], *ways[int.from_bytes(row[NAME:], "big")]
            if not self._pace.goes_on():
                return

    def _delete_rows(self) -> None:
        """Nobody is served by them: they wait until those of all names can go in the order in which they lie."""
        if self._unsorted:
            self._unsorted.pop().sort()
            return
        with self._pace.step(), self._index.writing() as txn:
            delete = txn.deleting(self._rows)
            while self._rows:
                delete(LOOK)
                if not self._pace.goes_on():
                    return

    def _count(self, wanted: Iterable[Wanted]) -> None:
        index = self._index
        for name, meant, _ in wanted:
            record = index.record(name)
            if record is not None and meant(record):
                self.objects += 1
                self.length += sum(extent.length for extent in index.extents(record))

    def _meant(self, what: Purge) -> Callable[[Record | Glance], bool]:
        if len(what.text) < KEY_CUT and what.scope is not Scope.TAG:  # what the rows name is what is meant
            return self._is_older_and_fresh if what.soft else self._is_older

        def meant(record: Record | Glance) -> bool:
            older = self._is_older_and_fresh(record) if what.soft else self._is_older(record)
            return older and what.matches(record.key, record.tags)

        return meant

    def _is_older(self, record: Record | Glance) -> bool:
        return record.sequence <= self.sequence

    def _is_older_and_fresh(self, record: Record | Glance) -> bool:
        return record.sequence <= self.sequence and not record.flags & Flag.STALE
