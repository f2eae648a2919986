"""The record by which the variants of an object are found (Vary, RFC 9111 section 4.1). Bytes only.

Under an object's own name lies an *index of variants*: a record with `Flag.VARIES` that is no answer. Its `vary`
has the lists of request fields that chose its answers, newest first, one a line; its `head` the names of the
variants, 16 bytes each, oldest first. A variant's name is made with the index's generation: when the index goes
(purged, invalidated, evicted), nothing of it is ever found again, and no list of what to delete is needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edge.errors import StoreError
from edge.store.names import name_of
from edge.store.record import Extent, Flag, Record, checksum
from edge.store.volume import Volume
from edge.words import Eviction, Kind

ANY: Final = b"-"  # stands for an answer without Vary beside others: it suits when none of those does (section 4.1)
LISTS_MOST: Final = 4  # an origin that names other fields in each answer cannot be helped
NAME: Final = 16
MARK: Final = b"\n"


def variant_name(index: Record, selection: bytes, secret: bytes) -> bytes:
    """The name of the answer that a request with this selection gets."""
    return name_of(b"%s\0%d\0%s" % (index.key, index.generation, selection), secret)


def lists_of(index: Record) -> list[tuple[bytes, ...]]:
    """The lists of request fields that chose this object's answers, newest first."""
    return [() if line == ANY else tuple(line.split(b",")) for line in index.vary.split(b"\n")]


def note_variant(
    volume: Volume, base: bytes, answer: Record, names: Sequence[bytes], selection: bytes, generation: int, most: int
) -> bytes:
    """Make or renew the index of variants of `base` so that `answer` is found by it; the variant's name.

    Runs in the store's thread, so that two answers of one object do not overtake each other. `generation` is for
    an index that has to be made; `most` bounds the variants, the oldest go.
    """
    index = volume.lookup(base)
    if index is None or not index.flags & Flag.VARIES:
        index = _make(volume, base, answer, generation)
    name = variant_name(index, selection, volume.hello.secret)
    line = b",".join(names) or ANY
    before = [other for other in index.vary.split(b"\n") if other not in (b"", ANY, line)]
    chosen = [line, *before][:LISTS_MOST] if names else before
    lines = [*chosen, ANY] if not names or index.vary.endswith(ANY) else chosen
    known = [index.head[at : at + NAME] for at in range(0, len(index.head), NAME)]
    known = [other for other in known if other != name] + [name]
    for old in known[:-most]:
        volume.delete(old, None, Eviction.REPLACED)
    renewed = replace(index, vary=b"\n".join(lines), head=b"".join(known[-most:]))
    if (renewed.vary, renewed.head) != (index.vary, index.head):
        volume.refresh(base, renewed)
    return name


def _make(volume: Volume, base: bytes, answer: Record, generation: int) -> Record:
    """An empty index."""
    index = replace(
        answer, generation=generation, kind=Kind.OTHER, status=0, flags=Flag.VARIES, total=1, etag=b"", vary=b"",
        tags=(), head=b"", first=None,
    )  # fmt: skip
    if not volume.commit(base, index, [lay_mark(volume)]):
        raise StoreError("the index of variants was not kept")
    found = volume.lookup(base)
    assert found is not None
    return found


def lay_mark(volume: Volume) -> Extent:
    """A byte in a pack for what has no body of its own: so it leaves with that pack, as every answer does."""
    place = volume.reserve(1)
    try:
        volume.write(place, 0, MARK)
    finally:
        volume.release(place)
    return Extent(0, 1, place.pack, place.offset, (checksum(MARK),))
