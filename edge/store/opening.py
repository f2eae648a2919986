"""A volume's start and its end: lock, identity, counter, packs, a trusted index or one that is rebuilt (DESIGN 9)."""

import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from edge.errors import FormatUnknown
from edge.store import files
from edge.store.bulk.builder import PATTERN as BUILT
from edge.store.bulk.builder import Builder, processes
from edge.store.bulk.order import Order
from edge.store.bus import Bus
from edge.store.disk import Disk
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.numbers import newest_sequence
from edge.store.owned import clear, try_lock
from edge.store.pack import EXTENT_LIMIT, pack_size_for
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.rebuild import Rebuild
from edge.store.recovery import complete_journals, complete_newest
from edge.store.renewal import Renewal, newest
from edge.store.settings import VolumeHello, VolumeSettings
from edge.store.tables import FORMAT as INDEX_FORMAT
from edge.store.tables import UNFINISHED
from edge.words import GIB

log = logging.getLogger("edge.store")

End = Callable[[str], None]
LIVE_NAME = re.compile("edge-live-[0-9a-f-]{36}-[0-9a-f]{8}")
SUMS_LIMIT = 64  # slices an extent may have (DESIGN section 9)


def _nothing() -> None:
    pass


def _stay(_why: str) -> None:
    pass


class Opened:
    """What a volume holds while it is open. `begin` takes the lock and starts; `let_go` gives everything back."""

    identity: files.Identity
    counter: files.Counter
    packs: Packs
    purges: PurgeLog
    index: Index
    live: LiveTable
    live_path: Path

    def __init__(
        self, directory: Path, settings: VolumeSettings, disk: Disk, boot: str, bus: Bus | None, end: End
    ) -> None:
        self.directory, self.settings, self.disk = directory, settings, disk
        self._boot, self._bus, self._end = boot, bus, end
        self._live_lock: int | None = None
        self.rebuild: Rebuild | Renewal | None = None
        self._index_is_lost = False
        self._marking: threading.Thread | None = None
        self.pack_size = settings.pack_size or pack_size_for(settings.size_bytes)
        self.extent_max = min(EXTENT_LIMIT, SUMS_LIMIT * settings.slice_size, self.pack_size)
        files.check_size(settings.size_bytes)
        disk.mkdir(directory)
        self._lock_fd = files.take_lock(disk, directory / "edge.lock")

    def __repr__(self) -> str:
        return f"<Opened {self.directory}>"

    @classmethod
    def begin(
        cls,
        directory: Path,
        settings: VolumeSettings,
        disk: Disk,
        boot: str | None,
        bus: Bus | None = None,
        end: End | None = None,
    ) -> "Opened":
        """VolumeBusy: another keeper has it. FormatUnknown: not ours. OSError: the disk.

        `end` does not return: it ends the process when the index is of no more use in it (`bus`: or in any other).
        """
        opened = cls(directory, settings, disk, files.boot_id() if boot is None else boot, bus, end or _stay)
        try:
            opened._start()
        except BaseException:
            opened.let_go()
            raise
        return opened

    def _start(self) -> None:
        disk, directory, boot = self.disk, self.directory, self._boot
        self.identity = files.identity(disk, directory)
        self.counter = files.Counter(disk, directory / "counter")
        self.packs = Packs(directory, disk, self.counter, self.identity.volume, self.pack_size, self.extent_max)
        self.counter.at_least(max(self.packs.all, default=0) + 1, 0)
        newest = newest_sequence(self.counter.generation_limit)
        self.purges = PurgeLog(disk, directory / "purges", self.identity.volume, self.packs.all.keys(), newest)
        mark = files.read_mark(directory / "clean")
        trusted = mark is not None and (mark.clean or (mark.boot == boot and boot != ""))
        self.first_pack = self.counter.next_pack  # of this run; the packs of earlier runs are never appended to
        dirty_from = self.first_pack if mark is None or mark.clean else min(mark.next_pack, self.first_pack)
        self._dirty_from = dirty_from
        # Within one boot the page cache has what was written, whoever was killed. After another one, packs since
        # the last clean stop are verified before first use.
        same_boot = mark is not None and mark.boot == boot and boot != ""
        self.suspect = (self.first_pack, self.first_pack) if same_boot else (dirty_from, self.first_pack)
        self.epoch = mark.epoch if mark is not None and trusted else (mark.epoch + 1 if mark else 1)
        self._open_index(trusted)
        self.write_mark(clean=False)
        self.first_generation = max(self.counter.raise_limit(), 1)
        self.live_path = self._make_live_path()
        self.live = LiveTable(self.live_path, self.settings.live_bytes, readonly=False)
        if self._index_is_lost:
            self.rebuild = self._begin_rebuild()

    def _open_index(self, trusted: bool) -> None:
        path = self._index_path(self.epoch)
        exists = (path / "data.mdb").exists()
        if trusted and exists:
            try:
                self.index = self._mapped(path)
                if self.index.meta(b"format") != INDEX_FORMAT or self.index.meta(UNFINISHED):
                    self._leave_index()
                complete_journals(self.packs, self.index, self.disk, self.identity.volume)
                self._remove_indexes(but=path)
                return
            except Exception:  # a damaged LMDB file raises whatever lmdb makes of it: rebuild
                if self._bus is not None:
                    self._bus.forget(path)
                self.epoch += 1
                path = self._index_path(self.epoch)
        elif trusted:
            self.epoch += 1
            path = self._index_path(self.epoch)
        self._remove_indexes()
        self.index = self._mapped(path)
        if self.packs.all:
            self.suspect = (0, self.first_pack)
            self._index_is_lost = True
            with self.index.writing() as txn:
                txn.set_meta(UNFINISHED, 1)

    def _leave_index(self) -> None:
        """FormatUnknown, once what was kept during a rebuild that was cut short stands in journals."""
        try:
            if self.index.meta(b"format") == INDEX_FORMAT:
                complete_newest(self.packs, self.index, self.disk, self.identity.volume, self._dirty_from)
        finally:
            self.index.close()
        raise FormatUnknown("an index of another format, or one whose rebuild was cut short")

    def _begin_rebuild(self) -> Rebuild | Renewal:
        packs, front = self.packs, newest(self.packs)
        by_steps = Rebuild(packs, self.index, self.disk, self.identity.volume, self.counter, self.purges, front)
        if len(front) == len(packs.all):
            return by_steps
        order = Order(
            packs_directory=str(packs.directory),
            purges=str(self.directory / "purges"),
            volume=self.identity.volume.hex,
            packs=sorted(packs.all, reverse=True),
            map_bytes=self._map_bytes(),
            processes=processes(),
        )
        try:
            builder = Builder(self._index_base(), order)
        except OSError:  # a full disk, no process to be had
            by_steps.add(packs.all)
            return by_steps
        return Renewal(
            self.index, packs, self.live, self.purges, by_steps, builder, self._place_index, self._adopt_index
        )

    def _place_index(self, built: Path) -> Index:
        """Open what a builder has built, where the next index is to lie."""
        path = self._index_path(self.epoch + 1)
        built.rename(path)
        return self._mapped(path)

    def _adopt_index(self, new: Index) -> None:
        """The mark is written beside the store's thread: the disk is busy with the index, and may take a second.

        A run that is killed before is followed by one that does not know the new index, and begins anew.
        """
        self.epoch += 1
        self.index.become(new)
        self._marking = threading.Thread(target=self._mark_adopted, name="mark", daemon=True)
        self._marking.start()

    def _mark_adopted(self) -> None:
        try:
            self.write_mark(clean=False)
        except OSError as error:
            log.warning("the next start will rebuild the index again: %s", error)

    def _remove_indexes(self, but: Path | None = None) -> None:
        """What earlier runs, and builders, have left."""
        for pattern in ("index-*", BUILT):
            for old in self._index_base().glob(pattern):
                if old != but:
                    shutil.rmtree(old, ignore_errors=True)

    def _mapped(self, path: Path) -> Index:
        bus = self._bus
        mapped = partial(bus.watch, path, self._lose_index) if bus is not None else _nothing
        index = Index(path, self._map_bytes(), mapped=mapped)
        index.died = lambda: self._end("a commit of the index failed half-way")
        if bus is not None:
            index.closing = partial(bus.forget, path)
        return index

    def _lose_index(self) -> None:
        """The disk cannot read a page of it: the next start does not trust it, and makes another one."""
        with suppress(OSError):
            os.unlink(self.directory / "clean")
        self._end("a page of the index cannot be read: it will be rebuilt")

    def _map_bytes(self) -> int:
        # Sparse: 1 % of the volume is 400 bytes for each 40 KB stored, far more than video needs.
        return self.settings.index_map_bytes or min(max(GIB, self.settings.size_bytes // 100), 256 * GIB)

    def _index_base(self) -> Path:
        return self.settings.index_dir or self.directory

    def _index_path(self, epoch: int) -> Path:
        return self._index_base() / f"index-{epoch}"

    def _make_live_path(self) -> Path:
        """A new place for each keeper: readers reopen it at its hello; what earlier keepers left is removed."""
        base = self.settings.live_dir or (Path("/dev/shm") if Path("/dev/shm").is_dir() else self.directory)
        base.mkdir(parents=True, exist_ok=True)
        stem = f"edge-live-{self.identity.volume}"
        for old in base.glob(stem + "-*"):
            shutil.rmtree(old, ignore_errors=True)
        clear(base, LIVE_NAME)  # of other volumes, which may never come back
        made = base / f"{stem}-{uuid.uuid4().hex[:8]}"
        made.mkdir(mode=0o700)
        self._live_lock = try_lock(made, make=True)
        return made

    def write_mark(self, *, clean: bool) -> None:
        next_pack = self.counter.next_pack if clean else self._dirty_from
        mark = files.CleanMark(self._boot, self.epoch, next_pack, clean)
        files.write_mark(self.disk, self.directory / "clean", mark)

    @property
    def hello(self) -> VolumeHello:
        epoch = self.epoch  # read once: the store's thread may be about to change it
        return VolumeHello(
            directory=str(self.directory.resolve()),
            index_path=str(self._index_path(epoch).resolve()),
            live_path=str(self.live_path),
            epoch=epoch,
            secret=self.identity.secret,
            suspect_from=self.suspect[0],
            suspect_to=self.suspect[1],
            slice_size=self.settings.slice_size,
            index_map_bytes=self._map_bytes(),
            live_bytes=self.settings.live_bytes,
        )

    def wait_for_mark(self) -> None:
        """Until nobody else writes it."""
        if self._marking is not None:
            self._marking.join()

    def let_go(self) -> None:
        """Close what is open, also half-way through a start that failed."""
        self.wait_for_mark()
        if self.rebuild is not None:
            self.rebuild.close()
        for part in ("packs", "index", "live", "counter", "purges"):
            if hasattr(self, part):
                getattr(self, part).close()
        if hasattr(self, "index"):
            self._remove_indexes(but=self.index.path)
        if hasattr(self, "live_path"):
            shutil.rmtree(self.live_path, ignore_errors=True)
        if self._live_lock is not None:
            os.close(self._live_lock)
        self.disk.close(self._lock_fd)
