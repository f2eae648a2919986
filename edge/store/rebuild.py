"""The index, rebuilt from the journals while the volume serves (DESIGN D4)."""

import logging
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

import lmdb

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.files import Counter
from edge.store.index import Index
from edge.store.journal import HEADER_BYTES, flipped, is_of
from edge.store.pack import row_in
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.record import Extent, Record, decode_extent, decode_record
from edge.store.recovery import read_whole
from edge.store.stretch import (
    GENERATION,
    NAME,
    OWNER,
    Stretch,
    extent_row,
    in_order,
    key_and_tags,
    place_row,
    record_rows,
)
from edge.store.tables import UNFINISHED
from edge.store.writing import Writing

ENTRIES: Final = 2048  # a step at most: a transaction's cost is shared by many
ENTRIES_LEAST: Final = 128
ENTRIES_FIRST: Final = 512
STEP_SECONDS: Final = 0.015  # in which commits and writes wait: the next step takes as many as this one had time for
TRIES: Final = 3  # at a journal that the disk does not give
AGAIN_SECONDS: Final = 5.0  # until the next one: a cable that was touched, a controller that begins anew
JOURNALS: Final = 16  # opened in a step: on a disk that turns each may cost a seek

log = logging.getLogger("edge.store")


class Rebuild:
    """A bounded stretch of journals a step, newest pack first.

    A name's record is the one with the highest sequence; extents join the record of their generation, whichever
    journal either stands in, so extents that are read before their record wait. What most entries are (a name that
    the index does not have yet, with its extents beside it) goes there as bytes, the rest is decoded and weighed.
    """

    def __init__(
        self,
        packs: Packs,
        index: Index,
        disk: Disk,
        volume: uuid.UUID,
        counter: Counter,
        purges: PurgeLog,
        numbers: Iterable[int],
        tried: Collection[int] = (),
    ) -> None:
        self._packs, self._index, self._disk, self._volume = packs, index, disk, volume
        self._purges = purges
        self._damaged = 0  # journals that were not whole
        self._counter = counter
        self.left = sorted(numbers)  # packs, the newest last
        self._is_last = packs.all.keys() <= set(self.left)  # what is missing is not in other journals
        self._most = ENTRIES_FIRST  # in a step
        self._whole = max(1, len(self.left))
        self._number, self._raw, self._at = 0, b"", 0  # the journal that is being read
        self._bad = False  # it is not whole
        self._missed = False  # the index could not be written: the next start begins anew
        self._unread: list[int] = []  # packs whose journals the disk did not give
        self._tried = tried  # packs whose journals the start before has tried in vain
        self._tries = 1
        self._failed_in = 0  # the last of these in which the disk has failed
        self._again_at = 0.0
        self._disk_errors = 0
        self._sound: list[int] = []  # packs whose journals are, read in this step
        self._deleted: dict[bytes, int] = {}  # name -> highest sequence at which it was deleted
        self._orphans: dict[bytes, list[bytes]] = {}  # name + generation -> entries of extents
        self.sequence = 0
        self.generation = 0

    def __repr__(self) -> str:
        return f"<Rebuild left={len(self.left)} unread={len(self._unread)} orphans={len(self._orphans)}>"

    @property
    def progress(self) -> float:
        return 1.0 - min(1.0, (len(self.left) + len(self._unread)) / self._whole)

    def forget(self, name: bytes, sequence: int) -> None:
        """An object was deleted meanwhile: what journals say of it, as far as it is older, is not to come back."""
        self._deleted[name] = max(sequence, self._deleted.get(name, -1))

    def drop(self, pack: int, offset: int) -> None:
        """A bad extent was dropped meanwhile: read later than that, it is found to be bad once more."""

    def add(self, numbers: Iterable[int]) -> None:
        """Read the journals of these packs as well, the last ones."""
        self.left = sorted({*self.left, *self._unread, *numbers})
        self._unread = []
        self._whole = max(1, len(self.left))
        self._is_last = True

    def take_damaged(self) -> int:
        """Journals found not to be whole since the last call."""
        taken, self._damaged = self._damaged, 0
        return taken

    def take_disk_errors(self) -> int:
        """How often since the last call the disk did not give a journal."""
        taken, self._disk_errors = self._disk_errors, 0
        return taken

    @property
    def waits(self) -> bool:
        """Is there nothing to be read before the next try?"""
        return not self._raw and time.perf_counter() < self._again_at

    def close(self) -> None:
        """Nothing is open between steps."""

    def step(self) -> bool:
        """Read some more; False when nothing is left."""
        if self.waits:
            return True
        began, most = time.perf_counter(), min(self._most, ENTRIES)
        more = self._step(most)
        took = time.perf_counter() - began
        self._most = max(ENTRIES_LEAST, min(ENTRIES, 2 * most, int(most * STEP_SECONDS / took)))
        return more

    def _step(self, most: int) -> bool:
        stretch = Stretch()
        self._sound.clear()
        opened = 0
        if self._number not in self._packs.all:  # evicted since the last step
            self._raw = b""
        while stretch.entries < most and (self._raw or (self.left and opened < JOURNALS)):
            if not self._raw:
                opened += 1
                self._open_next()
            else:
                self._read_on(stretch, most)
        over = not self.left and not self._raw and not self._tries_again()
        self.sequence = max(self.sequence, stretch.sequence)
        self.generation = max(self.generation, stretch.generation)
        for number, used in stretch.used.items():
            pack = self._packs.all.get(number)
            if pack is not None:
                self._packs.holds_up_to(pack, used)
        try:
            with self._index.writing() as txn:
                self._take(txn, stretch)
                for number in self._sound:
                    txn.note_whole(number, self._packs.all[number].row)
                if over and self._is_last and not self._missed:
                    self._finish(txn)
        except StoreError as error:  # the map is full: what has been rebuilt so far is served
            self._missed = self._missed or not isinstance(error.__cause__, lmdb.MapFullError)
        if over and self._is_last:
            self._orphans.clear()
            self._counter.at_least(0, self.generation)
        return not over

    def _finish(self, txn: Writing) -> None:
        for number in self._tried:
            txn.forget_unread(number)
        for number in self._unread:
            if number in self._tried:
                self._damaged += 1
            elif number in self._packs.all:
                txn.note_unread(number)
        txn.set_meta(UNFINISHED, 0)

    def _tries_again(self) -> bool:
        """Are there journals that could not be read, and is it worth another try?"""
        if not self._unread or not self._is_last:  # a builder reads them, too; if it cannot, they are added again
            return False
        if self._tries == TRIES:
            log.error("%d journals cannot be read: the next start tries again", len(self._unread))
            return False
        self._tries += 1
        self.left, self._unread = sorted(self._unread), []
        self._again_at = time.perf_counter() + AGAIN_SECONDS  # no other journals are left
        return True

    def _open_next(self) -> None:
        self._number = self.left.pop()
        pack = self._packs.all.get(self._number)
        if pack is None:  # evicted meanwhile
            return
        try:
            raw = read_whole(self._disk, self._packs, self._number)
            if is_of(raw, self._number, self._volume):
                self._raw, self._at = raw, HEADER_BYTES
                self._bad = flipped(raw, self._number, self._volume) > 0
                pack.row = row_in(raw)
                return
        except FormatUnknown:
            pass
        except OSError as error:  # its pack stays: what lies there is found by another try, or by the next start
            log.warning("the journal of pack %d cannot be read: %s", self._number, error)
            self._unread.append(self._number)
            self._disk_errors += self._failed_in < self._tries  # many at once are one that the disk has made
            self._failed_in = self._tries
            return
        self._damaged += 1

    def _read_on(self, stretch: Stretch, most: int) -> None:
        bad: list[int] = []
        try:
            at = stretch.take(self._raw, self._at, self._number, most - stretch.entries, bad.append)
        except FormatUnknown:
            at = None
            bad.append(0)
        self._at = at or 0
        self._bad = self._bad or bool(bad)
        if at is None:
            self._damaged += self._bad
            if not self._bad:
                self._sound.append(self._number)
            self._raw, self._bad = b"", False

    # -- into the index --------------------------------------------------------------------------

    def _take(self, txn: Writing, stretch: Stretch) -> None:
        """Sequences decide, not the order of entries: each name's newest record is written once, with its extents."""
        for name, sequence in stretch.deleted.items():
            self.forget(name, sequence)
            self._remove(txn, name, sequence)
        for name in self._take_new(txn, stretch):
            payload = stretch.objects[name][1]
            self._take_record(txn, name, decode_record(payload[NAME:]))
        for owner, payloads in stretch.extents.items():
            self._take_extents(txn, owner, payloads)

    def _take_new(self, txn: Writing, stretch: Stretch) -> list[bytes]:
        """Take what needs no weighing, with its extents; returns the names of the rest."""
        deleted, orphans, extents, packs = self._deleted, self._orphans, stretch.extents, self._packs.all
        purged, put = self._purges.newest, txn.put_name()
        places: list[tuple[bytes, bytes]] = []
        further: list[tuple[bytes, bytes]] = []
        keys: list[tuple[bytes, bytes]] = []
        tags: list[tuple[bytes, bytes]] = []
        rest: list[bytes] = []
        for name in sorted(stretch.objects):
            sequence, payload = stretch.objects[name]
            generation = payload[GENERATION]
            owner = name + generation
            if name in deleted or owner in orphans or (sequence < purged and self._is_purged(sequence, payload)):
                rest.append(name)
                continue
            found = extents.get(owner)
            there = in_order(found, packs) if found is not None else ()
            rows = record_rows(payload, there[0] if there else None)
            if rows is None or not put(name, rows[0], overwrite=False):
                rest.append(name)
                continue
            if found is not None:
                del extents[owner]
                places += [place_row(extent) for extent in there]
                further += [extent_row(extent) for extent in there[1:]]
            keys.append((rows[1], generation))
            tags += [(tag, generation) for tag in rows[2]]
        for table, rows_of in ((txn.places, places), (txn.extents_table, further), (txn.keys, keys), (txn.tags, tags)):
            txn.put_rows(table, rows_of)
        return rest

    def _is_purged(self, sequence: int, payload: bytes) -> bool:
        return self._purges.concerns(sequence, *key_and_tags(payload))

    def _take_record(self, txn: Writing, name: bytes, record: Record) -> None:
        revised = self._purges.revised(record)
        if revised is None:  # what older entries say of this name is older still
            self.forget(name, record.sequence + 1)
            self._remove(txn, name, record.sequence + 1)
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
        for payload in self._orphans.pop(_owner(name, record.generation), ()):
            record = txn.add_extent(name, record, _extent(payload))
        txn.put_record(name, record)

    def _take_extents(self, txn: Writing, owner: bytes, payloads: list[bytes]) -> None:
        """Extents whose record did not stand beside them."""
        name, generation = owner[:NAME], int.from_bytes(owner[NAME:], "little")
        self.generation = max(self.generation, generation)
        there = in_order(payloads, self._packs.all)
        known = txn.record(name) if there else None
        if known is None or known.generation != generation:
            if there and (known is None or known.generation < generation):
                self._orphans.setdefault(owner, []).extend(there)
            return
        record = known
        for extent in map(_extent, there):
            first = record.first
            beside = first is None or first.start != extent.start
            have = txn.extent(generation, extent.start) if beside else first
            if have is None or have.pack < extent.pack:  # a later pack has the copy that was appended anew
                record = txn.add_extent(name, record, extent)
        if record is not known:
            txn.put_record(name, record)

    def _remove(self, txn: Writing, name: bytes, sequence: int) -> None:
        known = txn.record(name)
        if known is not None and known.sequence < sequence:
            txn.remove_record(name, known, [known.first] if known.first else [])


def _owner(name: bytes, generation: int) -> bytes:
    return name + generation.to_bytes(8, "little")


def _extent(payload: bytes) -> Extent:
    return decode_extent(payload, OWNER)[0]
