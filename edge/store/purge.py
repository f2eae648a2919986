"""A purge at work in the store's thread, a bounded step at a time, so that fills are not held up.

Order is that of the queue: what was to be committed before the purge began is in the index when its steps come by;
what is committed meanwhile has a higher sequence number and stays.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edge.policy.purges import Purge, Scope
from edge.store.index import KEY_CUT, Side, tag_row
from edge.store.record import Flag, Record
from edge.words import Eviction

if TYPE_CHECKING:
    from edge.store.volume import Volume

STEP: Final = 500  # objects: some 10 ms, while commits and writes wait


@dataclass(frozen=True, slots=True)
class Range:
    """Rows of a side table that begin alike."""

    side: Side
    prefix: bytes


def ranges(what: Purge) -> list[Range]:
    """Where the objects of a purge are found; more may lie there, none lies elsewhere."""
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

    def __init__(self, volume: "Volume", what: Purge, sequence: int, before: int, *, dry: bool = False) -> None:
        self._volume, self._what = volume, what
        self.sequence, self._before, self._dry = sequence, before, dry
        self._ranges = ranges(what)
        self._after = b""
        self.objects = 0
        self.length = 0

    def __repr__(self) -> str:
        return f"<Purging {self._what} objects={self.objects}>"

    def begin(self) -> None:
        """What is short-lived goes at once: the table is small."""
        if not self._dry:
            self.objects += self._volume.live.revise(self._revised_live)
            return
        seen: list[Record] = []

        def count(record: Record) -> Record:
            if self._revised_live(record) is not record:
                seen.append(record)
            return record

        self._volume.live.revise(count)
        self.objects += len(seen)

    def _revised_live(self, record: Record) -> Record | None:
        if record.generation >= self._before or not self._what.matches(record.key, record.tags):
            return record
        return replace(record, flags=record.flags | Flag.STALE) if self._what.soft else None

    def step(self) -> bool:
        """Forget some objects; False when none is left."""
        if not self._ranges:
            return False
        where = self._ranges[0]
        found = self._volume.index.scan(where.side, where.prefix, self._after, STEP)
        meant = [(name, record) for _, name, record in found if self._means(record)]
        self.objects += len(meant)
        if self._dry:
            self.length += sum(self._stored(record) for _, record in meant)
        elif self._what.soft:
            self._mark(meant)
        else:
            self._remove(meant)
        if len(found) < STEP:
            self._ranges.pop(0)
            self._after = b""
        else:
            self._after = found[-1][0]
        return bool(self._ranges)

    def _means(self, record: Record) -> bool:
        if record.sequence > self.sequence or not self._what.matches(record.key, record.tags):
            return False
        return not (self._what.soft and record.flags & Flag.STALE)

    def _stored(self, record: Record) -> int:
        return sum(extent.length for extent in self._volume.index.extents(record))

    def _mark(self, meant: list[tuple[bytes, Record]]) -> None:
        with self._volume.index.writing() as txn:
            for name, record in meant:
                txn.put_record(name, replace(record, flags=record.flags | Flag.STALE))
        self.length += sum(self._stored(record) for _, record in meant)

    def _remove(self, meant: list[tuple[bytes, Record]]) -> None:
        index = self._volume.index
        with index.writing() as txn:
            for name, record in meant:
                extents = txn.extents(record)
                self.length += sum(extent.length for extent in extents)
                txn.remove_record(name, record, extents)
        self._volume.evictions[Eviction.PURGE] += len(meant)
