"""Stretches of packs that are being read but not verified yet, or were found bad: told to all processes of a node.

What is in the page cache is sent without a look at its checksums (DESIGN D7): it came there by a fill, or by a read
that verified it. Between such a read and the comparison of its checksums the pages are there already, and after a
comparison that failed they still are. Whoever reads a pack from the disk therefore says so here first; whoever finds
a window resident looks here after it, and verifies for itself what is doubted.
"""

import mmap
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

OWNERS: Final = 512  # processes, by number
SLOTS: Final = 128  # an owner's
READS_MOST: Final = 96  # of them, at a time; the others are for what was found bad
BAD_SECONDS: Final = 60.0  # until then a bad extent has long left the index
KEEPER: Final = OWNERS - 1  # owner number of the first volume's keeper; the others' go downwards
SUPERVISOR: Final = OWNERS // 2
_SLOT: Final = struct.Struct("<QQQ")  # volume and pack, first byte, end
_NONE: Final = bytes(_SLOT.size)
CALM: Final = bytes(OWNERS)
COUNTS: Final = slice(0, OWNERS)
DOUBTS_BYTES: Final = OWNERS + OWNERS * SLOTS * _SLOT.size


def volume_id(directory: Path) -> int:
    """What tells volumes of one node apart here."""
    return zlib.crc32(os.fsencode(directory.resolve()))


class Doubts:
    """`owner` is this process' number: nobody else may have it. `at`: where the table begins in the file."""

    def __init__(self, fd: int = -1, owner: int = 0, at: int = 0) -> None:
        self.map = mmap.mmap(fd, DOUBTS_BYTES, offset=at)  # fd -1: for this process alone
        self._owner = owner % OWNERS
        self._base = OWNERS + self._owner * SLOTS * _SLOT.size
        self._lock = threading.Lock()
        self._reads = threading.Semaphore(READS_MOST)
        self._free = list(range(SLOTS))
        self._bad: dict[int, float] = {}  # slot -> when it is over
        self.map[self._base : self._base + SLOTS * _SLOT.size] = bytes(SLOTS * _SLOT.size)
        self.map[self._owner] = 0  # one of this number may have been killed in the middle of a read

    def __repr__(self) -> str:
        return f"<Doubts owner={self._owner} slots={SLOTS - len(self._free)} bad={len(self._bad)}>"

    @contextmanager
    def reading(self, volume: int, pack: int, start: int, end: int) -> Iterator[None]:
        """Around a read of [start, end) of a pack file and the comparison of its checksums, in any thread.

        If that raises, the stretch stays doubted for a minute: its pages are still in memory.
        """
        with self._reads:
            slot = self._take(volume << 32 | pack, start, end)
            try:
                yield
            except BaseException:
                with self._lock:
                    self._bad[slot] = time.monotonic() + BAD_SECONDS
                raise
            with self._lock:
                self._give_back(slot)

    def _take(self, pack: int, start: int, end: int) -> int:
        now = time.monotonic()
        with self._lock:
            for slot in [slot for slot, over in self._bad.items() if over <= now]:
                self._give_back(slot)
            if not self._free:
                self._give_back(next(iter(self._bad)))  # the oldest
            slot = self._free.pop()
            at = self._base + slot * _SLOT.size
            self.map[at : at + _SLOT.size] = _SLOT.pack(pack, start, end)
            self.map[self._owner] = SLOTS - len(self._free)
            return slot

    def _give_back(self, slot: int) -> None:
        self._bad.pop(slot, None)
        at = self._base + slot * _SLOT.size
        self.map[at : at + _SLOT.size] = _NONE
        self._free.append(slot)
        self.map[self._owner] = SLOTS - len(self._free)

    @property
    def any(self) -> bool:
        """Does anybody doubt anything? Mostly that is the whole of the question."""
        return self.map[COUNTS] != CALM

    def cover(self, volume: int, pack: int, start: int, end: int) -> bool:
        """Is a part of [start, end) of a pack doubted by anybody?"""
        key = volume << 32 | pack
        for owner, count in enumerate(self.map[COUNTS]):
            if not count:
                continue
            base = OWNERS + owner * SLOTS * _SLOT.size
            for found, first, last in _SLOT.iter_unpack(self.map[base : base + SLOTS * _SLOT.size]):
                if found == key and first < end and start < last:
                    return True
        return False
