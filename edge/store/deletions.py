"""Objects that are deleted and stay so: no journal that is older brings them back."""

from collections.abc import Callable
from typing import Final

from edge.errors import StoreError
from edge.store.index import Index
from edge.store.journal import DeleteEntry
from edge.store.live import LiveTable
from edge.store.numbers import Numbers
from edge.store.packs import Packs
from edge.store.purge import Purges
from edge.store.rebuild import Rebuild
from edge.store.renewal import Renewal
from edge.store.room import Room
from edge.store.tallies import Tallies
from edge.words import Eviction

FORGOTTEN_MOST: Final = 100_000  # names, 10 MB; beyond it a deletion is journalled once more


class Deletions:
    """Of one volume; runs in the store thread."""

    def __init__(
        self,
        index: Index,
        live: LiveTable,
        packs: Packs,
        purges: Purges,
        numbers: Numbers,
        tallies: Tallies,
        rebuild: Callable[[], Rebuild | Renewal | None],
        room: Room,
    ) -> None:
        self._index, self._live, self._packs, self._purges = index, live, packs, purges
        self._numbers, self._tallies, self._rebuild = numbers, tallies, rebuild
        self._room = room
        self._unread = bool(index.unread_journals())
        self._forgotten: set[bytes] = set()  # names that journals which were not read may know, deleted in this run

    def __repr__(self) -> str:
        return f"<Deletions of {self._index.path} forgotten={len(self._forgotten)}>"

    def delete(self, name: bytes, generation: int | None, reason: Eviction) -> bool:
        """Forget an object (only that generation, if one is given); journalled, so that no rebuild brings it back."""
        self._live.drop(name)
        with self._index.writing() as txn:
            known = txn.record(name)
            if known is None and (generation is not None or not self.may_come_back(name)):
                return False
            if known is not None and generation not in (None, known.generation):
                return False
            extents = self._index.extents(known) if known is not None else []
            if known is not None:
                txn.remove_record(name, known, extents)
            sequence = self._numbers.next_sequence()
            txn.set_meta(b"sequence", sequence)
        rebuild = self._rebuild()
        if rebuild is not None:  # nor is an older one to come back, known by now or not
            rebuild.forget(name, sequence)
        try:
            self._packs.log_for_certain(DeleteEntry(name, known.generation if known is not None else 0, sequence))
        except StoreError:  # no pack can be begun for it; the log of purges needs none
            if known is not None:
                self._purges.note(known.key, sequence)
        if self._unread:
            if len(self._forgotten) >= FORGOTTEN_MOST:
                self._forgotten.clear()
            self._forgotten.add(name)
        if known is not None:
            self._tallies.evicted(reason, 1, sum(extent.length for extent in extents))
        return known is not None

    def may_come_back(self, name: bytes) -> bool:
        """May a journal have what the index has not, or has forgotten? What it says is older than a deletion."""
        unread = self._unread and name not in self._forgotten
        return unread or self._rebuild() is not None or self._room.is_half_gone

    def note_rebuilt(self) -> None:
        """All journals have been read that the disk gives."""
        self._unread = bool(self._index.unread_journals())
