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

from edge.errors import FormatUnknown, StoreError
from edge.store import files
from edge.store.bulk.builder import PATTERN as BUILT
from edge.store.bulk.builder import Builder, processes
from edge.store.bulk.order import Order
from edge.store.bus import Bus
from edge.store.disk import Disk
from edge.store.index import Index
from edge.store.journal import HEADER_BYTES, is_of
from edge.store.live import LiveTable
from edge.store.numbers import newest_sequence
from edge.store.owned import clear, try_lock
from edge.store.pack import EXTENT_LIMIT, pack_size_for
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.rebuild import Rebuild
from edge.store.recovery import can_be_read, complete_journals, complete_newest, forget_packs, read_whole
from edge.store.renewal import Renewal, newest
from edge.store.settings import VolumeHello, VolumeSettings
from edge.store.stretch import Stretch
from edge.store.tables import FORMAT as INDEX_FORMAT
from edge.store.tables import NEXT_GENERATION, NEXT_PACK, UNFINISHED
from edge.words import GIB

log = logging.getLogger("edge.store")

End = Callable[[str], None]
LIVE_NAME = re.compile("edge-live-[0-9a-f-]{36}-[0-9a-f]{8}")
MARK = "clean"
LOST_MARK = "clean.lost"  # the mark of a run whose index proved bad
DRAFTS = ("clean.new", "purges.new", "popularity.new", "volume.json.new", "volume.copy.json.new")
INDEX_PART = 2  # of a volume's size at most; a third is what an object of one page makes it
LOST_GENERATIONS = 1 << 32  # more than a run hands out
SUMS_LIMIT = 64  # slices an extent may have (DESIGN section 9)


def _nothing() -> None:
    pass


def _stay(_why: str) -> None:
    pass


def _of_file(path: Path, ask: Callable[[int], bool]) -> bool:
    """What `files.remember` or `files.is_remembered` says of a file that is not open."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return ask(fd)
    finally:
        os.close(fd)


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
        self._boot, self._bus, self._end, self._distrust = boot, bus, end, distrust
        self._live_lock: int | None = None
        self.rebuild: Rebuild | Renewal | None = None
        self._index_is_lost = self._is_remembered = False
        self._tried: set[int] = set()  # packs whose journals the disk has not given to the start before
        self.journals_lost = 0  # of them, it has not given these either
        self.index_was_bad = False  # pages of it made no index
        self._marking: threading.Thread | None = None
        self._owes_mark = False
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
        mark = files.read_mark(directory / MARK)
        last = mark or files.read_mark(directory / LOST_MARK)
        self._learn_numbers(last)
        newest = newest_sequence(self.counter.generation_limit)
        self.purges = PurgeLog(disk, directory / "purges", self.identity.volume, self.packs.all.keys(), newest)
        # While the system has a file in memory it has what was written to it, whoever was killed. Else packs since the
        # last clean stop are verified before first use.
        same_boot = mark is not None and mark.boot == self._boot and self._boot != ""
        in_memory = same_boot and mark is not None and (not mark.remembered or files.is_remembered(self._lock_fd))
        self.first_pack = self.counter.next_pack  # of this run; the packs of earlier runs are never appended to
        dirty_from = self.first_pack if last is None or last.clean else min(last.next_pack, self.first_pack)
        self._dirty_from = dirty_from
        self.suspect = (self.first_pack, self.first_pack) if in_memory else (dirty_from, self.first_pack)
        self._is_remembered = files.remember(self._lock_fd)
        self._open_index(mark, in_memory=in_memory)
        self._begin_mark()
        self.first_generation = max(self._more_generations(), 1)
        self.live_path = self._make_live_path()
        self.live = LiveTable(self.live_path, self.settings.live_bytes, readonly=False)
        if self._index_is_lost:
            self.rebuild = self._begin_rebuild()

    def _tidy(self) -> None:
        """Remove what a run was writing when it was killed."""
        for name in DRAFTS:
            with suppress(OSError):
                (self.directory / name).unlink(missing_ok=True)

    def _learn_numbers(self, last: files.CleanMark | None) -> None:
        """What the counter does not know, since its file was lost, damaged, or is older than what lies here.

        A number is taken before there is a pack of it, so a counter that has not got beyond the newest is not the
        newest. Generations have then been handed out of which it knows nothing: the mark knows those of runs before,
        the newest journals those of the last one, but for few.
        """
        newest_pack = max(self.packs.all, default=0)
        if newest_pack < self.counter.next_pack:
            return
        log.warning("the counter of %s is lost, or older than its packs", self.directory)
        generation = max(self.counter.generation_limit, last.generation if last is not None else 0)
        for number in newest(self.packs):
            generation = max(generation, self._newest_generation(number))
        next_pack = max(newest_pack + 1, last.next_pack if last is not None else 0)
        self.counter.at_least(next_pack, generation + LOST_GENERATIONS)

    def _newest_generation(self, number: int) -> int:
        stretch = Stretch()
        with suppress(OSError, FormatUnknown):
            raw = read_whole(self.disk, self.packs, number)
            if is_of(raw, number, self.identity.volume):
                stretch.take(raw, HEADER_BYTES, number, len(raw), lambda _: None)
        return stretch.newest_generation()

    def _open_index(self, mark: files.CleanMark | None, *, in_memory: bool) -> None:
        """The index that the last run left, if it can be trusted; else another one, which is then rebuilt."""
        self.epoch = mark.epoch if mark is not None else 0
        path = self._index_path(self.epoch)
        self.index_was_bad = self._distrust or (self.directory / LOST_MARK).exists()
        if mark is not None and not self.index_was_bad and (path / "data.mdb").exists():
            try:
                in_memory = in_memory and (not mark.remembered or _of_file(path / "data.mdb", files.is_remembered))
                if in_memory or mark.clean:
                    self.index = self._mapped(path)
                    self._trust_index(mark, in_memory=in_memory)
                    self._remove_indexes(but=path)
                    return
            except Exception as error:  # a damaged LMDB file raises whatever lmdb makes of it: rebuild
                self.index_was_bad = not isinstance(error, FormatUnknown | OSError)
                log.warning("the index of %s is not used: %s: %s", self.directory, type(error).__name__, error)
                if self._bus is not None:
                    self._bus.forget(path)
        self.epoch = max((self.epoch, *self._epochs())) + 1
        path = self._index_path(self.epoch)
        self._remove_indexes()
        self.index = self._mapped(path)
        self._fit()
        if self.packs.all:
            self.suspect = (0, self.first_pack)
            self._index_is_lost = True
            with self.index.writing() as txn:
                txn.set_meta(UNFINISHED, 1)
                for number in self._tried:
                    txn.note_unread(number)

    def _trust_index(self, mark: files.CleanMark, *, in_memory: bool) -> None:
        """Complete the journals from it. FormatUnknown: it is not what the mark says, of another format, or unfinished.

        A clean mark is written when the index is on the disk, and nothing is written to it after that. Where the page
        cache is gone, or the file has been put back, it shows: each transaction has a number.
        """
        found = self.index.found_transaction
        said = mark.transaction
        if found < said or (not in_memory and (found != said or not mark.clean)):
            self.index.close()
            raise FormatUnknown(f"an index at transaction {found}, where the mark says {said}")
        self._tried = self.index.unread_journals() & self.packs.all.keys()
        if self.index.meta(b"format") != INDEX_FORMAT or self.index.meta(UNFINISHED):
            self._leave_index("an index of another format, or one whose rebuild was cut short")
        if self._counts_index and self.index.used_bytes() > self.settings.size_bytes // INDEX_PART:
            self._leave_index("an index that was made for a larger volume")
        if not mark.clean and self.index.objects() == 0 and self.packs.hold_something():
            self.index.close()
            raise FormatUnknown("an index without objects, beside packs that have some")
        if self._tried and can_be_read(self.packs, self.disk, self._tried):
            self._leave_index("an index without journals that can be read now")
        if self._tried:
            log.error("%d journals cannot be read for the second time: their packs are removed", len(self._tried))
            self.journals_lost = len(self._tried)
            forget_packs(self.packs, self.index, self._tried)
        counters = self.index.counters()
        self.counter.at_least(counters.get(NEXT_PACK, 0), counters.get(NEXT_GENERATION, 1) - 1)
        self.first_pack = max(self.first_pack, self.counter.next_pack)
        complete_journals(self.packs, self.index, self.disk, self.identity.volume)

    def _epochs(self) -> list[int]:
        """Of indexes that are there."""
        names = [path.name.removeprefix("index-") for path in self._index_base().glob("index-*")]
        return [int(name) for name in names if name.isdigit()]

    def _leave_index(self, why: str) -> None:
        """FormatUnknown, once what was kept during a rebuild that was cut short stands in journals."""
        try:
            if self.index.meta(b"format") == INDEX_FORMAT:
                complete_newest(self.packs, self.index, self.disk, self.identity.volume, self._dirty_from)
        finally:
            self.index.close()
        raise FormatUnknown(why)

    @property
    def _counts_index(self) -> bool:
        """Does it lie where it counts towards the volume's size?"""
        return self.settings.index_dir is None

    def _fit(self) -> None:
        """An index is as large as what its packs hold: of a volume that is configured smaller the oldest packs go now.

        Else it would take all the room there is, and whatever is fetched would leave at once.
        """
        packs, gone = self.packs, 0
        with suppress(OSError):  # the rest is evicted
            for pack in list(packs.all.values()):
                if packs.used_bytes <= self.settings.size_bytes + 2 * self.pack_size:
                    break
                packs.remove(pack)
                gone += 1
        if gone:
            log.warning("%s has become smaller: its oldest packs (%d) are removed", self.directory, gone)

    def _begin_rebuild(self) -> Rebuild | Renewal:
        packs, front = self.packs, newest(self.packs)
        volume, tried = self.identity.volume, self._tried
        by_steps = Rebuild(packs, self.index, self.disk, volume, self.counter, self.purges, front, tried)
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
            self.index,
            packs,
            self.live,
            self.purges,
            by_steps,
            builder,
            self._place_index,
            self._adopt_index,
            self._tried,
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
        unreadable = partial(self.lose_index, "a page of the index cannot be read")
        mapped = partial(bus.watch, path, unreadable) if bus is not None else _nothing
        index = Index(path, self._map_bytes(), mapped=mapped)
        index.lost = self.lose_index
        self._is_remembered = _of_file(path / "data.mdb", files.remember) and self._is_remembered
        if bus is not None:
            index.closing = partial(bus.forget, path)
        return index

    def lose_index(self, why: str) -> None:
        """It is of no use: the next start does not trust it, and makes another one. Workers read what they can until
        then."""
        with suppress(OSError):
            os.rename(self.directory / MARK, self.directory / LOST_MARK)
        self._end(f"{why}: it will be rebuilt")

    def _map_bytes(self) -> int:
        # Addresses only, the file is as long as what is in it. The index counts towards the volume's size, so this is
        # never reached unless it takes a quarter of that: 1.3 KB an object, when each has no more than a page of a
        # pack. Of the 128 TiB that a process has, four volumes of 30 TB take 30, and for a moment twice that.
        return self.settings.index_map_bytes or min(max(GIB, self.settings.size_bytes // 4), 16 * 1024 * GIB)

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

    def _begin_mark(self) -> None:
        """From now on a start may trust the index only within this boot. Where that cannot be written, not at all."""
        try:
            self.write_mark(clean=False)
        except OSError as error:
            if not files.is_full(error):
                raise
            with suppress(FileNotFoundError):
                self.disk.unlink(self.directory / MARK)
            self.disk.sync_directory(self.directory)
            self._owes_mark = True
            log.warning("%s is full: the start after this one would rebuild the index", self.directory)
            return
        self._unlink_lost_mark()

    def _unlink_lost_mark(self) -> None:
        with suppress(OSError):
            (self.directory / LOST_MARK).unlink(missing_ok=True)

    def _more_generations(self) -> int:
        try:
            return self.counter.raise_limit()
        except OSError as error:
            if not files.is_full(error):
                raise
            return self.counter.generation_limit  # none below the limit: nothing is kept until there are more

    def pay_mark(self) -> None:
        """Write the mark that a start on a full disk could not write. OSError: it still cannot."""
        if self._owes_mark:
            self.write_mark(clean=False)
            self._owes_mark = False
            self._unlink_lost_mark()

    def write_mark(self, *, clean: bool) -> None:
        """StoreError, OSError: the index is to be `clean`, and cannot be brought to the disk: it is trusted no more."""
        if clean:
            try:
                self.index.sync(self.disk)
            except (StoreError, OSError):
                with suppress(OSError):
                    os.rename(self.directory / MARK, self.directory / LOST_MARK)
                raise
        mark = files.CleanMark(
            self._boot,
            self.epoch,
            self.counter.next_pack if clean else self._dirty_from,
            clean,
            self.index.transaction(),
            self.counter.generation_limit,
            self._is_remembered,
        )
        files.write_mark(self.disk, self.directory / MARK, mark)

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
