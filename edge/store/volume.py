"""A volume on the keeper's side: the only writer of its packs, journals and index.

All of it is synchronous and called from one store thread (`thread.StoreThread`); `lookup`, `lookup_live` and
`extents` are read transactions and may be called from the keeper's loop as well.
"""

import json
import shutil
import uuid
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from edge.clock import Clock
from edge.errors import StoreError
from edge.store import files
from edge.store.disk import Disk
from edge.store.eviction import Policy, admit, victims
from edge.store.hits import HitCounters
from edge.store.index import Index, LiveTable, Placed, split_live
from edge.store.journal import DeleteEntry, ExtentEntry, ObjectEntry
from edge.store.packs import EXTENT_LIMIT, Packs, Reservation, pack_size_for
from edge.store.record import Extent, Flag, Record, blocks, checksum
from edge.store.recovery import Rebuild, complete_journals
from edge.words import GIB, MIB, Eviction

MOVE_STEP = 8 * MIB  # bytes appended anew in one step of eviction, so that fills are not held up
SUMS_LIMIT = 64  # slices an extent may have (DESIGN section 9)


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """Sizes in bytes; `index_dir` and `live_dir` may lie on other file systems."""

    size_bytes: int
    slice_size: int = MIB
    index_dir: Path | None = None
    live_dir: Path | None = None
    live_bytes: int = 64 * MIB
    index_map_bytes: int | None = None
    min_free_ratio: float = 0.05
    pack_size: int | None = None
    policy: Policy = Policy.FIFO
    name: str = "cache"


@dataclass(frozen=True, slots=True)
class VolumeHello:
    """What a reader in another process needs to open the volume."""

    directory: str
    index_path: str
    live_path: str
    epoch: int
    secret: bytes
    suspect_from: int  # packs in [suspect_from, suspect_to) are verified before first use
    suspect_to: int
    slice_size: int
    index_map_bytes: int
    live_bytes: int
    off: bool = False  # its disk is bad: its objects are to live elsewhere

    def to_json(self) -> bytes:
        return json.dumps({**asdict(self), "secret": self.secret.hex()}).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        said = json.loads(raw)
        return cls(**{**said, "secret": bytes.fromhex(said["secret"])})


@dataclass(frozen=True, slots=True)
class VolumeStats:
    """A moment's figures; counters since this keeper's start."""

    size_bytes: int
    max_bytes: int
    objects: int
    packs: int
    evictions: dict[str, int]
    evicted_bytes: int
    admissions: int
    rewritten_bytes: int
    rebuilding: bool
    rebuild_progress: float


class Volume:
    """See the module's text. `open` takes the lock, `close` gives it back."""

    def __init__(self, directory: Path, settings: VolumeSettings, disk: Disk, clock: Clock, lock_fd: int) -> None:
        self.directory = directory
        self.settings = settings
        self._disk = disk
        self._clock = clock
        self._lock_fd = lock_fd
        self._hits: HitCounters | None = None
        self.evictions: Tally[str] = Tally()
        self.evicted_bytes = 0
        self.admissions = 0
        self.admitted_bytes = 0
        self.rewritten_bytes = 0
        self._ages: list[float] = []  # of evicted packs, in seconds
        self._staying: list[Placed] = []
        self._going: list[Placed] = []
        self._evicting: int | None = None
        self._rebuild: Rebuild | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        settings: VolumeSettings,
        *,
        clock: Clock,
        disk: Disk | None = None,
        hits: HitCounters | None = None,
        boot: str | None = None,
    ) -> "Volume":
        """Open or make a volume. VolumeBusy: another keeper has it. FormatUnknown: not ours. OSError: the disk."""
        disk = disk or Disk()
        files.check_size(settings.size_bytes)
        disk.mkdir(directory)
        lock = files.take_lock(disk, directory / "edge.lock")
        volume = cls(directory, settings, disk, clock, lock)
        volume._hits = hits
        try:
            volume._start(files.boot_id() if boot is None else boot)
        except BaseException:
            volume._let_go()
            raise
        return volume

    def _start(self, boot: str) -> None:
        disk, directory, settings = self._disk, self.directory, self.settings
        self._identity = files.identity(disk, directory)
        self._counter = files.Counter(disk, directory / "counter")
        self.pack_size = settings.pack_size or pack_size_for(settings.size_bytes)
        self.extent_max = min(EXTENT_LIMIT, SUMS_LIMIT * settings.slice_size, self.pack_size)
        self.packs = Packs(directory, disk, self._counter, self._identity.volume, self.pack_size, self.extent_max)
        self._counter.at_least(max(self.packs.all, default=0) + 1, 0)
        mark = files.read_mark(directory / "clean")
        trusted = mark is not None and (mark.clean or (mark.boot == boot and boot != ""))
        self._boot = boot
        self.first_pack = self._counter.next_pack  # of this run; the packs of earlier runs are never appended to
        dirty_from = self.first_pack if mark is None or mark.clean else min(mark.next_pack, self.first_pack)
        self._dirty_from = dirty_from
        # Within one boot the page cache has what was written, whoever was killed. After another one, packs since
        # the last clean stop are verified before first use.
        same_boot = mark is not None and mark.boot == boot and boot != ""
        self.suspect = (self.first_pack, self.first_pack) if same_boot else (dirty_from, self.first_pack)
        self.epoch = mark.epoch if mark is not None and trusted else (mark.epoch + 1 if mark else 1)
        self._open_index(trusted)
        self._write_mark(clean=False)
        self._generation = max(self._counter.raise_limit(), 1)
        self.keep_generations()
        self._sequence = self.index.meta(b"sequence") + files.GENERATION_STEP
        self.live_path = self._make_live_path()
        self.live = LiveTable(self.live_path, settings.live_bytes, readonly=False)

    def _open_index(self, trusted: bool) -> None:
        path = self._index_path()
        exists = (path / "data.mdb").exists()
        if trusted and exists:
            try:
                self.index = Index(path, self._map_bytes())
                complete_journals(self.packs, self.index, self._disk, self._identity.volume)
                return
            except Exception:  # a damaged LMDB file raises whatever lmdb makes of it: rebuild
                self.epoch += 1
                path = self._index_path()
        elif trusted:
            self.epoch += 1
            path = self._index_path()
        for old in self._index_base().glob("index-*"):
            shutil.rmtree(old, ignore_errors=True)
        self.index = Index(path, self._map_bytes())
        if self.packs.all:
            self.suspect = (0, self.first_pack)
            self._rebuild = Rebuild(self.packs, self.index, self._disk, self._identity.volume, self._counter)

    def _map_bytes(self) -> int:
        # Sparse: 1 % of the volume is 400 bytes for each 40 KB stored, far more than video needs.
        return self.settings.index_map_bytes or min(max(GIB, self.settings.size_bytes // 100), 256 * GIB)

    def _index_base(self) -> Path:
        return self.settings.index_dir or self.directory

    def _index_path(self) -> Path:
        return self._index_base() / f"index-{self.epoch}"

    def _make_live_path(self) -> Path:
        """A new place for each keeper: readers reopen it at its hello; what earlier keepers left is removed."""
        base = self.settings.live_dir or (Path("/dev/shm") if Path("/dev/shm").is_dir() else self.directory)
        stem = f"edge-live-{self._identity.volume}"
        for old in base.glob(stem + "-*"):
            shutil.rmtree(old, ignore_errors=True)
        return base / f"{stem}-{uuid.uuid4().hex[:8]}"

    def _write_mark(self, *, clean: bool) -> None:
        next_pack = self._counter.next_pack if clean else self._dirty_from
        mark = files.CleanMark(self._boot, self.epoch, next_pack, clean)
        files.write_mark(self._disk, self.directory / "clean", mark)

    @property
    def hello(self) -> VolumeHello:
        return VolumeHello(
            directory=str(self.directory.resolve()),
            index_path=str(self.index.path.resolve()),
            live_path=str(self.live_path),
            epoch=self.epoch,
            secret=self._identity.secret,
            suspect_from=self.suspect[0],
            suspect_to=self.suspect[1],
            slice_size=self.settings.slice_size,
            index_map_bytes=self._map_bytes(),
            live_bytes=self.settings.live_bytes,
        )

    # -- looking up ------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Record | None:
        return self.index.record(name)

    def lookup_live(self, name: bytes) -> tuple[Record, bytes] | None:
        """The record and the body of a short-lived answer."""
        raw = self.live.raw(name)
        return split_live(raw) if raw is not None else None

    def extents(self, record: Record) -> list[Extent]:
        """The extents of a generation whose packs are there."""
        return [extent for extent in self.index.extents(record) if extent.pack in self.packs.all]

    # -- writing ---------------------------------------------------------------------------------

    def new_generation(self) -> int:
        """Never re-used: a durable limit moves ahead of what is handed out. May be called from the loop's thread."""
        generation = self._generation
        self._generation += 1
        if generation >= self._counter.generation_limit:
            raise StoreError("no generation is left below the durable limit")
        return generation

    def keep_generations(self) -> None:
        """Move the durable limit on while there is plenty left (store thread: it waits for the disk)."""
        if self._generation + files.GENERATION_STEP // 2 > self._counter.generation_limit:
            self._counter.raise_limit()

    def reserve(self, length: int) -> Reservation:
        """Space for `length` <= `extent_max` bytes; StoreError when there is none or the disk fails."""
        used = self.packs.used_bytes
        if used + self.pack_size > self.settings.size_bytes + 2 * self.pack_size:
            while self.needs_room() and self.evict_step():
                pass
            if self.packs.used_bytes + length > self.settings.size_bytes + 2 * self.pack_size:
                raise StoreError("the volume is full and nothing can be evicted")
        if self._disk.free_ratio(self.directory) < self.settings.min_free_ratio and not self._make_space():
            raise StoreError("the file system has too little free space")
        return self.packs.reserve(length)

    def _make_space(self) -> bool:
        """Evict whole packs until the file system has its minimum free again; False when that does not help."""
        while self._disk.free_ratio(self.directory) < self.settings.min_free_ratio:
            if not self.evict_step(keep=False):
                return False
        return True

    def write(self, place: Reservation, at: int, data: bytes | memoryview) -> None:
        self.packs.write(place, at, data)

    def release(self, place: Reservation) -> None:
        """A reservation's fill is over, committed or not."""
        self.packs.release(place.pack)

    def commit(self, name: bytes, record: Record, extents: Sequence[Extent]) -> bool:
        """Keep complete extents of a generation (and its record, if it is new). False: not admitted."""
        return self.commit_many([(name, record, extents)])[0]

    def commit_many(self, batch: Sequence[tuple[bytes, Record, Sequence[Extent]]]) -> list[bool]:
        """Several commits in one transaction: all visible at once, or StoreError and none."""
        kept = []
        logged: list[tuple[int, ObjectEntry | ExtentEntry | DeleteEntry]] = []
        with self.index.writing() as txn:
            for name, record, extents in batch:
                kept.append(self._commit(txn, name, record, extents, logged))
            txn.set_meta(b"sequence", self._sequence)
        for pack, entry in logged:
            self.packs.log(pack, entry)
            if isinstance(entry, ObjectEntry):
                self.live.drop(entry.name)  # a lasting answer takes the place of a short-lived one
        return kept

    def _commit(self, txn, name, record, extents, logged) -> bool:  # type: ignore[no-untyped-def]
        if not admit(self.settings.policy, sum(extent.length for extent in extents)):
            return False
        known = txn.record(name)
        pack = extents[0].pack if extents else (self.packs.active.number if self.packs.active else 0)
        if known is not None and known.generation == record.generation:
            record = known
        else:
            if known is not None:
                if known.generation > record.generation:
                    return False  # a newer version has been kept meanwhile
                txn.remove_record(name, known, self.index.extents(known))
                self.evictions[Eviction.REPLACED] += 1
            self._sequence += 1
            record = replace(record, sequence=self._sequence, first=None)
            logged.append((pack, ObjectEntry(name, record)))
        for extent in extents:
            record = txn.add_extent(name, record, extent)
            logged.append((extent.pack, ExtentEntry(name, record.generation, extent)))
        txn.put_record(name, record)
        self.admissions += 1
        self.admitted_bytes += sum(extent.length for extent in extents)
        return True

    def refresh(self, name: bytes, record: Record) -> bool:
        """The record after a 304: the same generation with new freshness. False if it is gone meanwhile."""
        live = self.live.raw(name)
        if live is not None:
            _, body = split_live(live)
            return self.live.put(name, record, body)
        with self.index.writing() as txn:
            known = txn.record(name)
            if known is None or known.generation != record.generation:
                return False
            self._sequence += 1
            record = replace(record, sequence=self._sequence, first=known.first)
            txn.put_record(name, record)
            txn.set_meta(b"sequence", self._sequence)
        if self.packs.active is not None:
            self.packs.log(self.packs.active.number, ObjectEntry(name, record, refresh=True))
        return True

    def delete(self, name: bytes, generation: int | None, reason: Eviction) -> bool:
        """Forget an object (only that generation, if one is given); journalled, so that no rebuild brings it back."""
        self.live.drop(name)
        with self.index.writing() as txn:
            known = txn.record(name)
            if known is None or generation not in (None, known.generation):
                return False
            txn.remove_record(name, known, self.index.extents(known))
            self._sequence += 1
            txn.set_meta(b"sequence", self._sequence)
        self.evictions[reason] += 1
        if self.packs.active is not None:
            entry = DeleteEntry(name, known.generation, self._sequence)
            self.packs.log(self.packs.active.number, entry)
        return True

    def drop_extent(self, name: bytes, generation: int, start: int, reason: Eviction) -> bool:
        """Forget one extent that proved bad; an object that is whole or nothing goes as a whole."""
        known = self.index.record(name)
        if known is None or known.generation != generation:
            return False
        if not known.flags & Flag.STRONG:
            return self.delete(name, generation, reason)
        extent = next((found for found in self.index.extents(known) if found.start == start), None)
        if extent is None:
            return False
        with self.index.writing() as txn:
            txn.put_record(name, txn.remove_extent(name, known, extent))
        self.evictions[reason] += 1
        self.evicted_bytes += extent.length
        return True

    def put_live(self, name: bytes, record: Record, body: bytes) -> bool:
        """Keep a short-lived small answer in shared memory; it takes the place of a lasting one."""
        if self.index.record(name) is not None:
            self.delete(name, None, Eviction.REPLACED)
        return self.live.put(name, record, body)

    def sweep_live(self) -> int:
        return self.live.sweep(self._clock.wall())

    # -- making room -----------------------------------------------------------------------------

    def needs_room(self) -> bool:
        """Is less than a pack free? Eviction runs ahead, so that a fill never waits for it."""
        return self._evicting is not None or self.packs.used_bytes + self.pack_size > self.settings.size_bytes

    def evict_step(self, *, keep: bool = True) -> bool:
        """A bounded step of making room; False when there is nothing to evict."""
        if self._evicting is None:
            pack = self.packs.oldest()
            if pack is None:
                return False
            self._evicting = pack.number
            self._staying, self._going = self._divide(pack.number, keep=keep)
        moved = 0
        while self._staying and moved < MOVE_STEP:
            entry = self._staying.pop(0)
            if self._append_anew(entry):
                moved += entry.length
            else:
                self._going.append(entry)
        if not self._staying:
            self._finish_eviction()
        return True

    def _divide(self, number: int, *, keep: bool) -> tuple[list[Placed], list[Placed]]:
        placed: list[Placed] = []
        while batch := self.index.placed(number, placed[-1].offset if placed else -1):
            placed.extend(batch)
        if not keep or self._hits is None:
            return [], placed
        return victims(self.settings.policy, placed, self._hits.count, self.pack_size // 2)

    def _append_anew(self, entry: Placed) -> bool:
        """Read, verify, write elsewhere, point the index there. False when it is not worth or not possible."""
        record = self.index.record(entry.name)
        if record is None or record.generation != entry.generation:
            return False
        extent = next((found for found in self.index.extents(record) if found.start == entry.start), None)
        if extent is None or extent.pack != entry.pack or not record.flags:
            return False
        try:
            data = self._read_pack(extent)
            if not sums_match(record, extent, data):
                return False
            place = self.packs.reserve(extent.length)
            self.packs.write(place, 0, data)
        except (OSError, StoreError):
            return False
        moved = replace(extent, pack=place.pack, offset=place.offset)
        with self.index.writing() as txn:
            txn.move_extent(entry.name, record, extent, moved)
        self.packs.release(place.pack)
        self.packs.log(place.pack, ObjectEntry(entry.name, record))
        self.packs.log(place.pack, ExtentEntry(entry.name, record.generation, moved))
        if self._hits is not None:
            self._hits.halve(entry.name)
        self.rewritten_bytes += extent.length
        return True

    def _read_pack(self, extent: Extent) -> bytes:
        fd = self._disk.open(self.packs.pack_path(extent.pack), 0)
        try:
            return self._disk.pread(fd, extent.length, extent.offset)
        finally:
            self._disk.close(fd)

    def _finish_eviction(self) -> None:
        going, self._going = self._going, []
        for at in range(0, len(going), 1000):
            with self.index.writing() as txn:
                for entry in going[at : at + 1000]:
                    self._forget(txn, entry)
        pack = self.packs.all.get(self._evicting or 0)
        self._evicting = None
        if pack is not None:
            self._ages.append(self.packs.idle_seconds(pack, self._clock.wall()))
            self.packs.remove(pack)

    def _forget(self, txn, entry: Placed) -> None:  # type: ignore[no-untyped-def]
        record = txn.record(entry.name)
        txn.remove_place(entry)
        if record is None or record.generation != entry.generation:
            return
        self.evictions[Eviction.CAPACITY] += 1
        self.evicted_bytes += entry.length
        first = record.first
        inline = first is not None and first.start == entry.start
        extent = first if inline else txn.extent(record.generation, entry.start)
        if extent is None or extent.pack != entry.pack:
            return
        others = [e for e in self.index.extents(record) if e.start != entry.start and e.pack != entry.pack]
        if record.flags & Flag.STRONG and others:
            txn.put_record(entry.name, txn.remove_extent(entry.name, record, extent))
        else:
            txn.remove_record(entry.name, record, [extent, *others])

    # -- journals, recovery, end -----------------------------------------------------------------

    def flush_journals(self) -> None:
        """Make data durable, then write the entries that name it; seal the journals of full packs."""
        for pack, entries in self.packs.to_flush():
            self.packs.sync(pack)
            self.packs.flushed(pack, entries)
        self.packs.retire()

    @property
    def rebuilding(self) -> bool:
        return self._rebuild is not None

    def rebuild_step(self) -> bool:
        """Read one more journal into the index; False when the rebuild is over."""
        if self._rebuild is None:
            return False
        if not self._rebuild.step():
            self._sequence = max(self._sequence, self._rebuild.sequence + files.GENERATION_STEP)
            self._generation = max(self._generation, self._rebuild.generation + 1)
            self._rebuild = None
        return self._rebuild is not None

    def stats(self) -> VolumeStats:
        return VolumeStats(
            size_bytes=self.packs.used_bytes,
            max_bytes=self.settings.size_bytes,
            objects=self.index.objects(),
            packs=len(self.packs.all),
            evictions=dict(self.evictions),
            evicted_bytes=self.evicted_bytes,
            admissions=self.admissions,
            rewritten_bytes=self.rewritten_bytes,
            rebuilding=self.rebuilding,
            rebuild_progress=self._rebuild.progress if self._rebuild else 1.0,
        )

    def take_evictions(self) -> dict[str, int]:
        """Evictions by reason since the last call."""
        taken, self.evictions = self.evictions, Tally()
        return dict(taken)

    def take_eviction_ages(self) -> list[float]:
        """How long ago each pack that was evicted since the last call had been written last, in seconds."""
        taken, self._ages = self._ages, []
        return taken

    def take_counts(self) -> dict[str, int]:
        """Other counters since the last call, by metric."""
        taken = {
            "edge_cache_evicted_bytes_total": self.evicted_bytes,
            "edge_cache_admissions_total": self.admissions,
            "edge_cache_admitted_bytes_total": self.admitted_bytes,
            "edge_cache_written_bytes_total": self.packs.written_bytes,
            "edge_cache_rewritten_bytes_total": self.rewritten_bytes,
        }
        self.evicted_bytes = self.admissions = self.admitted_bytes = self.rewritten_bytes = 0
        self.packs.written_bytes = 0
        return taken

    def close(self, *, clean: bool = True) -> None:
        """Flush, mark and let go. `clean=False` leaves the directory as a crash of this process would."""
        if clean:
            self.flush_journals()
            self.packs.active = None
            for pack in self.packs.all.values():
                pack.sealed, pack.open_reservations = True, 0
            self.packs.retire()
            self._write_mark(clean=self._rebuild is None)
        self._let_go()

    def _let_go(self) -> None:
        """Close what is open, also half-way through a start that failed."""
        for part in ("packs", "index", "live", "_counter"):
            if hasattr(self, part):
                getattr(self, part).close()
        if hasattr(self, "live_path"):
            shutil.rmtree(self.live_path, ignore_errors=True)
        self._disk.close(self._lock_fd)


def sums_match(record: Record, extent: Extent, data: bytes) -> bool:
    """Do the bytes of a whole extent have the checksums that were written down?"""
    if len(data) != extent.length:
        return False
    view = memoryview(data)
    pieces = blocks(extent.start, extent.length, record.slice_size)
    return all(
        checksum(view[start - extent.start : end - extent.start]) == expected
        for (start, end), expected in zip(pieces, extent.sums, strict=False)
    )
