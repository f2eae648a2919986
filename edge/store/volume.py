"""A volume on the keeper's side: the only writer of its packs, journals and index.

All of it is synchronous and called from one store thread (`thread.StoreThread`); `lookup`, `lookup_live` and
`extents` are read transactions and may be called from the keeper's loop as well.
"""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge.clock import Clock
from edge.errors import StoreError
from edge.store.bus import Bus
from edge.store.commits import Commits
from edge.store.deletions import Deletions
from edge.store.disk import Disk
from edge.store.doubts import Doubts
from edge.store.files import suppress_full
from edge.store.health import Health, Trust, try_disk
from edge.store.hits import Shared
from edge.store.live import split_live
from edge.store.mending import Mending
from edge.store.numbers import Numbers
from edge.store.opening import End, Opened
from edge.store.pack import Reservation
from edge.store.purge import Purges
from edge.store.purgelog import EVERYTHING_STALE
from edge.store.rebuild import Rebuild
from edge.store.record import Extent, Record
from edge.store.renewal import Renewal
from edge.store.room import Room
from edge.store.scrub import Inspector
from edge.store.settings import VolumeHello, VolumeSettings, VolumeStats
from edge.store.tallies import Tallies
from edge.store.unmet import to_hello
from edge.words import Damage, Eviction

MEASURED = 500  # journals at a time, some 10 ms


def _nobody_is_told(_error: Exception) -> None:
    pass


class Volume:
    """See the module's text. `open` takes the lock, `close` gives it back."""

    def __init__(self, opened: Opened, clock: Clock, shared: Shared | None = None) -> None:
        self.directory, self.settings, self.pack_size = opened.directory, opened.settings, opened.pack_size
        self.extent_max, self.first_pack, self.suspect = opened.extent_max, opened.first_pack, opened.suspect
        self.packs, self.index, self.live = opened.packs, opened.index, opened.live
        self.tallies = Tallies()
        self.health = Health()
        self.disk_errors = 0  # that failed nobody's call
        self.room = Room(self.packs, self.index, opened.disk, self.settings, self.tallies, clock, self.flush_journals)
        self.disk_error: Callable[[Exception], object] = _nobody_is_told  # of what no call of ours ends with
        self.room.failed = lambda error: self.disk_error(error)
        self.popularity = self.room.popularity
        self.popularity.hits = shared.hits if shared else None
        self.room.recall()
        self._ages_counters = shared is None or shared.fades
        self.index.damaged = lambda: self.tallies.damage.update((Damage.INDEX,))
        self._cell = -1
        if shared is not None:
            self._cell = shared.cell
            self.index.committed = partial(shared.versions.count_up, self._cell)
            shared.versions.begin(self._cell)
        self._versions = shared.versions if shared else None
        self._known_left = shared.versions.left(self._cell) if shared else 0
        self.room.doubts = shared.doubts if shared else Doubts()
        self._opened, self._clock = opened, clock
        self._rebuild = opened.rebuild
        self.index_lost = opened.rebuild is not None  # at the start; it is rebuilt since
        self._numbers = Numbers(opened.counter, opened.first_generation, self.index.meta(b"sequence"))
        self.purges = Purges(opened, self.tallies, self._numbers)
        self._count_damage_of_start()
        self.room.revised = self.purges.log.revised
        if shared is not None:
            self.purges.on_unmet = partial(shared.versions.hide, self._cell)
        purges, numbers, tallies = self.purges, self._numbers, self.tallies
        self._commits = Commits(self.index, self.live, self.packs, self.room, tallies, numbers, self._under_way)
        self._deletions = Deletions(
            self.index, self.live, self.packs, purges, numbers, tallies, self._under_way, self.room
        )
        self.mending = Mending(opened, self._deletions, tallies, self._under_way, lambda error: self.disk_error(error))

    def _count_damage_of_start(self) -> None:
        inherited, damage = self._opened.inherited, self.tallies.damage
        if inherited.journals_lost:
            damage[Damage.JOURNAL] += inherited.journals_lost
        if inherited.index_was_bad:
            damage[Damage.INDEX_PAGES] += 1
        if self.purges.log.damaged:
            damage[Damage.PURGES] += self.purges.log.damaged

    @classmethod
    def open(
        cls,
        directory: Path,
        settings: VolumeSettings,
        *,
        clock: Clock,
        disk: Disk | None = None,
        shared: Shared | None = None,
        boot: str | None = None,
        bus: Bus | None = None,
        end: End | None = None,
        distrust: bool = False,
    ) -> "Volume":
        """Open or make a volume; for the errors, and for `bus`, `end` and `distrust`, see `Opened.begin`."""
        opened = Opened.begin(directory, settings, disk or Disk(), boot, bus, end, distrust=distrust)
        try:
            volume = cls(opened, clock, shared)
            with suppress_full():
                volume.keep_generations()
            if volume.purges.finish():
                volume.owe_everything()
        except BaseException:
            opened.let_go()
            raise
        return volume

    def _under_way(self) -> Rebuild | Renewal | None:
        return self._rebuild

    @property
    def hello(self) -> VolumeHello:
        purges = self.purges
        number, unmet = purges.unmet_number, to_hello(purges.unmet)  # in this order: a later number is told again
        return replace(
            self._opened.hello,
            version_cell=self._cell,
            off=self.health.trust is Trust.OFF,
            writable=self.health.writable,
            unmet=unmet,
            unmet_number=number,
        )

    @property
    def evictions(self) -> Tally[str]:
        """What left since the figures were last taken, by reason."""
        return self.tallies.evictions

    # -- looking up ------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Record | None:
        record = self.index.record(name)
        return self.mending.without_lost(record) if self.mending.lost and record is not None else record

    def lookup_live(self, name: bytes) -> tuple[Record, bytes] | None:
        """The record and the body of a short-lived answer."""
        raw = self.live.raw(name)
        return split_live(raw) if raw is not None else None

    def extents(self, record: Record) -> list[Extent]:
        """The extents of a generation whose packs are there."""
        found = (extent for extent in self.index.extents(record) if extent.pack in self.packs.all)
        return [extent for extent in found if not self.mending.is_lost(extent)]

    # -- writing ---------------------------------------------------------------------------------

    def new_generation(self) -> int:
        """Never re-used. StoreError: none is left. May be called from the loop's thread."""
        return self._numbers.new_generation()

    @property
    def generation(self) -> int:
        """The next one: what is stored now is older."""
        return self._numbers.generation

    def keep_generations(self) -> None:
        """Have enough of them ready (store thread: it waits for the disk)."""
        self._numbers.keep()
        self._opened.pay_mark()

    def reserve(self, length: int, name: bytes = b"\0" * 16, key: bytes = b"") -> Reservation:
        """Space for `length` <= `extent_max` bytes; StoreError when there is none or the disk fails.

        Name and key of the object say how much it is wanted; NotAdmitted: too little.
        """
        if not self.health.writable:
            raise StoreError("the volume is not written to: its disk has failed")
        return self.room.place(length, name, key)

    def write(self, place: Reservation, at: int, data: bytes | memoryview) -> None:
        self.packs.write(place, at, data)
        self.room.count_filled(len(data))

    def try_disk(self) -> None:
        """OSError: it does not work."""
        try_disk(self._opened.disk, self.directory)

    def release(self, place: Reservation) -> None:
        """A reservation's fill is over, committed or not."""
        self.packs.release(place.pack)

    def commit(self, name: bytes, record: Record, extents: Sequence[Extent]) -> bool:
        """Keep complete extents of a generation (and its record, if it is new). False: not admitted."""
        return self.commit_many([(name, record, extents)])[0]

    def commit_many(self, batch: Sequence[tuple[bytes, Record, Sequence[Extent]]]) -> list[bool]:
        """Several commits in one transaction: all visible at once, or StoreError and none."""
        return self._commits.commit_many(batch)

    def refresh(self, name: bytes, record: Record) -> bool:
        """The record after a 304: the same generation with new freshness. False if it is gone meanwhile."""
        return self._commits.refresh(name, record)

    def delete(self, name: bytes, generation: int | None, reason: Eviction) -> bool:
        """As `Deletions.delete`."""
        return self._deletions.delete(name, generation, reason)

    def put_live(self, name: bytes, record: Record, body: bytes) -> bool:
        """Keep a short-lived small answer in shared memory; it takes the place of a lasting one."""
        if self._deletions.may_come_back(name) or self.index.record(name) is not None:
            self.delete(name, None, Eviction.REPLACED)
        return self.live.put(name, record, body)

    def come_back(self, known: int | None = None) -> None:
        """If workers have left it, all that is stored now is to be asked about before its next use.

        `known`: how often they had by what the supervisor has told us; without, by the last call. It is so from now
        on; the supervisor has it done for good, and by the next keeper if this one ends.
        """
        left = self._versions.left(self._cell) if self._versions is not None else 0
        if left != (self._known_left if known is None else known):
            self.purges.hide([EVERYTHING_STALE])
        self._known_left = left

    def owe_everything(self) -> None:
        """The supervisor is to have all that is stored made stale for good."""
        if self._versions is not None:
            self._versions.leave(self._cell)

    def sweep_live(self) -> int:
        self.packs.measure_journals(MEASURED)
        self.room.tend(ages_counters=self._ages_counters)
        return self.live.sweep(self._clock.wall())

    # -- room, journals, recovery, end -----------------------------------------------------------

    def needs_room(self) -> bool:
        """Is less than a pack free? Eviction runs ahead, so that a fill never waits for it."""
        return self.room.is_needed()

    def evict_step(self, *, keep: bool = True) -> bool:
        """A bounded step of making room; False when there is nothing to evict."""
        return self.room.evict_step(keep=keep)

    def flush_journals(self) -> bool:
        """Make data durable, then write the entries that name it; seal the journals of full packs.

        Was there anything to do?
        """
        failed: OSError | None = None
        waiting = self.packs.to_flush()
        for pack, entries in waiting:
            try:
                self.packs.sync(pack)
            except OSError as error:  # what is not surely on the disk is not promised; the other packs are
                failed = error
                pack.journal_lacks = True  # it is not whole without them, nor will it be called so
                continue
            try:
                self.packs.flushed(pack, entries)
            except OSError as error:
                failed = error
                self.packs.put_back(pack, entries)
        self.packs.sync_journals()
        self._retire()
        if failed is not None:
            raise failed
        return bool(waiting)

    def _retire(self) -> None:
        """Full packs, and what a start need not look at again."""
        if retired := self.packs.retire():
            with suppress(StoreError), self.index.writing() as txn:
                for pack in retired:
                    txn.note_whole(pack.number, pack.row)

    @property
    def rebuilding(self) -> bool:
        return self._rebuild is not None

    @property
    def rebuild_waits(self) -> bool:
        """It goes on elsewhere; a step would only look whether it is over."""
        return self._rebuild is not None and self._rebuild.waits

    def rebuild_step(self) -> bool:
        """A bounded step towards a whole index; False when the rebuild is over. `epoch` may be another after it."""
        if self._rebuild is None:
            return False
        epoch = self.epoch
        more = self._rebuild.step()
        if self.epoch != epoch:
            self.room.begin_anew()
            if self._versions is not None:
                self._versions.move(self._cell, self.epoch)
        self.tallies.damage[Damage.JOURNAL] += self._rebuild.take_damaged()
        self.disk_errors += self._rebuild.take_disk_errors()
        if not more:
            self._numbers.go_beyond(self._rebuild.sequence, self._rebuild.generation)
            self._rebuild = self._opened.rebuild = None
            self.packs.rows_known = True
            self._deletions.note_rebuilt()
        return self._rebuild is not None

    def take_disk_errors(self) -> int:
        """Errors of the disk since the last call that were not raised: what met them goes on."""
        taken, self.disk_errors = self.disk_errors, 0
        return taken

    def lose_index(self, epoch: int) -> None:
        """A worker has found that pages of this index make no index. One before this has been lost already."""
        if epoch == self.epoch:
            self._opened.lose_index("a worker has found the index damaged")

    @property
    def epoch(self) -> int:
        """Which index this is."""
        return self._opened.epoch

    def inspector(self) -> Inspector:
        """What reads this volume's extents from its disk, for another thread."""
        opened = self._opened
        return Inspector(self.directory, self.index, opened.disk, self.room.doubts, opened.identity.volume)

    def stats(self) -> VolumeStats:
        return VolumeStats(
            size_bytes=self.room.taken_bytes,
            max_bytes=self.settings.size_bytes,
            objects=self.index.objects(),
            packs=len(self.packs.all),
            evictions=dict(self.evictions),
            evicted_bytes=self.tallies.evicted_bytes.total(),
            admissions=self.tallies.admissions,
            rewritten_bytes=self.tallies.rewritten_bytes,
            rebuilding=self.rebuilding,
            rebuild_progress=self._rebuild.progress if self._rebuild else 1.0,
        )

    def close(self, *, clean: bool = True) -> None:
        """Flush, mark and let go. `clean=False` leaves the directory as a crash of this process would.

        OSError, StoreError: the disk; it has been left like that, too.
        """
        try:
            if clean:
                self._end_in_order()
        finally:
            self._opened.let_go()

    def _end_in_order(self) -> None:
        self.flush_journals()
        self.packs.actives.clear()
        for pack in self.packs.all.values():
            pack.sealed, pack.open_reservations = True, 0
        self._retire()
        self.room.remember()
        self._opened.mark_end(clean=self._rebuild is None)
