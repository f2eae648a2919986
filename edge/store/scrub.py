"""Reads what nobody asks for and compares its checksums: a disk goes bad where it is not looked at.

A thread of its own, beside the store thread: it only reads the index and the packs. It reads past the page cache
(O_DIRECT), so that it sees the disk itself, drives nothing out of memory, and leaves no page there that would count
as verified; a file system without that is read as everybody reads it, doubted meanwhile. What is found bad is told
to the store thread, which forgets it; the object is fetched again when it is asked for.

    for each pack, oldest first: what the index says lies in it, in order of offset
        read, compare; bad, and the index still says so -> report
    its journal, if it is sealed: its entries' checksums; bad -> it is written anew from the index; one that the disk
        does not give -> report
    the pack is noted, so that a pass goes on there after a start

Bounds: `rate` bytes a second, in steps of one extent (16 MiB); at work only while `opens_in` says 0.
"""

import errno
import logging
import mmap
import os
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from edge.clock import Clock
from edge.store.disk import Disk
from edge.store.doubts import Doubts, volume_id
from edge.store.health import is_of_the_disk
from edge.store.journal import is_whole
from edge.store.pack import EXTENT_LIMIT
from edge.store.record import Extent, Record, sums_match
from edge.store.tables import Placed
from edge.words import Damage

PAGE: Final = mmap.PAGESIZE
CLOSED_SECONDS: Final = 60.0  # a window is looked at so often: clocks are set
RETRY_SECONDS: Final = 60.0
NO_OBJECT: Final = bytes(16)  # the name of no object

log = logging.getLogger("edge.store")


class Known(Protocol):
    """What an index says."""

    def placed(self, pack: int, after: int = -1, limit: int = 1000) -> list[Placed]: ...
    def record(self, name: bytes) -> Record | None: ...
    def extent(self, record: Record, start: int) -> Extent | None: ...
    def is_damaged(self, placed: Placed) -> bool: ...
    def is_whole(self, pack: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class BadExtent:
    """What is wrong, and with what."""

    name: bytes
    generation: int
    start: int
    pack: int
    offset: int
    length: int
    damage: Damage
    key: bytes

    def __str__(self) -> str:
        what = self.key.decode(errors="replace")
        return f"pack {self.pack} at {self.offset}, {self.length} bytes: {self.damage.value}: {what}"


class _Bad(Exception):
    """Bytes of an extent are not what was written."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage)
        self.damage = damage


def _check(record: Record, extent: Extent, data: bytes) -> None:
    if len(data) < extent.length:
        raise _Bad(Damage.TRUNCATED)
    if not sums_match(record, extent, data):
        raise _Bad(Damage.CORRUPT)


class Inspector:
    """Reads extents of a volume from its disk; not to be used from two threads."""

    def __init__(
        self, directory: Path, known: Known, disk: Disk, doubts: Doubts, identity: uuid.UUID | None = None
    ) -> None:
        self._identity = identity
        self._packs, self._volume = directory / "packs", volume_id(directory)
        self._known, self._disk, self._doubts = known, disk, doubts
        self._buffer = mmap.mmap(-1, EXTENT_LIMIT + PAGE)  # page-aligned, as O_DIRECT wants it

    def close(self) -> None:
        self._buffer.close()

    def current(self, placed: Placed) -> tuple[Record, Extent] | None:
        """What the index says of a place now; None if nothing lies there any more."""
        record = self._known.record(placed.name)
        if record is None or record.generation != placed.generation:
            return None
        extent = self._known.extent(record, placed.start)
        if extent is None or (extent.pack, extent.offset) != (placed.pack, placed.offset):
            return None
        return record, extent

    def look(self, placed: Placed) -> BadExtent | None:
        """None: it is whole, or not there any more."""
        found = self.current(placed)
        if found is None:
            if not self._known.is_damaged(placed):
                return None
            return BadExtent(
                placed.name,
                placed.generation,
                placed.start,
                placed.pack,
                placed.offset,
                placed.length,
                Damage.INDEX,
                b"",
            )
        damage = self._damage(*found)
        if damage is None or self.current(placed) != found:  # evicted, or replaced, while it was being read
            return None
        record, extent = found
        return BadExtent(
            placed.name,
            record.generation,
            extent.start,
            extent.pack,
            extent.offset,
            extent.length,
            damage,
            record.key,
        )

    def journal(self, pack: int) -> tuple[Damage | None, int]:
        """What is wrong with a sealed pack's journal, and its bytes; one that is being written to is not looked at."""
        path = self._packs / f"{pack:010d}.journal"
        if self._identity is None or not self._known.is_whole(pack):
            return None, 0
        try:
            fd = self._disk.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return (Damage.JOURNAL if self._known.is_whole(pack) else None), 0  # evicted meanwhile?
        except OSError as error:
            return self._of_the_disk(error), 0
        try:
            self._disk.forget(fd)  # the disk is to be asked, not memory
            length = os.fstat(fd).st_size
            whole = is_whole(partial(self._disk.pread, fd), pack, self._identity)
            return (None if whole else Damage.JOURNAL), length
        except OSError as error:
            return self._of_the_disk(error), 0
        finally:
            self._disk.close(fd)

    @staticmethod
    def _of_the_disk(error: OSError) -> Damage:
        """What an error means for what was to be read; descriptors, memory: nothing."""
        if not is_of_the_disk(error):
            raise error
        return Damage.STORE_FAILED

    def _damage(self, record: Record, extent: Extent) -> Damage | None:
        try:
            self._compare(record, extent)
        except FileNotFoundError:
            return Damage.TRUNCATED
        except OSError as error:
            return self._of_the_disk(error)
        except _Bad as bad:
            return bad.damage
        return None

    def _compare(self, record: Record, extent: Extent) -> None:
        path = self._packs / f"{extent.pack:010d}.pack"
        try:
            fd = self._disk.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._compare_doubted(path, record, extent)
            return
        try:
            first = extent.offset - extent.offset % PAGE
            length = extent.offset + extent.length - first
            got = self._disk.read_into(fd, memoryview(self._buffer)[: length + -length % PAGE], first)
            _check(record, extent, self._buffer[extent.offset - first : min(got, length)])
        finally:
            self._disk.close(fd)

    def _compare_doubted(self, path: Path, record: Record, extent: Extent) -> None:
        fd = self._disk.open(path, os.O_RDONLY)
        try:
            self._disk.read_no_further(fd)
            with self._doubts.reading(self._volume, extent.pack, extent.offset, extent.offset + extent.length):
                _check(record, extent, self._disk.pread_pack(fd, extent.length, extent.offset))
        finally:
            self._disk.close(fd)


@dataclass(frozen=True, slots=True)
class ScrubSettings:
    """`rate` in bytes a second, 0: no scrubbing; `every`: a pass begins so many seconds after the last one's.

    `first`: the first one begins so many seconds after the start, which has better things to do.
    """

    rate: int
    every: float
    opens_in: Callable[[float], float]  # seconds from unix time `now` on; 0: open
    first: float = 60.0


def _leave(_pack: int) -> None:
    pass


class Scrubber:
    """See the module's text. `report`, `note` and `mend` (the journal of a pack) are called in its thread and hand
    over to the store thread.
    """

    def __init__(
        self,
        inspector: Inspector,
        known: Known,
        packs: Callable[[], Iterable[int]],
        settings: ScrubSettings,
        clock: Clock,
        report: Callable[[BadExtent], None],
        note: Callable[[int], None],
        after: int = 0,
        mend: Callable[[int], None] = _leave,
    ) -> None:
        self._mend = mend
        self._inspector, self._known, self._packs = inspector, known, packs
        self._settings, self._clock = settings, clock
        self._report, self._note = report, note
        self._after = after  # the last pack that was read through
        self._read = self._found = 0
        self.progress = 0.0
        self.passes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)

    def __repr__(self) -> str:
        return f"<Scrubber after={self._after} progress={self.progress:.2f} passes={self.passes}>"

    def start(self) -> None:
        if self._settings.rate and self._thread.ident is None:
            self._thread.start()

    def adopt(self, settings: ScrubSettings) -> None:
        """Go by new settings from the next extent on."""
        self._settings = settings
        self.start()

    def take_read_bytes(self) -> int:
        """Bytes that were read and compared since the last call."""
        taken, self._read = self._read, 0
        return taken

    def take_found(self) -> int:
        """Bad extents that were found since the last call."""
        taken, self._found = self._found, 0
        return taken

    def close(self) -> None:
        """Ends within one read."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._inspector.close()

    def _run(self) -> None:
        wait = self._settings.first
        while not self._stop.wait(wait):
            begun = self._clock.monotonic()
            try:
                self.run_pass()
                wait = max(RETRY_SECONDS, self._settings.every - (self._clock.monotonic() - begun))
            except Exception as error:  # the disk, or an index that is being closed: scrubbing is never needed
                log.warning("scrub: %s: %s", type(error).__name__, error)
                wait = RETRY_SECONDS

    def run_pass(self) -> None:
        """All packs that there are now, from behind the one that was last read through."""
        packs = sorted(self._packs())
        for number, pack in enumerate(packs):
            self.progress = number / len(packs)
            if pack <= self._after:
                continue
            if not self._scrub(pack):
                return
            self._after = pack
            self._note(pack)
        self.progress, self._after = 1.0, 0
        self.passes += 1
        self._note(0)

    def _scrub(self, pack: int) -> bool:
        """False: told to stop."""
        offset = -1
        while batch := self._known.placed(pack, offset):
            for placed in batch:
                if not self._may_go_on():
                    return False
                begun = self._clock.monotonic()
                bad = self._inspector.look(placed)
                if bad is not None:
                    self._report(bad)
                    self._found += 1
                self._read += placed.length
                took = self._clock.monotonic() - begun
                if self._stop.wait(max(0.0, placed.length / max(1, self._settings.rate) - took)):
                    return False
            offset = batch[-1].offset
        return self._scrub_journal(pack)

    def _scrub_journal(self, pack: int) -> bool:
        if not self._may_go_on():
            return False
        damage, length = self._inspector.journal(pack)
        if damage is not None and pack in self._packs():
            if damage is Damage.STORE_FAILED:  # what it says is not known: it is read again in the next pass
                self._report(BadExtent(NO_OBJECT, 0, 0, pack, 0, 0, damage, b"its journal"))
            else:
                self._mend(pack)
            self._found += 1
        self._read += length
        return not self._stop.wait(length / max(1, self._settings.rate))

    def _may_go_on(self) -> bool:
        while not self._stop.is_set():
            closed = self._settings.opens_in(self._clock.wall())
            if closed <= 0 and self._settings.rate:
                return True
            self._stop.wait(min(closed or CLOSED_SECONDS, CLOSED_SECONDS))
        return False
