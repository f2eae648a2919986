"""Which objects were hit: one saturating byte per bucket, shared by all processes (DESIGN D10)."""

import mmap
import os
import struct
from typing import Final, NamedTuple, Self

from edge.store.doubts import DOUBTS_BYTES, KEEPER, Doubts
from edge.store.version import VERSIONS_BYTES, Versions

BUCKETS: Final = 1 << 22
MOST: Final = 15  # more tells no more (`benchmarks/policy.py`), and a full counter is not written
AHEAD: Final = 0x80  # beside the counter: fetched before anybody asked, and nobody has yet
_HALVED: Final = bytes((value & AHEAD) | (value & MOST) >> 1 for value in range(256))
_COUNTS: Final = bytes(value & MOST for value in range(256))
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

    def touch(self, name: bytes) -> bool:
        """Count a hit. True: it is the first one of what was fetched ahead."""
        bucket = _FIRST(name)[0] & _BUCKET
        count = self._map[bucket]
        if count < MOST:
            self._map[bucket] = count + 1
        elif count > MOST:
            self._map[bucket] = min((count & MOST) + 1, MOST)
            return True
        return False

    def count(self, name: bytes) -> int:
        bucket: int = _FIRST(name)[0] & _BUCKET
        return self._map[bucket] & MOST

    def mark_ahead(self, name: bytes) -> None:
        """Its next hit is the first one of what was fetched ahead."""
        self._map[_FIRST(name)[0] & _BUCKET] |= AHEAD

    def is_ahead(self, name: bytes) -> bool:
        """Has nobody hit it since it was marked? A neighbour in its bucket may have: then it counts as hit."""
        value: int = self._map[_FIRST(name)[0] & _BUCKET]
        return value >= AHEAD

    def forget(self, name: bytes) -> None:
        self._map[_FIRST(name)[0] & _BUCKET] = 0

    def halve(self, name: bytes) -> None:
        """A second chance was given: it must be earned again."""
        bucket = _FIRST(name)[0] & _BUCKET
        self._map[bucket] = _HALVED[self._map[bucket]]

    def halve_all(self) -> None:
        """What was wanted yesterday counts half. Hits of the same few milliseconds may be lost."""
        self._map[:] = self._map[:].translate(_HALVED)

    def to_bytes(self) -> bytes:
        return self._map[:].translate(_COUNTS)

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
