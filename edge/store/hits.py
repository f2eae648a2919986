"""Which objects were hit: one saturating byte per bucket, shared by all processes (DESIGN D10)."""

import mmap
import os
from typing import Final, NamedTuple, Self

from edge.store.doubts import DOUBTS_BYTES, Doubts

BUCKETS: Final = 1 << 22
MOST: Final = 3


def create_hits_file() -> int:
    """A memfd for the counters, and for doubts behind them; the supervisor makes it, so that it survives workers and
    keepers."""
    fd = os.memfd_create("edge-hits", os.MFD_CLOEXEC)
    os.ftruncate(fd, BUCKETS + DOUBTS_BYTES)
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


class Shared(NamedTuple):
    """What all processes of a node write into one file."""

    hits: HitCounters
    doubts: Doubts

    @classmethod
    def of(cls, fd: int, owner: int) -> Self:
        """`owner`: see `Doubts`."""
        return cls(HitCounters(fd), Doubts(fd, owner, BUCKETS))
