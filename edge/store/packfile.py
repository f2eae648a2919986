"""A pack as workers have it open: windows that are in memory, and blocks that are read and compared."""

import errno
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

from edge.errors import StoreError
from edge.reads import read_at
from edge.store.record import Extent, checksum
from edge.store.residency import PAGE, Residency
from edge.words import Reason

_POPULATE_READ: Final = 22  # MADV_POPULATE_READ (linux/mman.h)


class CorruptExtent(StoreError):
    """Stored bytes do not have their checksum."""

    reason = Reason.CORRUPT


class PackEndsEarly(CorruptExtent):
    """A pack has been cut off before the end of what it should hold."""

    reason = Reason.TRUNCATED


def open_unnoticed(path: Path) -> int:
    """Open a pack so that reading it leaves no time of access behind.

    That would be a change of the inode, for which sendfile, read and mmap wait for the file system's journal: behind a
    slow write for seconds, on a worker's loop.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # it belongs to somebody else
        return os.open(path, flags)


def close(fd: int, mapped: list[memoryview]) -> None:
    """Of a pack that has been deleted this gives its blocks back: ext4 writes to its journal, and may wait for it."""
    mapped.clear()
    os.close(fd)


class PackFile:
    """An open pack. Dropped by dereferencing only: a descriptor's number may still be queued for sendfile.

    `let_go` closes it then, best in a thread. `torn`: a page that the disk did not give is zeros in its mapping.
    """

    __slots__ = ("_fd", "_let_go", "_map", "_residency", "number", "torn")

    def __init__(
        self,
        path: Path,
        number: int,
        let_go: Callable[[int, list[memoryview]], None] = close,
        residency: Residency | None = None,
    ) -> None:
        self._fd = -1
        self._let_go = let_go
        self._residency = residency
        self.torn = False
        self._fd = open_unnoticed(path)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)  # nothing unverified is read ahead
        self._map: memoryview | None = None
        self.number = number

    def fileno(self) -> int:
        return self._fd

    def reaches(self, end: int) -> bool:
        """Is it so long still? Of a page in which it was cut off, the rest reads as zeros and is in memory."""
        return os.fstat(self._fd).st_size >= end

    def is_there(self, offset: int, count: int) -> bool:
        """Is all of [offset, offset + count) in memory, asked anew? Where nobody can tell: yes."""
        residency = self._residency
        return residency is None or not residency.works or residency.resident(self._fd, offset, count)

    def copy(self, offset: int, count: int) -> bytes:
        """Bytes out of the mapping; only of windows that are resident (it must not meet the disk: `bus`)."""
        return bytes((self._map or self._mapping())[offset : offset + count])

    def view(self, offset: int, count: int) -> memoryview | None:
        """Bytes for TLS, without a copy; only of windows that are resident. None: the disk does not give them.

        Their pages are asked for first, so that an error of the disk is none of who touches them.
        """
        if self.torn:
            return None
        whole = self._map or self._mapping()
        mapped, first = cast(mmap.mmap, whole.obj), offset - offset % PAGE
        try:
            mapped.madvise(_POPULATE_READ, first, offset + count - first)
        except OSError as error:
            if error.errno != errno.EINVAL:  # Linux before 5.14
                return None
        return whole[offset : offset + count]

    def _mapping(self) -> memoryview:
        mapped = mmap.mmap(self._fd, 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_RANDOM)  # the same of page faults, which do not go by the descriptor's advice
        self._map = memoryview(mapped)
        return self._map

    def __del__(self) -> None:
        if self._fd >= 0:  # else it was gone before it could be opened
            mapped = [self._map] if self._map is not None else []
            self._map = None  # the list has it alone, so that it ends where that is emptied
            self._let_go(self._fd, mapped)


def read_blocks(file: PackFile, extent: Extent, pieces: Sequence[tuple[int, int, int]]) -> bytes:
    """Whole blocks, one after the other, verified; each is (number, start, end) in the object."""
    low, high = pieces[0][1], pieces[-1][2]
    data = read_at(file.fileno(), high - low, extent.offset + low - extent.start)
    if len(data) != high - low:
        raise PackEndsEarly(f"pack {extent.pack} ends early")
    view = memoryview(data)
    for at, start, end in pieces:
        if at >= len(extent.sums) or checksum(view[start - low : end - low]) != extent.sums[at]:
            raise CorruptExtent(f"checksum of block {at} at {extent.offset} of pack {extent.pack}")
    return data
