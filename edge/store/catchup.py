"""An index that was built from journals learns what has happened since, until nothing is left; then it is the index.

What counts is the old index, which has served meanwhile: it knows of all that this run has done, and of little else.
  - packs that are gone: nothing lies there any more
  - purges: done once more, all of them; what is younger than a purge stays, here as there
  - names that were written: the record with the higher sequence, with the extents that either index has of it
  - names that were deleted: what is older than the deletion goes
Done in bounded steps, between commits; each may bring more to do, but never as much as a step takes.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.purging import Purging
from edge.store.record import Extent
from edge.store.tables import UNFINISHED, UNREAD
from edge.store.tallies import Tallies
from edge.store.writing import Writing

STEP_SECONDS: Final = 0.02
PLACES: Final = 500  # of a pack that is gone, in a transaction
NAMES: Final = 50  # between two looks at the clock


class Meanwhile:
    """What the old index alone does not tell of: the order of things. Noted by the volume while a build goes on."""

    def __init__(self, packs: Iterable[int], sequence: int) -> None:
        self.packs = set(packs)  # that the new index may name
        self.sequence = sequence  # purges up to it are known to the new index
        self.touched: set[bytes] = set()
        self.deleted: dict[bytes, int] = {}  # name -> sequence
        self.dropped: set[tuple[int, int]] = set()  # places of bad extents

    def __repr__(self) -> str:
        return f"<Meanwhile touched={len(self.touched)} deleted={len(self.deleted)}>"


class CatchUp:
    """`step` until it returns False; then, before anything else happens, `finish`."""

    def __init__(
        self, old: Index, new: Index, packs: Packs, live: LiveTable, log: PurgeLog, meanwhile: Meanwhile
    ) -> None:
        self._old, self._new, self._packs, self._live, self._log = old, new, packs, live, log
        self._meanwhile = meanwhile
        self._gone: list[int] = []
        self._purging: Purging | None = None

    def __repr__(self) -> str:
        return f"<CatchUp {self._meanwhile} gone={len(self._gone)}>"

    def step(self) -> bool:
        """False: nothing is left."""
        meanwhile = self._meanwhile
        there = self._packs.all.keys()
        self._gone += meanwhile.packs - there
        meanwhile.packs = set(there)
        if self._gone:
            self._forget_pack(self._gone[-1])
        elif self._purges_are_left():
            pass
        elif meanwhile.touched:
            self._merge_some(time.perf_counter() + STEP_SECONDS)
        else:
            return False
        return True

    def finish(self, unread: Iterable[int] = ()) -> None:
        """The new index has the counters of the old one, and is whole but for packs whose journals are `unread`."""
        with self._new.writing() as txn:
            for key, value in self._old.counters().items():
                if not key.startswith(UNREAD):
                    txn.set_meta(key, value)
            for pack in unread:
                txn.note_unread(pack)
            txn.set_meta(UNFINISHED, 0)

    def _forget_pack(self, pack: int) -> None:
        placed = self._new.placed(pack, limit=PLACES)
        with self._new.writing() as txn:
            for entry in placed:
                txn.forget_place(entry)
        if not self._new.left_in(pack, placed, 1):
            self._gone.remove(pack)

    def _purges_are_left(self) -> bool:
        """Do a step of those that were noted since."""
        if self._purging is None:
            if self._log.newest <= self._meanwhile.sequence:
                return False
            since = self._log.since(self._meanwhile.sequence)
            first = since[0][1].sequence if since else self._log.newest
            whats = [what for what, logged in since if logged.sequence == first]
            self._purging = Purging(self._new, self._live, Tallies(), whats, first, 0)
        if not self._purging.step():
            self._meanwhile.sequence = self._purging.sequence
            self._purging = None
        return True

    def _merge_some(self, until: float) -> None:
        touched = self._meanwhile.touched
        with self._new.writing() as txn:
            while touched and time.perf_counter() < until:
                for _ in range(min(NAMES, len(touched))):
                    self._merge(txn, touched.pop())

    def _merge(self, txn: Writing, name: bytes) -> None:
        known, record = txn.record(name), self._old.record(name)
        if record is not None:  # a purge that has begun may not have come to it there, and has been done here
            record = self._log.revised(record)
        before = self._new.extents(known) if known is not None else []
        if known is not None and known.sequence < self._meanwhile.deleted.get(name, -1):
            txn.remove_record(name, known, before)
            known, before = None, []
        if record is None:
            return
        same = known is not None and known.generation == record.generation
        if known is not None and not same and known.sequence >= record.sequence:
            return
        extents = {extent.start: extent for extent in self._old.extents(record)}
        if known is not None:
            txn.remove_record(name, known, before)
            if same:
                record = known if known.sequence > record.sequence else record
                for extent in self._kept(before):
                    extents.setdefault(extent.start, extent)
        record = replace(record, first=None)
        for start in sorted(extents):
            record = txn.add_extent(name, record, extents[start])
        txn.put_record(name, record)

    def _kept(self, extents: Sequence[Extent]) -> list[Extent]:
        return [extent for extent in extents if (extent.pack, extent.offset) not in self._meanwhile.dropped]
