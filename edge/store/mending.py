"""What of a volume proved bad, and what becomes of it: extents and rows are forgotten, journals written anew."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.errors import StoreError
from edge.store.deletions import Deletions
from edge.store.opening import Opened
from edge.store.rebuild import Rebuild
from edge.store.record import Extent, Flag, Record
from edge.store.recovery import mend_journal
from edge.store.renewal import Renewal
from edge.store.scrub import BadExtent
from edge.store.tables import Placed
from edge.store.tallies import Tallies
from edge.words import Damage, Eviction

LOST_MOST: Final = 100_000  # places, 10 MB


class Mending:
    """Of one volume; runs in the store thread. `failed` is told of errors of the disk that fail nobody's call."""

    def __init__(
        self,
        opened: Opened,
        deletions: Deletions,
        tallies: Tallies,
        rebuild: Callable[[], Rebuild | Renewal | None],
        failed: Callable[[Exception], object],
    ) -> None:
        self._opened, self._index, self._packs = opened, opened.index, opened.packs
        self._deletions, self._tallies, self._rebuild, self._failed = deletions, tallies, rebuild, failed
        self.lost: dict[tuple[int, int], None] = {}  # places of bad extents that a failed disk did not let us forget

    def __repr__(self) -> str:
        return f"<Mending of {self._opened.directory} lost={len(self.lost)}>"

    def is_lost(self, extent: Extent) -> bool:
        return (extent.pack, extent.offset) in self.lost

    def without_lost(self, record: Record) -> Record | None:
        """A record as it would be if its first extent had been forgotten, where that is lost."""
        if record.first is None or not self.is_lost(record.first):
            return record
        return replace(record, first=None) if record.flags & Flag.STRONG else None

    def drop_extent(self, name: bytes, generation: int, pack: int, offset: int, reason: Eviction) -> bool:
        """Forget the extent that proved bad where it lay; an object that is whole or nothing goes as a whole.

        False: it is not there any more, or its object lies elsewhere by now.
        """
        known = self._index.record(name)
        if known is None or known.generation != generation:
            return False
        extents = self._index.extents(known)
        extent = next((found for found in extents if (found.pack, found.offset) == (pack, offset)), None)
        if extent is None:
            return False
        try:
            if not known.flags & Flag.STRONG:
                return self._deletions.delete(name, generation, reason)
            with self._index.writing() as txn:
                txn.put_record(name, txn.remove_extent(name, known, extent))
        except StoreError:  # then it is in the index as long as this disk is like that, and we must know better
            self.lost[extent.pack, extent.offset] = None
            if len(self.lost) > LOST_MOST:
                del self.lost[next(iter(self.lost))]
            raise
        rebuild = self._rebuild()
        if rebuild is not None:
            rebuild.drop(pack, offset)
        self._tallies.evicted(reason, 1, extent.length)
        return True

    def found_bad(self, bad: BadExtent) -> None:
        """Forget what the scrubber has found."""
        self._tallies.damage[bad.damage] += 1
        if bad.damage is Damage.INDEX:
            self._forget_damaged(bad)
            return
        if bad.damage is Damage.STORE_FAILED:
            self._failed(OSError(errno.EIO, os.strerror(errno.EIO)))
        self.drop_extent(bad.name, bad.generation, bad.pack, bad.offset, Eviction.CORRUPT)

    def _forget_damaged(self, bad: BadExtent) -> None:
        """A row that is not what was written has been none for who looked it up: the object is fetched again."""
        placed = Placed(bad.pack, bad.offset, bad.name, bad.generation, bad.start, bad.length)
        if self._index.is_damaged(placed):
            with self._index.writing() as txn:
                txn.forget_damaged(placed)
            self._tallies.evicted(Eviction.CORRUPT, 1, bad.length)

    def mend_journal(self, number: int) -> None:
        """The scrubber has found a sealed journal damaged: a lost index would cost what it no more says."""
        pack = self._packs.all.get(number)
        if pack is None or pack.journal_fd >= 0:
            return
        self._tallies.damage[Damage.JOURNAL] += 1
        if self._rebuild() is None and self._index.is_whole(number):
            mend_journal(pack, self._packs, self._index, self._opened.disk, self._opened.identity.volume)

    def note_scrubbed(self, pack: int) -> None:
        """A pass has got so far: after a start it goes on there."""
        with self._index.writing() as txn:
            txn.set_meta(b"scrubbed", pack)
