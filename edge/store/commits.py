"""What a fill has brought becomes part of the volume: in the index at once, in the journals when it is durable."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from edge.errors import IndexFull, StoreError
from edge.store.budget import SPENT
from edge.store.index import Index
from edge.store.journal import DeleteEntry, ExtentEntry, ObjectEntry
from edge.store.live import LiveTable, split_live
from edge.store.numbers import Numbers
from edge.store.packs import Packs
from edge.store.rebuild import Rebuild
from edge.store.record import Extent, Record
from edge.store.renewal import Renewal
from edge.store.room import Room
from edge.store.tallies import Tallies
from edge.store.writing import Writing
from edge.words import Eviction

Logged = list[tuple[int, ObjectEntry | ExtentEntry]]  # by pack


class Commits:
    """Of one volume; runs in the store thread."""

    def __init__(
        self,
        index: Index,
        live: LiveTable,
        packs: Packs,
        room: Room,
        tallies: Tallies,
        numbers: Numbers,
        rebuild: Callable[[], Rebuild | Renewal | None],
    ) -> None:
        self._index, self._live, self._packs, self._room = index, live, packs, room
        self._tallies, self._numbers, self._rebuild = tallies, numbers, rebuild

    def __repr__(self) -> str:
        return f"<Commits of {self._index.path}>"

    def commit_many(self, batch: Sequence[tuple[bytes, Record, Sequence[Extent]]]) -> list[bool]:
        """Several commits in one transaction: all visible at once, or StoreError and none.

        Where the index is full, something leaves first.
        """
        try:
            return self._commit_all(batch)
        except IndexFull:
            if not self._room.make_index_room():
                raise
        if any(extent.pack not in self._packs.all for _, _, extents in batch for extent in extents):
            raise StoreError("what was to be kept had to leave at once: the index is full")
        return self._commit_all(batch)

    def _commit_all(self, batch: Sequence[tuple[bytes, Record, Sequence[Extent]]]) -> list[bool]:
        kept = []
        logged: Logged = []
        ended: list[DeleteEntry] = []
        replaced: list[int] = []
        with self._index.writing() as txn:
            for name, record, extents in batch:
                kept.append(self._commit(txn, name, record, extents, logged, ended, replaced))
            self._numbers.note(txn)
            txn.set_meta(SPENT, self._room.budget.mark)
        self._tallies.evicted(Eviction.REPLACED, len(replaced), sum(replaced))  # not of what was tried in vain before
        self._tallies.admissions += sum(kept)
        self._tallies.admitted_bytes += sum(
            extent.length for (_, _, extents), is_kept in zip(batch, kept, strict=True) if is_kept for extent in extents
        )
        for end in ended:  # what has taken its place may leave before it, and its journal with it
            self._say_ended(end)
        for pack, entry in logged:
            self._packs.log(pack, entry)
            if isinstance(entry, ObjectEntry):
                with suppress(StoreError):  # sweeping tries again
                    self._live.drop(entry.name)  # a lasting answer takes the place of a short-lived one
        return kept

    def _say_ended(self, end: DeleteEntry) -> None:
        """No version older than that is to come back, from journals that outlive what came after it."""
        rebuild = self._rebuild()
        if rebuild is not None:
            rebuild.forget(end.name, end.sequence)
        with suppress(StoreError):
            self._packs.log_for_certain(end)

    def _commit(
        self,
        txn: Writing,
        name: bytes,
        record: Record,
        extents: Sequence[Extent],
        logged: Logged,
        ended: list[DeleteEntry],
        replaced: list[int],
    ) -> bool:
        known = txn.record(name)
        pack = extents[0].pack if extents else (self._packs.active.number if self._packs.active else 0)
        if known is not None and known.generation == record.generation:
            if record.stored_at > known.stored_at:  # the same version, and the origin has just said so
                record = replace(record, sequence=self._numbers.next_sequence(), first=known.first)
                logged.append((pack, ObjectEntry(name, record, refresh=True)))
            else:
                record = known
        else:
            if known is not None:
                if known.generation > record.generation:
                    return False  # a newer version has been kept meanwhile
                gone = self._index.extents(known)
                txn.remove_record(name, known, gone)
                replaced.append(sum(extent.length for extent in gone))
            if known is not None or self._rebuild() is not None or self._room.is_half_gone:  # a journal may know it
                ended.append(DeleteEntry(name, known.generation if known else 0, self._numbers.next_sequence()))
            record = replace(record, sequence=self._numbers.next_sequence(), first=None)
            logged.append((pack, ObjectEntry(name, record)))
            if self._room.popularity.hits is not None:
                self._room.popularity.hits.touch(name)
        for extent in extents:
            record = txn.add_extent(name, record, extent)
            logged.append((extent.pack, ExtentEntry(name, record.generation, extent)))
        if known is not None and known.generation == record.generation:
            txn.renew_record(name, known, record)
        else:
            txn.put_record(name, record)
        return True

    def refresh(self, name: bytes, record: Record) -> bool:
        """The record after a 304: the same generation with new freshness. False if it is gone meanwhile."""
        live = self._live.raw(name)
        if live is not None:
            known, body = split_live(live)
            return known.generation == record.generation and self._live.put(name, record, body)
        with self._index.writing() as txn:
            stored = txn.record(name)
            if stored is None or stored.generation != record.generation:
                return False
            record = replace(record, sequence=self._numbers.next_sequence(), first=stored.first)
            txn.renew_record(name, stored, record)
            txn.set_meta(b"sequence", self._numbers.sequence)
        if self._packs.active is not None:
            self._packs.log(self._packs.active.number, ObjectEntry(name, record, refresh=True))
        return True
