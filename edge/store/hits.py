"""Which objects were hit: one saturating byte per bucket, shared by all processes (DESIGN D10)."""

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Self

from edge.store.doubts import DOUBTS_BYTES, KEEPER, Doubts
from edge.store.version import VERSIONS_BYTES, Versions

BUCKETS: Final = 1 << 22  # at least
BUCKETS_MOST: Final = 1 << 24  # to write down four times as many took a keeper 2.3 s of CPU
_EARLIER_MOST: Final = 1 << 26  # until 2026-11-30
PIECE: Final = 1 << 20  # a millisecond or two, in which no other thread runs
OBJECT: Final = 4 << 20  # bytes that one takes, where volumes are so large that it matters: a segment of video
MOST: Final = 15  # more tells little (`benchmarks/policy.py`), and a full counter is not written
ONE: Final = 16  # a hit in the counter: parts of hits are kept, so that forgetting goes in small steps
FULL: Final = MOST * ONE
AHEAD: Final = FULL + 1  # and whole hits: fetched before anybody asked, and nobody has since
SHARED_BYTES: Final = BUCKETS + VERSIONS_BYTES + DOUBTS_BYTES
_FIRST: Final = struct.Struct("<I").unpack_from


def create_hits_file(size_bytes: int = 0) -> int:
    """A memfd for the counters of volumes of so many bytes together, and behind them for versions and doubts.

    Two counters for each object, so that few share one: 4 MiB up to 8 TB, 16 MiB at most. The supervisor makes it, so
    that it survives workers and keepers.
    """
    buckets = min(max(BUCKETS, 1 << (2 * size_bytes // OBJECT).bit_length()), BUCKETS_MOST)
    fd = os.memfd_create("edge-hits", os.MFD_CLOEXEC)
    os.ftruncate(fd, buckets + VERSIONS_BYTES + DOUBTS_BYTES)
    return fd


def buckets_in(fd: int) -> int:
    """How many counters a file has that `create_hits_file` has made."""
    return os.fstat(fd).st_size - VERSIONS_BYTES - DOUBTS_BYTES


def _table(change: Callable[[float], float]) -> bytes:
    """What becomes of each value; of a marked one the mark stays."""
    plain = [int(change(value)) for value in range(AHEAD)]
    return bytes([*plain, *(AHEAD + int(change(value - AHEAD)) for value in range(AHEAD, 256))])


_HALVED: Final = _table(lambda value: value / 2)
_COUNTS: Final = bytes(value if value < AHEAD else (value - AHEAD) * ONE for value in range(256))


_SIZES: Final = frozenset(1 << bits for bits in range(BUCKETS.bit_length() - 1, _EARLIER_MOST.bit_length()))


def fitted(raw: bytes, length: int) -> bytes:
    """A table by the low bits of a hash, as one of another power of two."""
    if len(raw) <= length:
        return raw * (length // len(raw))
    return raw[:length]  # the other parts are of others, which begin anew


class HitCounters:
    """A hot object writes nothing: its counter is full. Lost updates between processes do not matter."""

    def __init__(self, fd: int) -> None:
        self._buckets = buckets_in(fd)
        self._mask = self._buckets - 1
        self._map = mmap.mmap(fd, self._buckets)

    def touch(self, name: bytes) -> bool:
        """Count a hit. True: it is the first one of what was fetched ahead."""
        bucket = _FIRST(name)[0] & self._mask
        count = self._map[bucket]
        if count < FULL:
            self._map[bucket] = count + ONE if count < FULL - ONE else FULL
        elif count > FULL:
            self._map[bucket] = min((count - AHEAD + 1) * ONE, FULL)
            return True
        return False

    def count(self, name: bytes) -> float:
        """Hits, of which older ones count less."""
        bucket: int = _FIRST(name)[0] & self._mask
        return _COUNTS[self._map[bucket]] / ONE

    def mark_ahead(self, name: bytes) -> None:
        """Its next hit is the first one of what was fetched ahead."""
        bucket = _FIRST(name)[0] & self._mask
        count = self._map[bucket]
        if count <= FULL:
            self._map[bucket] = AHEAD + min(count // ONE, MOST - 1)

    def is_ahead(self, name: bytes) -> bool:
        """Has nobody hit it since it was marked? A neighbour in its bucket may have: then it counts as hit."""
        value: int = self._map[_FIRST(name)[0] & self._mask]
        return value >= AHEAD

    def halve(self, name: bytes) -> None:
        """A second chance was given: it must be earned again."""
        bucket = _FIRST(name)[0] & self._mask
        self._map[bucket] = _HALVED[self._map[bucket]]

    def fade(self, left: float) -> None:
        """What was wanted earlier counts less: `left` of it. Hits of the same few milliseconds may be lost."""
        faded = _table(lambda value: value * left)
        for at in range(0, self._buckets, PIECE):
            self._map[at : at + PIECE] = self._map[at : at + PIECE].translate(faded)

    def in_pieces(self) -> Iterator[bytes]:
        """All of them, to be restored."""
        for at in range(0, self._buckets, PIECE):
            yield self._map[at : at + PIECE].translate(_COUNTS)

    def to_bytes(self) -> bytes:
        return b"".join(self.in_pieces())

    def restore(self, raw: bytes) -> None:
        """What an earlier run has counted, unless something has been counted since."""
        if len(raw) in _SIZES and not any(memoryview(self._map[:]).cast("Q")):
            self._map[:] = fitted(raw, self._buckets)


class Shared(NamedTuple):
    """What all processes of a node write into one file."""

    hits: HitCounters
    doubts: Doubts
    versions: Versions
    owner: int
    fades: bool  # the hits: one keeper of a node does

    @classmethod
    def of(cls, fd: int, owner: int, *, fades: bool = False) -> Self:
        """`owner`: see `Doubts`."""
        buckets = buckets_in(fd)
        versions = Versions(fd, buckets)
        return cls(HitCounters(fd), Doubts(fd, owner, buckets + VERSIONS_BYTES), versions, owner, fades)

    @property
    def cell(self) -> int:
        """Of a keeper: where it counts its index's versions."""
        return KEEPER - self.owner
