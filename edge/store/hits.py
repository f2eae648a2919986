"""Which objects were hit: one saturating byte per bucket, shared by all processes (DESIGN D10)."""

import mmap
import os
import struct
from typing import Final, NamedTuple, Self

from edge.store.doubts import DOUBTS_BYTES, KEEPER, Doubts
from edge.store.version import VERSIONS_BYTES, Versions

BUCKETS: Final = 1 << 22
MOST: Final = 15  # more tells little (`benchmarks/policy.py`), and a full counter is not written
ONE: Final = 16  # a hit in the counter: parts of hits are kept, so that forgetting goes in small steps
FULL: Final = MOST * ONE
SHARED_BYTES: Final = BUCKETS + VERSIONS_BYTES + DOUBTS_BYTES
_BUCKET: Final = BUCKETS - 1
_FIRST: Final = struct.Struct("<I").unpack_from


def create_hits_file() -> int:
    """A memfd for the counters, and behind them for versions and doubts.

    The supervisor makes it, so that it survives workers and keepers.
    """
    fd = os.memfd_create("edge-hits", os.MFD_CLOEXEC)
    os.ftruncate(fd, SHARED_BYTES)
    return fd


class HitCounters:
    """A hot object writes nothing: its counter is full. Lost updates between processes do not matter."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, BUCKETS)

    def touch(self, name: bytes) -> None:
        bucket = _FIRST(name)[0] & _BUCKET
        count = self._map[bucket]
        if count < FULL:
            self._map[bucket] = count + ONE if count < FULL - ONE else FULL

    def count(self, name: bytes) -> float:
        """Hits, of which older ones count less."""
        bucket: int = _FIRST(name)[0] & _BUCKET
        return self._map[bucket] / ONE

    def forget(self, name: bytes) -> None:
        self._map[_FIRST(name)[0] & _BUCKET] = 0

    def halve(self, name: bytes) -> None:
        """A second chance was given: it must be earned again."""
        bucket = _FIRST(name)[0] & _BUCKET
        self._map[bucket] >>= 1

    def fade(self, left: float) -> None:
        """What was wanted earlier counts less: `left` of it. Hits of the same few milliseconds may be lost."""
        self._map[:] = self._map[:].translate(bytes(int(value * left) for value in range(256)))

    def to_bytes(self) -> bytes:
        return self._map[:]

    def restore(self, raw: bytes) -> None:
        """What an earlier run has counted, unless something has been counted since."""
        if len(raw) == BUCKETS and not any(memoryview(self._map[:]).cast("Q")):
            self._map[:] = raw


class Shared(NamedTuple):
    """What all processes of a node write into one file."""

    hits: HitCounters
    doubts: Doubts
    versions: Versions
    owner: int

    @classmethod
    def of(cls, fd: int, owner: int) -> Self:
        """`owner`: see `Doubts`."""
        versions = Versions(fd, BUCKETS)
        return cls(HitCounters(fd), Doubts(fd, owner, BUCKETS + VERSIONS_BYTES), versions, owner)

    @property
    def cell(self) -> int:
        """Of a keeper: where it counts its index's versions."""
        return KEEPER - self.owner
