"""Which objects were hit: one saturating byte per bucket, shared by all processes (DESIGN D10)."""

import mmap
import os
from typing import Final

BUCKETS: Final = 1 << 22
MOST: Final = 3


def create_hits_file() -> int:
    """A memfd for the counters; the supervisor makes it, so that it survives workers and keepers."""
    fd = os.memfd_create("edge-hits", os.MFD_CLOEXEC)
    os.ftruncate(fd, BUCKETS)
    return fd


class HitCounters:
    """A hot object writes nothing: its counter is full. Lost updates between processes do not matter."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, BUCKETS)

    def touch(self, name: bytes) -> None:
        bucket = int.from_bytes(name[:4], "little") & (BUCKETS - 1)
        count = self._map[bucket]
        if count < MOST:
            self._map[bucket] = count + 1

    def count(self, name: bytes) -> int:
        return self._map[int.from_bytes(name[:4], "little") & (BUCKETS - 1)]

    def forget(self, name: bytes) -> None:
        self._map[int.from_bytes(name[:4], "little") & (BUCKETS - 1)] = 0

    def halve(self, name: bytes) -> None:
        """A second chance was given: it must be earned again."""
        bucket = int.from_bytes(name[:4], "little") & (BUCKETS - 1)
        self._map[bucket] >>= 1
