"""A purge at work in the store's thread, a bounded step at a time, so that fills are not held up.

Order is that of the queue: what was to be committed before the purge began is in the index when its steps come by;
what is committed meanwhile has a higher sequence number and stays.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edge.policy.purges import Purge, Scope
from edge.store.index import KEY_CUT, Side, tag_row
from edge.store.record import Flag, Glance, Record
from edge.words import Eviction

if TYPE_CHECKING:
    from edge.store.volume import Volume

STEP: Final = 500  # objects: some 10 ms, while commits and writes wait
NAME: Final = 16  # bytes at a row's end


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
        self._sure = len(what.text) < KEY_CUT and not what.site  # what its rows name is what is meant
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
        index = self._volume.index
        found = index.rows(where.side, where.prefix, self._after, STEP)
        names = [row[-NAME:] for row in found]
        if self._dry:
            for record in filter(None, map(index.record, names)):
                if self._means(record):
                    self.objects += 1
                    self.length += sum(extent.length for extent in index.extents(record))
        else:
            with index.writing() as txn:
                objects, length = txn.purge(names, self._means, soft=self._what.soft)
            self.objects += objects
            self.length += length
            if not self._what.soft:
                self._volume.evictions[Eviction.PURGE] += objects
        if len(found) < STEP:
            self._ranges.pop(0)
            self._after = b""
        else:
            self._after = found[-1]
        return bool(self._ranges)

    def _means(self, record: Record | Glance) -> bool:
        if record.sequence > self.sequence:
            return False
        if not self._sure and not self._what.matches(record.key, record.tags):
            return False
        return not (self._what.soft and record.flags & Flag.STALE)
