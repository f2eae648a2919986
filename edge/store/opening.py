"""A volume's start and its end: lock, identity, counter, packs, an index (DESIGN section 9).

Which index is trusted: `inheritance`; where it lies: `indexes`; what this run says of it: `marks`.
"""

import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import lmdb

from edge.errors import StoreError
from edge.store import files
from edge.store.bulk.builder import Builder, processes
from edge.store.bulk.order import Order
from edge.store.bus import Bus
from edge.store.disk import Disk
from edge.store.index import Index
from edge.store.indexes import Indexes
from edge.store.inheritance import Inheritance
from edge.store.live import LiveTable
from edge.store.marks import CleanMark, Marks
from edge.store.numbers import learn_numbers, newest_sequence
from edge.store.owned import clear, try_lock
from edge.store.pack import EXTENT_LIMIT, pack_size_for
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.rebuild import Rebuild
from edge.store.renewal import Renewal, newest
from edge.store.settings import VolumeHello, VolumeSettings

log = logging.getLogger("edge.store")

End = Callable[[str], None]
LIVE_NAME = re.compile("edge-live-[0-9a-f-]{36}-[0-9a-f]{8}")
DRAFTS = ("clean.new", "purges.new", "popularity.new", "volume.json.new", "volume.copy.json.new")
SUMS_LIMIT = 64  # slices an extent may have (DESIGN section 9)


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
        self,
        directory: Path,
        settings: VolumeSettings,
        disk: Disk,
        boot: str,
        bus: Bus | None,
        end: End,
        *,
        distrust: bool,
    ) -> None:
        self.directory, self.settings, self.disk = directory, settings, disk
        self._boot, self._end, self._distrust = boot, end, distrust
        self.indexes = Indexes(directory, settings, bus, self.lose_index)
        self._live_lock: int | None = None
        self.rebuild: Rebuild | Renewal | None = None
        self.pack_size = settings.pack_size or pack_size_for(settings.size_bytes)
        self.extent_max = min(EXTENT_LIMIT, SUMS_LIMIT * settings.slice_size, self.pack_size)
        files.check_size(settings.size_bytes)
        disk.mkdir(directory)
        self._lock_fd = files.take_lock(disk, directory / "edge.lock")
        try:
            self._index_lock = self._lock_index_dir()
        except BaseException:
            disk.close(self._lock_fd)
            raise

    def __repr__(self) -> str:
        return f"<Opened {self.directory}>"

    def _lock_index_dir(self) -> int | None:
        """A place for indexes may be named in two configurations, and the packs of both have the same numbers."""
        if (place := self.settings.index_dir) is None or place.resolve() == self.directory.resolve():
            return None
        self.disk.mkdir(place)
        return files.take_lock(self.disk, place / "edge.lock")

    @classmethod
    def begin(
        cls,
        directory: Path,
        settings: VolumeSettings,
        disk: Disk,
        boot: str | None,
        bus: Bus | None = None,
        end: End | None = None,
        *,
        distrust: bool = False,
    ) -> "Opened":
        """VolumeBusy: another keeper has it. FormatUnknown: not ours. OSError: the disk.

        `end` does not return: it ends the process when the index is of no more use in it (`bus`: or in any other).
        `distrust`: the keeper before has died of something, and that may be its index.
        """
        boot = files.boot_id() if boot is None else boot
        opened = cls(directory, settings, disk, boot, bus, end or _stay, distrust=distrust)
        try:
            opened._start()
        except BaseException:
            opened.let_go()
            raise
        return opened

    def _start(self) -> None:
        disk, directory = self.disk, self.directory
        self._tidy()
        self.identity = files.identity(disk, directory)
        self.counter = files.Counter(disk, directory / "counter")
        self.packs = Packs(directory, disk, self.counter, self.identity.volume, self.pack_size, self.extent_max)
        self.marks = Marks(disk, directory)
        learn_numbers(self.counter, self.packs, disk, self.identity.volume, self.marks.last)
        newest = newest_sequence(self.counter.generation_limit)
        self.purges = PurgeLog(disk, directory / "purges", self.identity.volume, self.packs.all.keys(), newest)
        self._open_index()
        self.marks.begin(self._mark(clean=False))
        self.first_generation = max(self._more_generations(), 1)
        self._open_live()
        if self.inherited.index_is_lost:
            self.rebuild = self._begin_rebuild()

    def _open_index(self) -> None:
        """The last run's or another one; and which packs are verified before first use.

        While the system has a file in memory it has what was written to it, whoever was killed. Else those are that
        were written since the last clean stop.
        """
        mark, last = self.marks.found, self.marks.last
        same_boot = mark is not None and mark.boot == self._boot and self._boot != ""
        in_memory = same_boot and mark is not None and (not mark.remembered or files.is_remembered(self._lock_fd))
        next_pack = self.counter.next_pack
        self._dirty_from = next_pack if last is None or last.clean else min(last.next_pack, next_pack)
        self.suspect = (next_pack, next_pack) if in_memory else (self._dirty_from, next_pack)
        self._is_remembered = files.remember(self._lock_fd)
        self.inherited = Inheritance(
            self.indexes,
            self.packs,
            self.disk,
            self.identity.volume,
            self.counter,
            self.settings.size_bytes,
            self._dirty_from,
        )
        distrust = self._distrust or self.marks.index_was_lost
        self.index = self.inherited.index(mark, in_memory=in_memory, distrust=distrust)
        self.first_pack = self.counter.next_pack  # of this run; the packs of earlier runs are never appended to
        if self.inherited.index_is_lost:
            self.suspect = (0, self.first_pack)

    def _tidy(self) -> None:
        """Remove what a run was writing when it was killed."""
        for name in DRAFTS:
            with suppress(OSError):
                (self.directory / name).unlink(missing_ok=True)

    def _begin_rebuild(self) -> Rebuild | Renewal:
        packs, front = self.packs, newest(self.packs)
        volume, tried = self.identity.volume, self.inherited.tried
        by_steps = Rebuild(packs, self.index, self.disk, volume, self.counter, self.purges, front, tried)
        if len(front) == len(packs.all):
            return by_steps
        order = Order(
            packs_directory=str(packs.directory),
            purges=str(self.directory / "purges"),
            volume=self.identity.volume.hex,
            packs=sorted(packs.all, reverse=True),
            map_bytes=self.indexes.map_bytes,
            processes=processes(),
        )
        try:
            builder = Builder(self.indexes.base, order)
        except OSError:  # a full disk, no process to be had
            by_steps.add(packs.all)
            return by_steps
        return Renewal(
            self.index,
            packs,
            self.live,
            self.purges,
            by_steps,
            builder,
            self.indexes.place,
            self._adopt_index,
            tried,
        )

    def _adopt_index(self, new: Index) -> None:
        self.indexes.epoch += 1
        self.index.become(new)
        self.marks.write_beside(partial(self._mark, clean=False))

    def lose_index(self, why: str) -> None:
        """It is of no use: the next start does not trust it, and makes another one. Workers read what they can until
        then."""
        self.marks.lose()
        self._end(f"{why}: it will be rebuilt")

    def _open_live(self) -> None:
        """A new place for each keeper: readers reopen it at its hello; what earlier keepers left is removed.

        Where shared memory has no room, beside the packs.
        """
        bases = [self.settings.live_dir or Path("/dev/shm"), self.directory]
        stem = f"edge-live-{self.identity.volume}"
        for old in (old for base in bases for old in base.glob(stem + "-*")):
            shutil.rmtree(old, ignore_errors=True)
        clear(bases[0], LIVE_NAME)  # of other volumes, which may never come back
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        try:
            self._make_live(bases[0] / name)
        except (OSError, lmdb.Error) as error:
            log.warning("short-lived answers of %s are kept on its disk: %s", self.directory, error)
            self._make_live(bases[1] / name)

    def _make_live(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=path.parent == self.settings.live_dir)
        lock = None
        try:
            lock = try_lock(path, make=True)
            self.live = LiveTable(path, self.settings.live_bytes, readonly=False)
        except BaseException:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(path, ignore_errors=True)
            raise
        self.live_path, self._live_lock = path, lock

    def _more_generations(self) -> int:
        try:
            return self.counter.raise_limit()
        except OSError as error:
            if not files.is_full(error):
                raise
            return self.counter.generation_limit  # none below the limit: nothing is kept until there are more

    def pay_mark(self) -> None:
        """As `Marks.pay`."""
        self.marks.pay(partial(self._mark, clean=False))

    def mark_end(self, *, clean: bool) -> None:
        """StoreError, OSError: the index is to be `clean`, and cannot be brought to the disk: it is trusted no more."""
        self.marks.wait()
        if clean:
            try:
                self.index.sync(self.disk)
            except (StoreError, OSError):
                self.marks.lose()
                raise
        self.marks.write(self._mark(clean=clean))

    def _mark(self, *, clean: bool) -> CleanMark:
        return CleanMark(
            self._boot,
            self.epoch,
            self.counter.next_pack if clean else self._dirty_from,
            clean,
            self.index.transaction(),
            self.counter.generation_limit,
            self._is_remembered and self.indexes.are_remembered,
        )

    @property
    def epoch(self) -> int:
        """Which index this is."""
        return self.indexes.epoch

    @property
    def hello(self) -> VolumeHello:
        epoch = self.epoch  # read once: the store's thread may be about to change it
        return VolumeHello(
            directory=str(self.directory.resolve()),
            index_path=str(self.indexes.path(epoch).resolve()),
            live_path=str(self.live_path),
            epoch=epoch,
            secret=self.identity.secret,
            suspect_from=self.suspect[0],
            suspect_to=self.suspect[1],
            slice_size=self.settings.slice_size,
            index_map_bytes=self.indexes.map_bytes,
            live_bytes=self.settings.live_bytes,
        )

    def let_go(self) -> None:
        """Close what is open, also half-way through a start that failed."""
        if hasattr(self, "marks"):
            self.marks.wait()
        if self.rebuild is not None:
            self.rebuild.close()
        for part in ("packs", "index", "live", "counter", "purges"):
            if hasattr(self, part):
                getattr(self, part).close()
        if hasattr(self, "index"):
            self.indexes.remove(but=self.index.path)
        if hasattr(self, "live_path"):
            shutil.rmtree(self.live_path, ignore_errors=True)
        if self._live_lock is not None:
            os.close(self._live_lock)
        if self._index_lock is not None:
            self.disk.close(self._index_lock)
        self.disk.close(self._lock_fd)
