"""After a start: journals completed from a trusted index, or the index rebuilt from the journals (DESIGN D4)."""

import os
import uuid
from dataclasses import replace
from pathlib import Path

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.files import Counter
from edge.store.index import Index, Writing
from edge.store.journal import (
    SEALED_BYTES,
    DeleteEntry,
    Entry,
    ExtentEntry,
    ObjectEntry,
    SealedEntry,
    encode_entry,
    header,
    is_sealed,
    read_journal,
)
from edge.store.packs import Pack, Packs
from edge.store.purgelog import PurgeLog
from edge.store.record import Extent, Record


def _read(disk: Disk, packs: Packs, number: int) -> bytes:
    path = packs.journal_path(number)
    if not path.exists():
        return b""
    fd = disk.open(path, os.O_RDONLY)
    try:
        return disk.pread(fd, path.stat().st_size, 0)
    finally:
        disk.close(fd)


def _is_sealed(disk: Disk, path: Path) -> bool:
    try:
        fd = disk.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(fd).st_size
        return size > SEALED_BYTES and is_sealed(disk.pread(fd, SEALED_BYTES, size - SEALED_BYTES))
    finally:
        disk.close(fd)


def complete_journals(packs: Packs, index: Index, disk: Disk, volume: uuid.UUID) -> None:
    """A run that was killed left entries unwritten that its index has: write them for every unsealed journal.

    The data they name survived in the page cache; it is made durable first, as always.
    """
    for pack in list(packs.all.values()):
        if _is_sealed(disk, packs.journal_path(pack.number)):
            continue
        entries = list(read_journal(_read(disk, packs, pack.number), pack.number, volume))
        if entries and isinstance(entries[-1], SealedEntry):
            continue
        known = {(e.generation, e.extent.start) for e in entries if isinstance(e, ExtentEntry)}
        objects = {(e.name, e.record.generation) for e in entries if isinstance(e, ObjectEntry)}
        missing: list[Entry] = []
        used = 0
        placed = index.placed(pack.number)
        while placed:
            for entry in placed:
                used = max(used, entry.offset + entry.length)
                record = index.record(entry.name)
                if record is None or record.generation != entry.generation:
                    continue
                if (entry.name, entry.generation) not in objects:
                    objects.add((entry.name, entry.generation))
                    missing.append(ObjectEntry(entry.name, record))
                if (entry.generation, entry.start) not in known:
                    extent = next((e for e in index.extents(record) if e.start == entry.start), None)
                    if extent is not None and extent.pack == pack.number:
                        missing.append(ExtentEntry(entry.name, entry.generation, extent))
            placed = index.placed(pack.number, placed[-1].offset)
        pack.used = max(pack.used, used)
        _rewrite(packs, pack, [*entries, *missing, SealedEntry(pack.used)], disk, volume)


def _rewrite(packs: Packs, pack: Pack, entries: list[Entry], disk: Disk, volume: uuid.UUID) -> None:
    """Replace a journal whose end may be torn by one that is whole."""
    fd = disk.open(packs.pack_path(pack.number), os.O_RDWR)
    try:
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    path = packs.journal_path(pack.number)
    draft = path.with_suffix(".new")
    fd = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        raw = header(pack.number, volume, pack.row) + b"".join(encode_entry(entry) for entry in entries)
        disk.pwrite(fd, raw, 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.rename(draft, path)


class Rebuild:
    """Rebuilds an index from the journals, a journal a step, newest pack first, while the volume serves.

    A name's record is the one with the highest sequence; extents join the record of their generation, whichever
    journal either stands in, so extents that are read before their record wait.
    """

    def __init__(
        self, packs: Packs, index: Index, disk: Disk, volume: uuid.UUID, counter: Counter, purges: PurgeLog
    ) -> None:
        self._packs, self._index, self._disk, self._volume = packs, index, disk, volume
        self._purges = purges
        self.damaged = 0  # journals that were not whole
        self._counter = counter
        self._left = sorted(packs.all, reverse=True)
        self._whole = max(1, len(self._left))
        self._deleted: dict[bytes, int] = {}  # name -> highest sequence at which it was deleted
        self._orphans: dict[tuple[bytes, int], list[Extent]] = {}
        self.sequence = 0
        self.generation = 0

    @property
    def progress(self) -> float:
        return 1.0 - len(self._left) / self._whole

    def step(self) -> bool:
        """Read one journal; False when none is left."""
        if not self._left:
            return False
        number = self._left.pop(0)
        pack = self._packs.all.get(number)
        if pack is not None:
            entries, whole = self._entries(number)
            self.damaged += not whole
            try:
                with self._index.writing() as txn:
                    self._take(txn, pack, entries)
            except StoreError:
                pass  # the map is full: what has been rebuilt so far is served
        if not self._left:
            self._orphans.clear()
            self._counter.at_least(0, self.generation)
        return bool(self._left)

    def _entries(self, number: int) -> tuple[list[Entry], bool]:
        """A journal's good entries, and whether it is whole: without a bad one, and with its last."""
        bad: list[int] = []
        try:
            raw = _read(self._disk, self._packs, number)
            entries = list(read_journal(raw, number, self._volume, bad.append))
        except (FormatUnknown, OSError):
            return [], False
        return entries, not bad and bool(entries) and isinstance(entries[-1], SealedEntry)

    def _take(self, txn: Writing, pack: Pack, entries: list[Entry]) -> None:
        """Sequences decide, not the order of entries: each name's newest record is written once, with its extents."""
        used = 0
        newest: dict[bytes, Record] = {}
        extents: dict[tuple[bytes, int], dict[int, Extent]] = {}
        for entry in entries:
            match entry:
                case ObjectEntry(name, record, _):
                    self.sequence = max(self.sequence, record.sequence)
                    self.generation = max(self.generation, record.generation)
                    if name not in newest or newest[name].sequence < record.sequence:
                        newest[name] = record
                case ExtentEntry(name, generation, extent):
                    used = max(used, extent.offset + extent.length)
                    extents.setdefault((name, generation), {})[extent.start] = extent
                case DeleteEntry(name, _, sequence):
                    self._take_delete(txn, name, sequence)
                case SealedEntry(size):
                    used = max(used, size)
        for name, record in newest.items():
            if not self._take_new(txn, name, record, extents):
                self._take_record(txn, name, record)
        for (name, generation), found in extents.items():
            for extent in found.values():
                self._take_extent(txn, name, generation, extent)
        pack.used = max(pack.used, used)

    def _take_new(
        self, txn: Writing, name: bytes, record: Record, extents: dict[tuple[bytes, int], dict[int, Extent]]
    ) -> bool:
        """What most entries are: a name that the index does not have yet, with one extent, in this journal."""
        found = extents.get((name, record.generation))
        if found is None or len(found) != 1 or (name, record.generation) in self._orphans:
            return False
        if name in self._deleted or txn.has(name) or self._purges.revised(record) is not record:
            return False
        del extents[name, record.generation]
        (extent,) = found.values()
        if extent.pack in self._packs.all:
            record = txn.add_extent(name, record, extent)
            self.generation = max(self.generation, record.generation)
        txn.put_record(name, record)
        return True

    def _take_record(self, txn: Writing, name: bytes, record: Record) -> None:
        self.sequence = max(self.sequence, record.sequence)
        self.generation = max(self.generation, record.generation)
        revised = self._purges.revised(record)
        if revised is None:  # what older entries say of this name is older still
            self._take_delete(txn, name, record.sequence + 1)
            return
        if self._deleted.get(name, -1) >= record.sequence:
            return
        record = revised
        known = txn.record(name)
        if known is not None and known.sequence >= record.sequence:
            return
        if known is not None and known.generation == record.generation:
            txn.renew_record(name, known, replace(record, first=known.first))
            return
        if known is not None:
            txn.remove_record(name, known, [known.first] if known.first else [])
        record = replace(record, first=None)
        for extent in self._orphans.pop((name, record.generation), ()):
            record = txn.add_extent(name, record, extent)
        txn.put_record(name, record)

    def _take_extent(self, txn: Writing, name: bytes, generation: int, extent: Extent) -> None:
        if extent.pack not in self._packs.all:
            return
        self.generation = max(self.generation, generation)
        known = txn.record(name)
        if known is None or known.generation != generation:
            if known is None or known.generation < generation:
                self._orphans.setdefault((name, generation), []).append(extent)
            return
        first = known.first
        have = first if first is not None and first.start == extent.start else txn.extent(generation, extent.start)
        if have is None or have.pack < extent.pack:  # a later pack has the copy that was appended anew
            renewed = txn.add_extent(name, known, extent)
            if renewed is not known:
                txn.put_record(name, renewed)

    def _take_delete(self, txn: Writing, name: bytes, sequence: int) -> None:
        self.sequence = max(self.sequence, sequence)
        self._deleted[name] = max(sequence, self._deleted.get(name, -1))
        known = txn.record(name)
        if known is not None and known.sequence < sequence:
            txn.remove_record(name, known, [known.first] if known.first else [])
