"""What a key tells of how much an object is wanted: its title, its rendition and its place in the title.

`/films/a/720p/12.m4s` is a segment of `/films/a`, of the rendition `720p`, with the file name `12.m4s`. Renditions and
beginnings are wanted alike in all titles, and what is known of them serves titles of which little is known.
"""

import zlib
from array import array
from typing import Final, NamedTuple

from edge.words import MIB

TITLES: Final = 1 << 16  # means at least; titles share one by chance
TITLES_MOST: Final = 1 << 20
LIKENESSES: Final = 1 << 12  # ratios; names that are made at random share them, and then they tell nothing: about 1
PRIOR: Final = 500.0  # expected hits before a ratio says much


class Traits(NamedTuple):
    """Buckets."""

    title: int
    rendition: int
    file: int


def titles_for(size_bytes: int) -> int:
    """Means that a volume has: one for each 128 MiB, a power of two from 65,536 to a million (4 MiB)."""
    return min(max(TITLES, 1 << (size_bytes // (128 * MIB)).bit_length()), TITLES_MOST)


def traits_of(key: bytes, titles: int = TITLES) -> Traits:
    """The title is the path less file and rendition directory; `titles`: a power of two."""
    parts = key.partition(b"?")[0].rsplit(b"/", 2)
    rendition = parts[-2] if len(parts) > 2 else b""
    return Traits(_bucket(parts[0], titles), _bucket(rendition, LIKENESSES), _bucket(parts[-1], LIKENESSES))


def _bucket(name: bytes, buckets: int) -> int:
    return zlib.crc32(name) & buckets - 1


class Ratios:
    """Of each bucket: hits that were found over hits that were to be expected, 1 when nothing is known."""

    BYTES: Final = 2 * 8 * LIKENESSES

    def __init__(self, raw: bytes = bytes(BYTES)) -> None:
        half = len(raw) // 2
        self._found, self._expected = array("d", raw[:half]), array("d", raw[half:])

    def of(self, bucket: int) -> float:
        return (self._found[bucket] + PRIOR) / (self._expected[bucket] + PRIOR)

    def learn(self, bucket: int, found: float, expected: float) -> None:
        self._found[bucket] += found
        self._expected[bucket] += expected

    def fade(self, left: float) -> None:
        self._found = array("d", [sum_ * left for sum_ in self._found])
        self._expected = array("d", [sum_ * left for sum_ in self._expected])

    def to_bytes(self) -> bytes:
        return self._found.tobytes() + self._expected.tobytes()
