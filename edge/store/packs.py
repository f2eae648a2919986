"""The packs of a volume on the writer's side: one active, the others sealed; extents are handed out once."""

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge.errors import StoreError
from edge.store.disk import Disk
from edge.store.eviction import Row
from edge.store.files import Counter
from edge.store.journal import (
    HEADER_BYTES,
    SEALED_BYTES,
    DeleteEntry,
    Entry,
    SealedEntry,
    encode_entry,
    header,
    is_sealed,
)
from edge.store.pack import ALIGN, Pack, Reservation, row_in

WAITING_MOST: Final = 10_000  # entries of a pack, about 5 MB, while its journal cannot be written


def _blocks(length: int) -> int:
    return length + -length % ALIGN


class Packs:
    """All packs of a volume, oldest first."""

    def __init__(
        self, directory: Path, disk: Disk, counter: Counter, volume: uuid.UUID, size: int, extent_max: int
    ) -> None:
        self.directory = directory / "packs"
        self.extent_max = extent_max
        self.all: dict[int, Pack] = {}  # in order of number
        self._open: dict[int, Pack] = {}  # those of this run that are not retired: few, where `all` may be 40,000
        self.used_bytes = 0  # of all of them; also asked from the loop's thread
        self.journal_bytes = 0  # of all journals, in whole blocks
        self.actives: dict[Row, Pack] = {}
        self.written_bytes = 0  # to packs and journals, since they were last taken
        self._disk = disk
        self._counter = counter
        self._volume = volume
        self.size = size
        disk.mkdir(self.directory)
        found, journals, leftovers = self._found()
        for path in leftovers:
            with suppress(OSError):
                disk.unlink(path)
        for number, stat in sorted(found.items()):
            pack = Pack(number, stat.st_size, min(stat.st_size, stat.st_blocks * 512))
            pack.sealed = True  # never appended to by a later run
            self.all[number] = pack
            self.used_bytes += pack.used
        self._unmeasured = sorted(journals & found.keys())  # journals; a look at 30,000 would hold up the start
        self.rows_known = not self.all  # else when their journals have been looked at

    def look_at_journals(self, known: Mapping[int, int]) -> None:
        """Learn rows, and which journals lack their end; those that are `known` (with their rows) are not opened."""
        for number, pack in self.all.items():
            if number in known:
                pack.row, pack.journal_whole = Row(known[number]), True
            else:
                self.look_at_journal(pack)
        self.rows_known = True

    def _found(self) -> tuple[dict[int, os.stat_result], set[int], list[Path]]:
        """Packs, journals, and what killed runs have left: drafts, and journals whose packs are gone."""
        found: dict[int, os.stat_result] = {}
        journals: set[int] = set()
        leftovers: list[Path] = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                stem, _, kind = entry.name.partition(".")
                if kind == "pack" and stem.isdigit():
                    found[int(stem)] = entry.stat()
                elif kind == "journal" and stem.isdigit():
                    journals.add(int(stem))
                elif kind == "new" and stem.isdigit():
                    leftovers.append(self.directory / entry.name)
        lonely = sorted(journals - found.keys())
        return found, journals, leftovers + [self.journal_path(number) for number in lonely]

    def hold_something(self) -> bool:
        """Does a journal say that there is anything?"""
        return any(self._journal_length(number) > HEADER_BYTES + SEALED_BYTES for number in self.all)

    def measure_journals(self, most: int) -> None:
        """Learn how long so many of the journals are that were there at the start."""
        for _ in range(min(most, len(self._unmeasured))):
            pack = self.all.get(self._unmeasured.pop())
            if pack is not None:
                self.journal_has(pack, self._journal_length(pack.number))

    def _journal_length(self, number: int) -> int:
        try:
            return self.journal_path(number).stat().st_size
        except OSError:
            return 0

    def journal_has(self, pack: Pack, length: int) -> None:
        """So long is its journal now."""
        self.journal_bytes += _blocks(length) - _blocks(pack.journal_at)
        pack.journal_at = length

    def look_at_journal(self, pack: Pack) -> None:
        """Learn its row, and whether its last entry is there."""
        pack.row, pack.journal_whole = self._row_and_end(pack.number)

    def _row_and_end(self, number: int) -> tuple[Row, bool]:
        try:
            fd = os.open(self.journal_path(number), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # without its journal a pack is as good as new
            return Row.NEW, False
        try:
            row = row_in(os.pread(fd, HEADER_BYTES, 0))
            end = os.fstat(fd).st_size - SEALED_BYTES
            return row, end >= HEADER_BYTES and is_sealed(os.pread(fd, SEALED_BYTES, end))
        except OSError:
            return Row.NEW, False
        finally:
            os.close(fd)

    @property
    def active(self) -> Pack | None:
        """A pack that is written to, for what belongs into none in particular."""
        return next(iter(self.actives.values()), None)

    def pack_path(self, number: int) -> Path:
        return self.directory / f"{number:010d}.pack"

    def journal_path(self, number: int) -> Path:
        return self.directory / f"{number:010d}.journal"

    def holds_up_to(self, pack: Pack, used: int) -> None:
        """More is known to lie in a pack than its file's blocks told."""
        self.used_bytes += max(0, used - pack.used)
        pack.used = max(pack.used, used)

    def row_bytes(self, row: Row) -> int:
        return sum(pack.used for pack in self.all.values() if pack.row is row)

    def reserve(self, length: int, row: Row = Row.NEW) -> Reservation:
        """Hand out `length` bytes; a full pack is sealed and the next one begun. StoreError when the disk fails."""
        if not 0 < length <= self.extent_max:
            raise StoreError(f"an extent has 1 to {self.extent_max} bytes, not {length}")
        pack = self.actives.get(row)
        if pack is None or pack.used + length > pack.size:
            pack = self._begin(row)
        offset = pack.used
        self.holds_up_to(pack, offset + length + -length % ALIGN)
        pack.open_reservations += 1
        return Reservation(pack.number, offset, length)

    def _begin(self, row: Row = Row.NEW) -> Pack:
        if (full := self.actives.pop(row, None)) is not None:
            full.sealed = True
        number = self._counter.take_pack()
        pack = Pack(number, self.size, 0, row)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            pack.fd = self._disk.open(self.pack_path(number), flags)
            self._disk.ftruncate(pack.fd, self.size)  # sparse: a mapping of it never ends early
            pack.journal_fd = self._disk.open(self.journal_path(number), flags)
            head = header(number, self._volume, row)
            self._disk.pwrite(pack.journal_fd, head, 0)
            self.journal_has(pack, len(head))
            self._disk.sync_directory(self.directory)
        except OSError as error:
            self._discard(pack)
            raise StoreError(f"cannot begin pack {number}: {error}") from error
        self.all[number] = self._open[number] = self.actives[row] = pack
        return pack

    def _discard(self, pack: Pack) -> None:
        self.journal_has(pack, 0)
        self.close_files(pack)
        for path in (self.pack_path(pack.number), self.journal_path(pack.number)):
            try:
                self._disk.unlink(path)
            except OSError:
                pass

    def write(self, place: Reservation, at: int, data: bytes | memoryview) -> None:
        """Write inside a reservation; OSError when the disk fails."""
        pack = self.all.get(place.pack)
        if pack is None or pack.fd < 0 or at + len(data) > place.length:
            raise StoreError(f"write outside of a reservation: {place} + {at}")
        self._disk.pwrite(pack.fd, data, place.offset + at)
        self.written_bytes += len(data)

    def release(self, pack_number: int) -> None:
        """A reservation's fill is over."""
        pack = self.all.get(pack_number)
        if pack is not None and pack.open_reservations:
            pack.open_reservations -= 1

    def log(self, pack_number: int, entry: Entry) -> None:
        """Have an entry written at the next flush; a pack of an earlier run passes it to the active one.

        A deletion names no data that would have to be durable first, and an index that is trusted after a kill -9
        does not show what is missing in it: it is handed to the kernel at once.
        """
        pack = self.all.get(pack_number)
        if pack is None or pack.journal_fd < 0:
            pack = self.active
        if pack is None:
            return
        if isinstance(entry, DeleteEntry):
            with suppress(OSError):  # then it waits as the others do
                self.flushed(pack, [entry])
                return
        pack.waiting.append(entry)

    def log_for_certain(self, entry: Entry) -> None:
        """Have an entry written that concerns no pack of its own; StoreError when no pack can be begun for it.

        It is to stay for as long as what it is about, and rows let go of their packs each in its own time: it goes
        into the journal of the newest pack of each.
        """
        for row in Row:
            active = self.actives.get(row)
            if active is None and self._may_have(row):
                active = self._begin(row)
            if active is not None:
                self.log(active.number, entry)

    def _may_have(self, row: Row) -> bool:
        """Of 30,000 packs that are all of the other row it takes 0.7 ms to say that."""
        return not self.rows_known or not self.all or any(pack.row is row for pack in self.all.values())

    def to_flush(self) -> list[tuple[Pack, list[Entry]]]:
        """Packs with waiting entries, and those entries; sync the packs, then give both to `flushed`."""
        taken = []
        for pack in self._open.values():
            if pack.waiting:
                taken.append((pack, pack.waiting))
                pack.waiting = []
        return taken

    def sync(self, pack: Pack) -> None:
        """Make a pack's data durable; may run beside the writer's thread."""
        if pack.fd >= 0:
            self._disk.fdatasync(pack.fd)

    def flushed(self, pack: Pack, entries: list[Entry]) -> None:
        """Append entries whose data is durable."""
        if pack.journal_fd < 0:
            return
        raw = b"".join(encode_entry(entry) for entry in entries)
        self._disk.pwrite(pack.journal_fd, raw, pack.journal_at)
        self.journal_has(pack, pack.journal_at + len(raw))
        self.written_bytes += len(raw)
        pack.journal_dirty = True

    def put_back(self, pack: Pack, entries: list[Entry]) -> None:
        """They could not be appended: try again at the next flush.

        Those beyond WAITING_MOST are let go of. A start that finds the index as it was writes them then, because the
        journal gets no last entry.
        """
        waiting = entries + pack.waiting
        pack.waiting = waiting[-WAITING_MOST:]
        pack.journal_lacks |= len(waiting) > WAITING_MOST

    def sync_journals(self) -> None:
        """Make what was appended durable: else the kernel would leave it in memory for half a minute."""
        for pack in self._open.values():
            if pack.journal_dirty and pack.journal_fd >= 0:
                self._disk.fdatasync(pack.journal_fd)
                pack.journal_dirty = False

    def retire(self) -> list[Pack]:
        """Close the files of sealed packs that nothing writes to any more; their journals get the last entry.

        Those whose journals are whole now.
        """
        done = []
        for pack in list(self._open.values()):
            if pack.sealed and pack.fd >= 0 and not pack.open_reservations and not pack.waiting:
                if not pack.journal_lacks:
                    self.flushed(pack, [SealedEntry(pack.used)])
                    done.append(pack)
                self.close_files(pack)
        return done

    def close_files(self, pack: Pack) -> None:
        for fd in (pack.fd, pack.journal_fd):
            if fd >= 0:
                self._disk.close(fd)
        pack.fd = pack.journal_fd = -1
        self._open.pop(pack.number, None)

    def take_written_bytes(self) -> int:
        """Bytes written to packs and journals since the last call."""
        taken, self.written_bytes = self.written_bytes, 0
        return taken

    def idle_seconds(self, pack: Pack, now: float) -> float:
        """How long ago it was written last; 0 if nobody can tell."""
        try:
            return max(0.0, now - self.pack_path(pack.number).stat().st_mtime)
        except OSError:
            return 0.0

    def seal_all(self) -> None:
        """Nothing is appended to any pack of now: each may be evicted once nobody writes into it."""
        for pack in self.actives.values():
            pack.sealed = True
        self.actives.clear()

    def oldest(self, row: Row) -> Pack | None:
        """The pack of a row to be evicted next: sealed, and nobody writes into it."""
        for pack in self.all.values():
            if pack.row is row and pack.sealed and not pack.open_reservations:
                return pack
        return None

    def remove(self, pack: Pack) -> None:
        """Delete a pack and its journal; who still sends from it keeps its own descriptor."""
        if self.all.pop(pack.number, None) is not None:
            self.used_bytes -= pack.used
            self.journal_has(pack, 0)
        self.close_files(pack)
        for path in (self.pack_path(pack.number), self.journal_path(pack.number)):
            try:
                self._disk.unlink(path)
            except FileNotFoundError:
                pass

    def close(self) -> None:
        for pack in self.all.values():
            self.close_files(pack)
