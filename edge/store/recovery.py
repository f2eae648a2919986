"""After a start with a trusted index: the journals are completed from it (DESIGN D4)."""

import logging
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.index import Index
from edge.store.journal import (
    HEADER_BYTES,
    Entry,
    ExtentEntry,
    ObjectEntry,
    SealedEntry,
    encode_entry,
    header,
    is_of,
    read_journal,
)
from edge.store.pack import Pack
from edge.store.packs import Packs

TRIED: Final = 3  # journals

log = logging.getLogger("edge.store")


def read_whole(disk: Disk, packs: Packs, number: int) -> bytes:
    """A pack's journal; empty if there is none."""
    path = packs.journal_path(number)
    if not path.exists():
        return b""
    fd = disk.open(path, os.O_RDONLY)
    try:
        return disk.pread(fd, path.stat().st_size, 0)
    finally:
        disk.close(fd)


def complete_journals(packs: Packs, index: Index, disk: Disk, volume: uuid.UUID) -> None:
    """A run that was killed left entries unwritten that its index has: write them for every unsealed journal.

    The data they name survived in the page cache; it is made durable first, as always.
    """
    known = index.whole_journals()
    packs.look_at_journals(known)
    left = set()
    for pack in list(packs.all.values()):
        if not pack.journal_whole:
            try:
                _complete(pack, packs, index, disk, volume)
            except OSError as error:  # the index is as good as before: the next start tries again
                log.warning("the journal of pack %d cannot be completed: %s", pack.number, error)
                left.add(pack.number)
    with suppress(StoreError), index.writing() as txn:  # a full one cannot note it: the next start looks again
        for number in packs.all.keys() - known.keys() - left:
            txn.note_whole(number, packs.all[number].row)
        for number in known.keys() - packs.all.keys():
            txn.forget_whole(number)


def complete_newest(packs: Packs, index: Index, disk: Disk, volume: uuid.UUID, first: int) -> None:
    """The same for packs from `first` on, with an index whose rebuild was cut short and which will be made anew.

    What was kept meanwhile is in it and nowhere else.
    """
    for pack in [packs.all[number] for number in sorted(packs.all) if number >= first]:
        packs.look_at_journal(pack)
        if not pack.journal_whole:
            try:
                _complete(pack, packs, index, disk, volume)
            except OSError as error:  # of the others there may be more to be kept
                log.warning("the journal of pack %d cannot be completed: %s", pack.number, error)


def can_be_read(packs: Packs, disk: Disk, numbers: Iterable[int]) -> bool:
    """Does the disk give one of these journals? A few are tried: each that it does not may take seconds."""
    for number in sorted(numbers, reverse=True)[:TRIED]:
        with suppress(OSError):
            read_whole(disk, packs, number)
            return True
    return False


def forget_packs(packs: Packs, index: Index, numbers: Iterable[int]) -> None:
    """Remove packs of which little is known, with what is."""
    for number in numbers:
        with suppress(OSError, StoreError):
            placed = index.placed(number)
            while placed:
                with index.writing() as txn:
                    for entry in placed:
                        txn.forget_place(entry)
                placed = index.left_in(number, placed)
            with index.writing() as txn:
                txn.forget_unread(number)
            packs.remove(packs.all[number])


def mend_journal(pack: Pack, packs: Packs, index: Index, disk: Disk, volume: uuid.UUID) -> None:
    """Write a journal that has been damaged anew: what is good of it, and what the index has of the rest.

    OSError: it cannot be read, or written, now. It stays as it is: of its deletions the index knows nothing.
    """
    raw = read_whole(disk, packs, pack.number)
    try:
        is_of(raw, pack.number, volume)
    except FormatUnknown:  # this program has written it: that is damage, too
        raw = header(pack.number, volume, pack.row) + raw[HEADER_BYTES:]
    entries: list[Entry] = [e for e in read_journal(raw, pack.number, volume) if not isinstance(e, SealedEntry)]
    _add_and_seal(entries, pack, packs, index, disk, volume)


def _complete(pack: Pack, packs: Packs, index: Index, disk: Disk, volume: uuid.UUID) -> None:
    entries = list(read_journal(read_whole(disk, packs, pack.number), pack.number, volume))
    if not entries or not isinstance(entries[-1], SealedEntry):
        _add_and_seal(entries, pack, packs, index, disk, volume)


def _add_and_seal(entries: list[Entry], pack: Pack, packs: Packs, index: Index, disk: Disk, volume: uuid.UUID) -> None:
    known = {(e.generation, e.extent.start) for e in entries if isinstance(e, ExtentEntry)}
    objects = {(e.name, e.record.generation) for e in entries if isinstance(e, ObjectEntry)}
    missing: list[Entry] = []
    used = 0
    placed = index.placed(pack.number)
    while placed:
        for entry in placed:
            used = max(used, min(entry.offset + entry.length, pack.size))
            record = index.record(entry.name)
            if record is None or record.generation != entry.generation:
                continue
            if (entry.name, entry.generation) not in objects:
                objects.add((entry.name, entry.generation))
                missing.append(ObjectEntry(entry.name, record))
            if (entry.generation, entry.start) not in known:
                extent = index.extent(record, entry.start)
                if extent is not None and extent.pack == pack.number:
                    missing.append(ExtentEntry(entry.name, entry.generation, extent))
        placed = index.placed(pack.number, placed[-1].offset)
    packs.holds_up_to(pack, used)
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
    packs.journal_has(pack, len(raw))
    disk.sync_directory(path.parent)  # else a power loss would bring the one before back
