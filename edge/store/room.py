"""Making room: the oldest pack of a row leaves, what is wanted in it is appended anew (DESIGN D3)."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from edge.clock import Clock
from edge.errors import IndexFull, NotAdmitted, StoreError
from edge.store.budget import SPENT, WriteBudget
from edge.store.disk import Disk
from edge.store.doubts import Doubts, volume_id
from edge.store.eviction import NEW_SHARE, Policy, Row, admit, least_score, stay_share, victims
from edge.store.files import write_whole
from edge.store.health import is_of_the_disk
from edge.store.index import Index
from edge.store.journal import ExtentEntry, ObjectEntry
from edge.store.pack import ALIGN, Pack, Reservation
from edge.store.packs import Packs
from edge.store.popularity import Popularity, with_sum
from edge.store.record import Extent, Record, sums_match
from edge.store.settings import VolumeSettings
from edge.store.tables import HALF_GONE, Placed
from edge.store.tallies import Tallies
from edge.store.traits import traits_of
from edge.words import MIB, Damage, Eviction

REMEMBER_SECONDS = 3600.0
MOVE_STEP = 8 * MIB  # bytes appended anew in one step of eviction, so that fills are not held up
MOVES_STEP = 250  # and extents: each costs a transaction
PLACES_STEP = 1000  # of a pack: looked at, or forgotten, in one step and one transaction; some 20 ms
SMALL_FILES = 128 << 10  # counter, lock, table of readers, mark, purges
SPARE_SHARE = 8  # of the index's map, the part that is kept for eviction: deleting takes pages before it gives any
SPARE_LEAST = 384 << 10  # some transactions of one name, each on its own way through six tables
MAKING_SECONDS = 1.0  # that a fill waits for room: what holds the thread up for longer counts as a disk that hangs
LETTING_GO_SECONDS = 1.0  # workers have a deleted pack open for about a tenth of that

log = logging.getLogger("edge.store")


def _nobody_is_told(_error: Exception) -> None:
    pass


class Room:
    """Keeps a volume's packs within their bound, a step at a time; runs in the store thread."""

    def __init__(
        self,
        packs: Packs,
        index: Index,
        disk: Disk,
        settings: VolumeSettings,
        tallies: Tallies,
        clock: Clock,
        flush: Callable[[], object],
    ) -> None:
        self._flush = flush  # makes all that was written durable
        self.popularity = Popularity(settings.size_bytes, packs.size, clock.wall())
        self.budget = WriteBudget(settings.daily_writes, self.popularity)
        self.doubts = Doubts()
        self.failed: Callable[[Exception], object] = _nobody_is_told  # of the disk's errors while appending anew
        self.revised: Callable[[Record], Record | None] = lambda record: record  # as the purges noted so far leave it
        self._file, self._remembered = packs.directory.parent / "popularity", clock.wall()
        self._draft: Iterator[bytes] | None = None  # popularity, being written down
        self._drafted: list[bytes] = []
        self._volume = volume_id(packs.directory.parent)
        self._packs, self._index, self._disk = packs, index, disk
        self._settings, self._tallies, self._clock = settings, tallies, clock
        self.space: tuple[float, float] | None = None  # bytes that are free, and of them not for us; as last measured
        self._evicting: int | None = None
        self._keeps = True  # something of it may stay
        self._looked: list[Placed] | None = None  # what lies in it, as far as it is known; None: it is divided
        self._scores: dict[int, float] = {}  # by offset
        self._staying: list[Placed] = []
        self._going: list[Placed] = []
        self._moved = False  # something of it
        self.is_half_gone = False  # something of it has been forgotten: its journal tells of what the index has not
        self._deleted: deque[tuple[float, int]] = deque()  # packs: when, and their bytes
        self._others = SMALL_FILES
        self._counts_index = settings.index_dir is None  # else it lies on another disk

    def __repr__(self) -> str:
        return f"<Room evicting={self._evicting} staying={len(self._staying)} going={len(self._going)}>"

    @property
    def written_today(self) -> float:
        """Bytes of fills and re-appends since midnight UTC."""
        return self.budget.written(self._clock.wall())

    def recall(self) -> None:
        """What an earlier run knew of popularity; without it everything begins as new."""
        try:
            known = self._file.read_bytes()
            self._others = SMALL_FILES + 2 * len(known)
            self.popularity.restore(known, self._clock.wall())
        except FileNotFoundError:
            pass
        except (OSError, StoreError) as error:
            log.warning("popularity is not known: %s", error)
        self.budget.recall(self._index.meta(SPENT))
        number = self._index.meta(HALF_GONE)
        if number in self._packs.all:
            self._evicting, self._looked, self.is_half_gone = number, [], True

    def remember(self) -> None:
        """Write popularity down; a crash of the machine costs what was learnt since."""
        self._draft = None
        self._write(self.popularity.to_bytes(self._clock.wall()))

    def _write(self, known: bytes) -> None:
        self._others = SMALL_FILES + 2 * len(known)  # the old file, and the new one that is to take its place
        try:
            write_whole(self._disk, self._file, known)
        except OSError as error:
            log.warning("popularity cannot be kept: %s", error)

    def tend(self, *, ages_counters: bool) -> None:
        """What is due from time to time; cheap when nothing is."""
        now = self._clock.wall()
        self.popularity.age(now, counters=ages_counters)
        if not 0 <= now - self._remembered < REMEMBER_SECONDS:
            self._remembered = now
            self._draft, self._drafted = self.popularity.in_pieces(now), []
        if self._draft is not None:  # a piece at a time: others wait for this thread
            piece = next(self._draft, None)
            if piece is not None:
                self._drafted.append(piece)
                return
            known, self._draft, self._drafted = with_sum(self._drafted), None, []
            self._write(known)

    def place(self, length: int, name: bytes, key: bytes) -> Reservation:
        """Room for a part of a fill, in the row where it belongs; StoreError: none; NotAdmitted: not worth it."""
        now = self._clock.wall()
        score = self.popularity.observe(name, traits_of(key, self.popularity.titles))
        try:
            self.budget.check(score, now)
        except NotAdmitted:
            self._tallies.refused += 1
            raise
        self.ensure(length)
        return self._packs.reserve(length, admit(self._settings.policy, score, self.popularity.level))

    @property
    def taken_bytes(self) -> int:
        """What counts towards the volume's size: packs, journals, index."""
        index = self._index.used_bytes() if self._counts_index else 0
        return self._packs.used_bytes + self._packs.journal_bytes + index + self._others

    def count_filled(self, length: int) -> None:
        """Bytes of a fill were written; what is reserved and never comes costs nothing."""
        now = self._clock.wall()
        self.popularity.earn(length, now)
        self.budget.spend(length, now)

    def ensure(self, length: int) -> None:
        """Room for `length` bytes now, or StoreError."""
        most = self._settings.size_bytes + 2 * self._packs.size
        if self.taken_bytes + self._packs.size > most or self._index_is_tight():
            until = self._clock.monotonic() + MAKING_SECONDS  # the rest goes between calls
            while self.is_needed() and (self.evict_step() or self._seal_for_index()):
                if self._clock.monotonic() >= until:
                    break
            if self.taken_bytes + length > most:
                raise StoreError("the volume is full, and room is yet to be made, or nothing can be evicted")
        if self._lacks_space() and not self._make_space(length):
            raise StoreError("the file system has too little free space")

    def measure(self) -> None:
        """Note how much room the file system has."""
        free, whole = self._disk.space(self._packs.directory)
        self.space = free, whole * self._settings.min_free_ratio

    def _lacks_space(self, coming: int = 0) -> bool:
        free, whole = self._disk.space(self._packs.directory)
        return free + coming < whole * self._settings.min_free_ratio

    def _make_space(self, length: int) -> bool:
        """Evict whole packs until the file system will have its minimum free again; has it room for `length` now?

        It has the bytes of a deleted pack once no worker has that open any more: until then they count as free, or
        one pack after the other would go in vain.
        """
        until = self._clock.monotonic() + MAKING_SECONDS
        while self._lacks_space(self._coming_free()):
            if not self.evict_step(keep=False) or self._clock.monotonic() >= until:
                return False
        return self._disk.space(self._packs.directory)[0] >= length

    def _coming_free(self) -> int:
        """Bytes of packs that were deleted a moment ago."""
        self._forget_deleted()
        return sum(length for _, length in self._deleted)

    def _forget_deleted(self) -> None:
        until = self._clock.monotonic() - LETTING_GO_SECONDS
        while self._deleted and self._deleted[0][0] <= until:
            self._deleted.popleft()

    def is_needed(self) -> bool:
        """Is it full? Two packs more may be used until a fill has to wait for eviction."""
        if self._evicting is not None or self.taken_bytes + ALIGN > self._settings.size_bytes:
            return True
        return self._index_is_tight()

    def _index_is_tight(self) -> bool:
        index = self._index
        least = max(index.map_bytes // SPARE_SHARE, SPARE_LEAST)
        if index.map_bytes - index.used_bytes() >= least:  # what is free within its file need not be counted
            return False
        return index.spare_bytes() < least

    def _seal_for_index(self) -> bool:
        """Have packs that are written to leave as well, where what is in them alone fills the index."""
        if self._index_is_tight():
            self._packs.seal_all()
        return self._next() is not None

    def make_index_room(self) -> bool:
        """The index's map is full: one pack leaves, with all that is in it, or for a second. False: there is none."""
        until = self._clock.monotonic() + MAKING_SECONDS  # the rest goes between calls
        if self._evicting is None and self._next() is None:
            self._packs.seal_all()
        if not self.evict_step(keep=False):
            return False
        while self._evicting is not None:  # it takes some steps; and if it was begun before, something of it stays
            if self.is_half_gone and self._clock.monotonic() >= until:
                break
            self.evict_step(keep=False)
        return True

    def evict_step(self, *, keep: bool = True) -> bool:
        """A bounded step of making room; False when there is nothing to evict.

        A pack may hold 200,000 small objects: to look at all of them, and to forget them, takes seconds.
        """
        if self._evicting is None:
            pack = self._next()
            if pack is None:
                return False
            self._evicting, self._keeps, self._looked, self._scores = pack.number, keep, [], {}
        if self._looked is not None:
            self._keeps = self._keeps and keep
            self._look_on(self._evicting, self._looked)
            if self._looked is not None:
                return True
        moved = tried = 0
        while self._staying and moved < MOVE_STEP and tried < MOVES_STEP:
            entry, tried = self._staying.pop(), tried + 1
            if self._append_anew(entry):
                self._moved = True
                moved += entry.length
            else:
                self._going.append(entry)
        if not self._staying:
            forgotten = self._forget_some()
            if not self._going:  # what a rebuild has found since it was looked at, or a step has failed with, is left
                self._going = self._index.left_in(self._evicting, forgotten, PLACES_STEP)
            self.is_half_gone = bool(self._going)
            if not self._going:
                self._finish_eviction()
        return True

    def _next(self) -> Pack | None:
        new, kept = self._packs.oldest(Row.NEW), self._packs.oldest(Row.KEPT)
        if new is not None and self._packs.row_bytes(Row.NEW) > NEW_SHARE * self._settings.size_bytes:
            return new
        return kept or new

    def _look_on(self, number: int, looked: list[Placed]) -> None:
        """Learn what else lies in the pack that is evicted, and how much it is wanted; then divide it."""
        batch = self._index.placed(number, looked[-1].offset if looked else -1, PLACES_STEP)
        if self._keeps:
            score = self._score if self._settings.policy is Policy.POPULAR else self._count
            self._scores.update((entry.offset, score(entry)) for entry in batch)
        looked += batch  # only now: where a score cannot be had, the next step looks at the same ones again
        if len(batch) == PLACES_STEP:
            return
        row = self._packs.all[number].row if number in self._packs.all else Row.NEW
        self._staying, self._going = self._divide(row, looked) if self._keeps else ([], looked)
        self._looked, self._scores = None, {}

    def _divide(self, row: Row, placed: list[Placed]) -> tuple[list[Placed], list[Placed]]:
        popularity, policy, scores = self.popularity, self._settings.policy, self._scores
        loose = 1 - self.budget.tightness(self._clock.wall())
        budget = stay_share(policy, row) * self._packs.size * loose
        if policy is Policy.POPULAR:
            budget = min(stay_share(policy, row) * self._packs.size, popularity.credit * loose)
        least = least_score(policy, row, popularity.level)
        staying, going, lowest = victims(placed, lambda entry: scores[entry.offset], least, budget)
        popularity.let_go(lowest if row is Row.KEPT else -1.0, sum(entry.length for entry in staying))
        staying.reverse()  # what is wanted most comes first, from the end of the list
        return staying, going

    def _count(self, entry: Placed) -> float:
        return self.popularity.hits.count(entry.name) if self.popularity.hits is not None else 0

    def _score(self, entry: Placed) -> float:
        return self.popularity.observe(entry.name, traits_of(self._index.key(entry.name), self.popularity.titles))

    def _append_anew(self, entry: Placed) -> bool:
        """Read, verify, write elsewhere, point the index there. False when it is not worth or not possible."""
        record = self._index.record(entry.name)
        if record is None or record.generation != entry.generation:
            return False
        extent = self._index.extent(record, entry.start)
        if extent is None or extent.pack != entry.pack or not record.flags:
            return False
        row = Row.KEPT if self._settings.policy is Policy.POPULAR else Row.NEW
        # A purge under way may not have come to it, and the log keeps it in mind for packs that were there before only.
        revised = self.revised(record)
        if revised is None:
            return False
        record = revised
        try:
            data = self._read_verified(record, extent)
            place = self._packs.reserve(extent.length, row)
        except (OSError, StoreError) as error:
            self._tell(error)
            return False
        moved = replace(extent, pack=place.pack, offset=place.offset)
        try:
            self._packs.write(place, 0, data)
            self.budget.spend(extent.length, self._clock.wall())
            with self._index.writing() as txn:
                txn.move_extent(entry.name, record, extent, moved)
                txn.set_meta(SPENT, self.budget.mark)
        except (OSError, StoreError) as error:
            self._tell(error)
            return False
        finally:
            self._packs.release(place.pack)
        self._packs.log(place.pack, ObjectEntry(entry.name, record))
        self._packs.log(place.pack, ExtentEntry(entry.name, record.generation, moved))
        if self.popularity.hits is not None and self._settings.policy is not Policy.POPULAR:
            self.popularity.hits.halve(entry.name)
        self._tallies.rewritten_bytes += extent.length
        return True

    def _tell(self, error: Exception) -> None:
        if is_of_the_disk(error):
            self.failed(error)

    def _read_verified(self, record: Record, extent: Extent) -> bytes:
        """StoreError: the bytes are not what their checksums say."""
        fd = self._disk.open(self._packs.pack_path(extent.pack), 0)
        try:
            self._disk.read_no_further(fd)
            with self.doubts.reading(self._volume, extent.pack, extent.offset, extent.offset + extent.length):
                data = self._disk.pread_pack(fd, extent.length, extent.offset)
                if not sums_match(record, extent, data):
                    self._tallies.damage[Damage.CORRUPT] += 1
                    raise StoreError(f"the extent at {extent.offset} of pack {extent.pack} is damaged")
                return data
        finally:
            self._disk.close(fd)

    def _forget_some(self) -> list[Placed]:
        """Of what goes. What could not be forgotten is still to be: without its pack nobody would find it again."""
        step = PLACES_STEP
        while self._going:
            forgotten = self._going[-step:]
            try:
                with self._index.writing() as txn:
                    gone = [extent for entry in forgotten for extent in txn.forget_place(entry)]
                    if len(self._going) > step and not self.is_half_gone:  # the next run is to go on with it
                        txn.set_meta(HALF_GONE, self._evicting or 0)
            except IndexFull:  # each name changes some pages, which are free again after the next transaction
                if step == 1:
                    raise
                step = max(1, step // 8)
                continue
            del self._going[-step:]
            self._tallies.evicted(Eviction.CAPACITY, len(gone), sum(extent.length for extent in gone))
            return forgotten
        return []

    def _finish_eviction(self) -> None:
        if self._moved:  # else a power loss would cost what is wanted most: the old copy gone, the new one not there
            with suppress(OSError):  # on a full disk room matters more
                self._flush()
            self._moved = False
        pack = self._packs.all.get(self._evicting or 0)
        self._evicting = None
        if pack is not None:
            self._tallies.ages.append(self._packs.idle_seconds(pack, self._clock.wall()))
            self._packs.remove(pack)
            self._forget_deleted()
            self._deleted.append((self._clock.monotonic(), pack.used))

    def begin_anew(self) -> None:
        """The index has become another: what it says of a pack that is being evicted is to be asked again."""
        self._evicting, self._looked, self._scores, self._staying, self._going = None, None, {}, [], []
        self.is_half_gone = False
