"""Is a stretch of a file wholly in the page cache? Asked before every window (DESIGN D7)."""

import ctypes
import mmap
import os
from typing import Final

_CACHESTAT: Final = 451
PAGE: Final = mmap.PAGESIZE


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Stat(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recent"))


def forget_pages(fd: int, offset: int, length: int) -> None:
    """No page that has a byte of [offset, offset + length) stays in memory; posix_fadvise leaves those of both ends."""
    first, end = offset - offset % PAGE, offset + length
    os.posix_fadvise(fd, first, end + -end % PAGE - first, os.POSIX_FADV_DONTNEED)


class Residency:
    """cachestat(2) (Linux 6.5), 2 us a question; without it every window counts as cold and is read in the pool."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = libc.syscall
        self._syscall.argtypes = (
            ctypes.c_long,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint,
        )
        self._syscall.restype = ctypes.c_long
        self._range = _Range()
        self._stat = _Stat()
        self._range_at = ctypes.addressof(self._range)
        self._stat_at = ctypes.addressof(self._stat)
        self._assume = bool(os.environ.get("EDGE_ASSUME_RESIDENT"))  # to measure what asking is worth
        self.works = self._try()

    def _try(self) -> bool:
        with open("/proc/self/exe", "rb") as file:
            self._range.offset, self._range.length = 0, PAGE
            return bool(self._syscall(_CACHESTAT, file.fileno(), self._range_at, self._stat_at, 0) == 0)

    def resident(self, fd: int, offset: int, length: int) -> bool:
        """Are all pages of [offset, offset + length) cached? Never blocks."""
        if self._assume:
            return True
        if not self.works:
            return False
        first = offset - offset % PAGE
        end = offset + length
        self._range.offset, self._range.length = first, end - first
        if self._syscall(_CACHESTAT, fd, self._range_at, self._stat_at, 0) != 0:
            return False
        return bool(self._stat.cached >= (end - first + PAGE - 1) // PAGE)

    def cached(self, fd: int, offset: int, length: int) -> int:
        """How many pages of [offset, offset + length) are cached; `offset` lies on a page's border."""
        if self._assume:
            return (length + PAGE - 1) // PAGE
        self._range.offset, self._range.length = offset, length
        if not self.works or self._syscall(_CACHESTAT, fd, self._range_at, self._stat_at, 0) != 0:
            return 0
        return int(self._stat.cached)
