"""What the index knows of an object, and its bytes (DESIGN section 9). Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple

import xxhash

from edge.errors import FormatUnknown, StoreError
from edge.words import Kind

VERSION: Final = 1
KINDS: Final = tuple(Kind)
_HEAD: Final = struct.Struct("<BBHIQQIdddIIIQHHHHHHI")
_EXTENT: Final = struct.Struct("<QIIQH")
_GLANCE: Final = struct.Struct("<B3xIQQ40xQHHHHHHI8xIIQH")  # of both: what a purge asks
_LASTS: Final = struct.Struct("<36xd8xIII12xH")  # fresh_until, two stale windows, last_modified, length of etag
_FLAGS_AT: Final = 4
_EXTENSION_AT: Final = _HEAD.size - 6  # where its length stands
_SUM: Final = struct.Struct("<Q")


class Flag:
    """Properties of a record, plain integers (an IntFlag costs a microsecond an operation); they are on disk."""

    STRONG: Final = 1  # it has a strong validator: slices of it may be combined
    NO_CACHE: Final = 2  # always revalidated before use
    MUST_REVALIDATE: Final = 4
    IMMUTABLE: Final = 8
    VARIES: Final = 16  # no answer: says by which request fields the answers of this key are chosen
    STALE: Final = 64  # purged softly: asked about before its next use, however fresh it says to be
    WHOLE: Final = 128  # no strong validator: one whole answer or nothing


@dataclass(frozen=True, slots=True)
class Extent:
    """A contiguous stretch of an object in a pack; `sums` has one XXH3-64 per block."""

    start: int
    length: int
    pack: int
    offset: int
    sums: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Record:
    """An object's entry in the index; times are unix seconds, lengths bytes."""

    generation: int
    kind: Kind
    status: int
    flags: int
    total: int
    slice_size: int
    base_time: float
    fresh_until: float
    stored_at: float
    stale_while_revalidate: int
    stale_if_error: int
    last_modified: int
    sequence: int
    key: bytes
    path: bytes
    etag: bytes
    vary: bytes
    tags: tuple[bytes, ...]
    head: bytes
    first: Extent | None = None

    @property
    def validatable(self) -> bool:
        """Can the origin be asked whether it is still good?"""
        return bool(self.etag or self.last_modified)


def checksum(data: bytes | memoryview) -> int:
    """XXH3-64: guards against bit rot, not against malice (names are keyed for that)."""
    return xxhash.xxh3_64_intdigest(data)


def blocks(start: int, length: int, slice_size: int) -> Iterator[tuple[int, int]]:
    """The blocks of an extent: [start, start + length) cut at multiples of `slice_size` in the object."""
    end = start + length
    while start < end:
        border = min(end, start - start % slice_size + slice_size)
        yield start, border
        start = border


def sums_match(record: Record, extent: Extent, data: bytes) -> bool:
    """Do the bytes of a whole extent have the checksums that were written down?"""
    if len(data) != extent.length:
        return False
    view = memoryview(data)
    pieces = blocks(extent.start, extent.length, record.slice_size)
    found = (checksum(view[start - extent.start : end - extent.start]) for start, end in pieces)
    return all(one == expected for one, expected in zip_longest(found, extent.sums))


def encode_extent(extent: Extent) -> bytes:
    sums = extent.sums
    head = _EXTENT.pack(extent.start, extent.length, extent.pack, extent.offset, len(sums))
    return head + struct.pack(f"<{len(sums)}Q", *sums)


def decode_extent(raw: bytes, at: int = 0) -> tuple[Extent, int]:
    """The extent at `at` and the position behind it."""
    start, length, pack, offset, count = _EXTENT.unpack_from(raw, at)
    at += _EXTENT.size
    sums = struct.unpack_from(f"<{count}Q", raw, at)
    return Extent(start, length, pack, offset, sums), at + 8 * count


_SUM_LENGTH: Final = struct.pack("<H", _SUM.size)
NO_EXTENT: Final = _EXTENT.pack(0, 0, 0, 0, 0)


def encode_extent_row(key: bytes, extent: Extent) -> bytes:
    """The value of table `extents`: with a checksum of it and its key, since a wrong place is as bad as wrong bytes."""
    raw = encode_extent(extent)
    return raw + _SUM.pack(checksum(key + raw))


def decode_extent_row(key: bytes, raw: bytes) -> Extent | None:
    """None: the row is damaged, or another key's."""
    if len(raw) < _SUM.size or _SUM.unpack(raw[-_SUM.size :])[0] != checksum(key + raw[: -_SUM.size]):
        return None
    return decode_extent(raw)[0]


def encode_record(record: Record) -> bytes:
    """The value of table `names`. Its extension is the checksum of all the rest.

    StoreError: it says more than its fields hold (a key or the lists of `vary` of 64 KiB); nothing is wrong elsewhere.
    """
    tags = b"".join(bytes((len(tag),)) + tag for tag in record.tags)
    try:
        head = _head_of(record, tags)
    except struct.error as error:
        raise StoreError(f"a record cannot hold that: {error}") from error
    extent = encode_extent(record.first) if record.first is not None else NO_EXTENT
    before = b"".join((head, extent, record.key, record.path, record.etag, record.vary, tags))
    return _summed(before, record.head)


def _head_of(record: Record, tags: bytes) -> bytes:
    return _HEAD.pack(
        VERSION,
        KINDS.index(record.kind),
        record.status,
        record.flags,
        record.generation,
        record.total,
        record.slice_size,
        record.base_time,
        record.fresh_until,
        record.stored_at,
        record.stale_while_revalidate,
        record.stale_if_error,
        record.last_modified,
        record.sequence,
        len(record.key),
        len(record.path),
        len(record.etag),
        len(record.vary),
        len(tags),
        _SUM.size,
        len(record.head),
    )


def _summed(before: bytes, head: bytes) -> bytes:
    return b"".join((before, _SUM.pack(checksum(before + head)), head))


def intact(raw: bytes) -> bool:
    """Does a value of the index have its checksum? Nothing else guards it from bit rot."""
    if len(raw) < _HEAD.size or raw[_EXTENSION_AT : _EXTENSION_AT + 2] != _SUM_LENGTH:
        return False
    (head_length,) = struct.unpack_from("<I", raw, _HEAD.size - 4)
    at = len(raw) - head_length - _SUM.size
    if at < _HEAD.size:
        return False
    return bool(_SUM.unpack_from(raw, at)[0] == checksum(raw[:at] + raw[at + _SUM.size :]))


def decode_stored(raw: bytes) -> Record | None:
    """The record in a value of the index; None: it is damaged."""
    return decode_record(raw) if intact(raw) else None


def decode_record(raw: bytes) -> Record:
    """The record in a value; FormatUnknown for another version."""
    if raw[0] != VERSION:
        raise FormatUnknown(f"record version {raw[0]}: this program reads {VERSION}; delete the index to rebuild it")
    (
        _,
        kind,
        status,
        flags,
        generation,
        total,
        slice_size,
        base_time,
        fresh_until,
        stored_at,
        revalidate,
        on_error,
        last_modified,
        sequence,
        key_length,
        path_length,
        etag_length,
        vary_length,
        tags_length,
        extension_length,
        head_length,
    ) = _HEAD.unpack_from(raw)
    first, at = decode_extent(raw, _HEAD.size)
    parts = []
    for length in (
        key_length,
        path_length,
        etag_length,
        vary_length,
        tags_length,
        extension_length,
        head_length,
    ):
        parts.append(raw[at : at + length])
        at += length
    key, path, etag, vary, tags, _extension, head = parts
    return Record(
        generation,
        KINDS[kind],
        status,
        flags,
        total,
        slice_size,
        base_time,
        fresh_until,
        stored_at,
        revalidate,
        on_error,
        last_modified,
        sequence,
        key,
        path,
        etag,
        vary,
        split_tags(tags),
        head,
        first if first.length else None,
    )


def lasts_until(raw: bytes, at: int, validated: int) -> float:
    """Until when the record that begins at `at` may be of use; `validated`: seconds for one with a validator.

    Asked of all short-lived answers once a second: to decode them takes ten times as long.
    """
    fresh_until, behind, on_error, modified, etag = _LASTS.unpack_from(raw, at)
    return float(fresh_until + max(behind, on_error, validated if modified or etag else 0))


class Glance(NamedTuple):
    """What a purge asks of a record; a whole one costs four times as much to decode."""

    flags: int
    generation: int
    total: int
    sequence: int
    key: bytes
    tags: tuple[bytes, ...]
    first_length: int
    first_pack: int
    first_offset: int


def glance(raw: bytes) -> Glance | None:
    """A part of the record in a value; None: it is damaged. FormatUnknown for another version."""
    if len(raw) < _GLANCE.size:
        return None
    (
        version, flags, generation, total, sequence, key, path, etag, vary, tags, extension, head, length, pack, offset,
        sums,
    ) = _GLANCE.unpack_from(raw)  # fmt: skip
    at = len(raw) - head - _SUM.size
    if extension != _SUM.size or at < _GLANCE.size:
        return None
    if xxhash.xxh3_64_digest(raw[:at] + raw[at + _SUM.size :])[::-1] != raw[at : at + _SUM.size]:
        return None
    if version != VERSION:
        raise FormatUnknown(f"record version {version}: this program reads {VERSION}")
    at = _GLANCE.size + 8 * sums
    named = split_tags(raw[at + key + path + etag + vary :][:tags]) if tags else ()
    return Glance(flags, generation, total, sequence, raw[at : at + key], named, length, pack, offset)


def marked(raw: bytes, flag: int) -> bytes:
    """The same value with one more flag."""
    (flags,) = struct.unpack_from("<I", raw, _FLAGS_AT)
    (head_length,) = struct.unpack_from("<I", raw, _HEAD.size - 4)
    at = len(raw) - head_length - _SUM.size
    return _summed(raw[:_FLAGS_AT] + struct.pack("<I", flags | flag) + raw[_FLAGS_AT + 4 : at], raw[at + _SUM.size :])


def with_first(raw: bytes, extent: bytes) -> bytes:
    """The same value with another inline extent."""
    (sums,) = struct.unpack_from("<H", raw, _HEAD.size + _EXTENT.size - 2)
    (head_length,) = struct.unpack_from("<I", raw, _HEAD.size - 4)
    at = len(raw) - head_length - _SUM.size
    return _summed(raw[: _HEAD.size] + extent + raw[_HEAD.size + _EXTENT.size + 8 * sums : at], raw[at + _SUM.size :])


def split_tags(raw: bytes) -> tuple[bytes, ...]:
    """The tags of a record, each with its length before it."""
    tags, at = [], 0
    while at < len(raw):
        end = at + 1 + raw[at]
        tags.append(raw[at + 1 : end])
        at = end
    return tuple(tags)
