"""A volume on the worker's side: look-ups, open packs, residency, verified reads. Never writes (DESIGN D4, D7)."""

import asyncio
import logging
import os
import resource
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import lmdb

from edge.clock import Clock
from edge.reads import read_at
from edge.store.bus import Bus
from edge.store.doorkeeper import Doorkeeper
from edge.store.doubts import Doubts, volume_id
from edge.store.hits import Shared
from edge.store.live import LiveTable, split_live
from edge.store.looking import NoIndex, ReadIndex
from edge.store.packfile import CorruptExtent, PackEndsEarly, PackFile, close, read_blocks
from edge.store.presence import Presence
from edge.store.record import Extent, Record, blocks, decode_stored
from edge.store.residency import Residency, forget_pages
from edge.store.seen import Seen
from edge.store.settings import VolumeHello
from edge.store.unmet import from_hello
from edge.store.version import EPOCH_SHIFT, UNMET_MOST, UNMET_SHIFT, epoch_mark, marked_epoch
from edge.words import KIB

MEMO: Final = 10_000  # decoded records kept; a record costs about 1.5 KiB
OPEN_PACKS: Final = 1024  # descriptors; a volume has 64 packs or a few more, up to 64 GB; then one of each GB
FEW_PACKS: Final = 64  # where a process may have few descriptors
VERIFIED_BLOCKS: Final = 200_000
SMALL: Final = 64 * KIB
THREADS: Final = 4  # that read from the disk


def _not_counted(name: bytes) -> bool:
    return False


TIMED_MOST: Final = 1000  # reads whose time waits to be counted

log = logging.getLogger("edge.store")


class Reader:
    """See the module's text; used from the worker's loop only."""

    def __init__(self, hello: VolumeHello, clock: Clock, shared: Shared | None = None, bus: Bus | None = None) -> None:
        self._clock, self._bus = clock, bus or Bus()
        self._doubts = shared.doubts if shared else Doubts()
        self._versions = shared.versions.cells if shared else None
        self.touch: Callable[[bytes], bool] = shared.hits.touch if shared else _not_counted  # a name was hit
        self._residency = Residency()
        self._pool = ThreadPoolExecutor(THREADS, "disk")
        self._closing: SimpleQueue[tuple[int, list[memoryview]]] = SimpleQueue()  # packs that nobody has any more
        self._closed = False
        self._reading = 0
        self._memo: OrderedDict[bytes, tuple[bytes, Record, int]] = OrderedDict()
        self._door = Doorkeeper()  # of the memo
        self._live_memo: OrderedDict[bytes, tuple[bytes, Record, bytes]] = OrderedDict()
        self._packs: OrderedDict[int, PackFile] = OrderedDict()
        self._most_packs = max(FEW_PACKS, min(OPEN_PACKS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8))
        self._verified: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.cold_reads = self.cold_lookups = 0
        self._read_seconds: deque[float] = deque(maxlen=TIMED_MOST)  # the pool's threads append, the loop takes
        self._open(hello)

    def __repr__(self) -> str:
        return f"<Reader {self.hello.directory} epoch={self.hello.epoch} packs={len(self._packs)}>"

    @property
    def unreadable(self) -> bool:
        """The disk cannot give the index: nothing is found in it until it is opened anew."""
        return self._index.unreadable

    @property
    def damaged(self) -> bool:
        """Do the index's pages make none? Then it has to be made anew."""
        return self._index.damaged

    def _open(self, hello: VolumeHello) -> None:
        self.hello = hello
        self._unmet = from_hello(hello.unmet)  # purges that are not in the index yet
        self._directory = Path(hello.directory) / "packs"
        self._cell = hello.version_cell
        self._volume = volume_id(Path(hello.directory))
        self.seen = Seen(self._clock, self._residency, self._doubts, self._volume)
        self._epoch_mark = epoch_mark(hello.epoch)
        self._index: ReadIndex | NoIndex = NoIndex()
        self._live: LiveTable | NoIndex = NoIndex()
        try:
            self._live = LiveTable(Path(hello.live_path), hello.live_bytes, readonly=True)
            self._index = ReadIndex(Path(hello.index_path), hello.index_map_bytes, self._bus)
        except (lmdb.Error, OSError) as error:  # its disk has failed, or its keeper has gone with it
            log.warning("the index of %s cannot be opened: %s", hello.directory, error)
        self._presence = Presence(self._index, self._clock)

    def reopen(self, hello: VolumeHello) -> None:
        """A keeper has said hello again: another index, another live table, other packs to verify.

        If they cannot be opened, the volume counts as unreadable.
        """
        index, live, old = self._index, self._live, self.hello
        self._unmet = from_hello(hello.unmet)
        self._memo.clear()
        self._live_memo.clear()
        self._verified.clear()
        same = hello.index_path == old.index_path and hello.live_path == old.live_path
        if (same and not index.unreadable) or (index.unreadable and index.walkers):
            self.hello, self._cell = hello, hello.version_cell  # the latter is opened anew when they have come back
            return
        self._presence.close()
        live.close()
        self._open(hello)

    def _follow(self, mark: int) -> None:
        """The keeper writes into another index by now, and its hello is on its way."""
        epoch = marked_epoch(mark, self.hello.epoch)
        path = Path(self.hello.index_path).with_name(f"index-{epoch}")
        try:
            index = ReadIndex(path, self.hello.index_map_bytes, self._bus)
        except lmdb.Error:  # that keeper has gone, and the next one begins anew: its hello will say where
            return
        self._presence.close()
        self._index, self._epoch_mark = index, mark
        self._presence = Presence(index, self._clock, whole=True)  # it has just been written
        self.hello = replace(self.hello, epoch=epoch, index_path=str(path))

    # -- looking up ------------------------------------------------------------------------------

    def would_wait(self, name: bytes) -> bool:
        """Might looking this name up wait for the disk? Then `bring` it first."""
        presence = self._presence
        if presence.whole:
            return False
        known = self._memo.get(name)
        if known is not None and self._versions is not None and self._cell >= 0:
            first = known[1].first
            if known[2] == self._versions[self._cell] and first is not None and first.length >= known[1].total:
                return False
        return not presence.has(name)

    async def bring(self, name: bytes) -> None:
        """After this, looking a name up does not wait for the disk."""
        if self.would_wait(name):
            self.cold_lookups += 1
            await self._presence.bring(name)

    @property
    def presence(self) -> Presence:
        """Is the index in memory?"""
        return self._presence

    def lookup(self, name: bytes) -> Record | None:
        """The record of a name; from the second time on the same object as long as the index has the same bytes."""
        version = self._versions[self._cell] if self._versions is not None and self._cell >= 0 else -1
        known = self._memo.get(name)
        if known is not None and known[2] == version >= 0:
            return known[1]
        if version >> EPOCH_SHIFT > 0 and version >> EPOCH_SHIFT != self._epoch_mark:
            self._follow(version >> EPOCH_SHIFT)
        if version >= 0 and version >> UNMET_SHIFT & UNMET_MOST != self.hello.unmet_number:
            return None  # the hello that says what is not to be seen is on its way
        raw = self._index.raw(name)
        if raw is None:
            return None
        record = known[1] if known is not None and known[0] == raw else decode_stored(raw)
        if record is None:  # damaged: the keeper finds the same, and the object is fetched again
            return None
        if self._unmet is not None:
            record = self._unmet.revised(record)
            if record is None:
                return None
        if known is None and not self._door.admits(name):
            return record
        self._memo[name] = raw, record, version
        if len(self._memo) > MEMO:
            self._memo.popitem(last=False)
        return record

    def lookup_live(self, name: bytes) -> tuple[Record, bytes] | None:
        """The record and the whole body of a short-lived answer."""
        raw = self._live.raw(name)
        if raw is None:
            return None
        known = self._live_memo.get(name)
        if known is not None and known[0] == raw:
            return known[1], known[2]
        record, body = split_live(raw)
        self._live_memo[name] = raw, record, body
        if len(self._live_memo) > 1000:
            self._live_memo.popitem(last=False)
        return record, body

    def extent_at(self, record: Record, position: int) -> Extent | None:
        """The extent that has the byte at `position`."""
        first = record.first
        if first is not None and first.start <= position < first.start + first.length:
            return first
        found = self._index.extent_before(record.generation, position)
        return found if found is not None and position < found.end else None

    def pack_file(self, number: int) -> PackFile | None:
        """An open pack, None when it is gone."""
        file = self._packs.get(number)
        if file is None:
            try:
                path = self._directory / f"{number:010d}.pack"
                file = PackFile(path, number, self._close_pack, self._residency)
            except OSError:
                return None
            self._packs[number] = file
            if len(self._packs) > self._most_packs:
                self._packs.popitem(last=False)
        return file

    def _close_pack(self, fd: int, mapped: list[memoryview]) -> None:
        """Not on the loop: with the last that has it open, a pack that was evicted goes from the disk.

        Nor handed to the pool here: a garbage collection calls this in the middle of anything, also of `submit`, whose
        lock it would wait for for ever. This queue is made for that.
        """
        self._closing.put((fd, mapped))
        if self._closed:
            self._close_some()

    def _close_some(self) -> None:
        with suppress(Empty):
            while True:
                close(*self._closing.get_nowait())

    def let_go_of_gone_packs(self) -> None:
        """Evicted packs take up the disk for as long as anybody has them open: to be called often."""
        for number in [n for n, file in self._packs.items() if os.fstat(file.fileno()).st_nlink == 0]:
            del self._packs[number]
        if not self._closing.empty() and not self._closed:
            self._pool.submit(self._close_some)

    # -- bytes -----------------------------------------------------------------------------------

    def small(self, record: Record, extent: Extent, position: int, length: int) -> bytes | None:
        """Up to 64 KiB in one call that never waits for the disk; None when it is not all in memory."""
        if length == 0:
            return b""
        if position + length > extent.start + extent.length or not self._trusted(record, extent, position, length):
            return None
        file = self._packs.get(extent.pack) or self.pack_file(extent.pack)
        if file is None or not self.seen.is_warm(file, extent, position - extent.start, length):
            return None
        at, bus = extent.offset + position - extent.start, self._bus
        bus.copying = True
        try:
            data = file.copy(at, length)  # resident: a copy out of the mapping costs a third of a pread
        finally:
            bus.copying = False
        if bus.torn:
            self._forget_torn(file)
            return None
        return data

    def ready(self, record: Record, extent: Extent, position: int, length: int) -> PackFile | None:
        """The file of a window that may be sent at once: verified where that is due, and wholly in the page cache."""
        hello, pack = self.hello, extent.pack
        if hello.suspect_from <= pack < hello.suspect_to and not self._trusted(record, extent, position, length):
            return None
        file = self._packs.get(pack) or self.pack_file(pack)
        if file is None or not self.seen.is_warm(file, extent, position - extent.start, length):
            return None
        return file

    def _forget_torn(self, file: PackFile) -> None:
        """It was not resident, and the disk does not give it: its mapping has a page of zeros."""
        self._bus.torn = False
        self.seen.forget_all()
        file.torn = True
        self._packs.pop(file.number, None)

    def _trusted(self, record: Record, extent: Extent, position: int, length: int) -> bool:
        if not self.hello.suspect_from <= extent.pack < self.hello.suspect_to:
            return True
        size = record.slice_size
        first = max(extent.start, position - position % size)
        return all(
            (extent.pack, extent.offset + start - extent.start) in self._verified
            for start, _ in blocks(first, position + length - first, size)
        )

    async def read_verified(self, record: Record, extent: Extent, position: int, length: int) -> bytes:
        """Read in the pool the blocks that cover a stretch, compare their checksums, return the stretch.

        CorruptExtent: a checksum does not match. OSError: the disk.
        """
        file = self.pack_file(extent.pack)
        if file is None:
            raise PackEndsEarly(f"pack {extent.pack} is gone")
        data = await self._in_pool(partial(self._read_blocks, file, record, extent, position, length))
        size = record.slice_size
        first = max(extent.start, position - position % size)
        for start, _ in blocks(first, position + length - first, size):
            self._verified[extent.pack, extent.offset + start - extent.start] = None
            if len(self._verified) > VERIFIED_BLOCKS:
                self._verified.popitem(last=False)
        return data

    async def read_announced(self, pack: int, offset: int, length: int) -> bytes:
        """Read in the pool what a fill has just written, if the kernel has let go of that already; nobody knows its
        checksums yet. Otherwise as `read_verified`.
        """
        file = self.pack_file(pack)
        if file is None:
            raise PackEndsEarly(f"pack {pack} is gone")
        return await self._in_pool(partial(self._read_unverified, file, offset, length))

    async def _in_pool(self, read: Callable[[], bytes]) -> bytes:
        self.cold_reads += 1
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, read)
        except OSError:
            self.seen.forget_all()
            raise
        finally:
            self._reading -= 1

    def _read_blocks(self, file: PackFile, record: Record, extent: Extent, position: int, length: int) -> bytes:
        """In a pool thread: the blocks that cover a stretch are read and verified; the stretch itself."""
        pieces = enumerate(blocks(extent.start, extent.length, record.slice_size))
        wanted = [(i, s, e) for i, (s, e) in pieces if e > position and s < position + length]
        low, high = wanted[0][1], wanted[-1][2]
        first, size = extent.offset + low - extent.start, high - low
        began = time.perf_counter()
        with self._doubts.reading(self._volume, extent.pack, first, first + size):
            try:
                data = read_blocks(file, extent, wanted)
                self._read_seconds.append(time.perf_counter() - began)
            except (CorruptExtent, OSError):  # pages that the disk did not give are there all the same, says cachestat
                forget_pages(file.fileno(), first, size)
                raise
        return data[position - low : position - low + length]

    def _read_unverified(self, file: PackFile, offset: int, length: int) -> bytes:
        """In a pool thread. What is in memory counts as verified: it does not stay there."""
        with self._doubts.reading(self._volume, file.number, offset, offset + length):
            try:
                data = read_at(file.fileno(), length, offset)
            finally:
                forget_pages(file.fileno(), offset, length)
        if len(data) != length:
            raise PackEndsEarly(f"pack {file.number} ends early")
        return data

    @property
    def reads_waiting(self) -> int:
        """Reads that wait for a thread."""
        return max(0, self._reading - THREADS)

    def take_read_seconds(self) -> list[float]:
        """How long reads have taken since the last call, checksums included: the last thousand of them at most."""
        return [self._read_seconds.popleft() for _ in range(len(self._read_seconds))]

    def take_cold_reads(self) -> int:
        """Windows read from the disk since the last call."""
        taken, self.cold_reads = self.cold_reads, 0
        return taken

    def take_cold_lookups(self) -> int:
        """Names looked up in a thread first since the last call."""
        taken, self.cold_lookups = self.cold_lookups, 0
        return taken

    def close(self) -> None:
        self._closed = True
        self._close_some()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._presence.close()
        self._live.close()
