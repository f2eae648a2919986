"""The log beside each pack: what the pack holds, written after the data it names is durable (DESIGN D4, section 9)."""

import re
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from edge.errors import FormatUnknown
from edge.store.record import Extent, Record, decode_extent, decode_record, encode_extent, encode_record

MAGIC: Final = b"EDGEJRNL"
VERSION: Final = 1
LATER: Final = 8  # a version up to it may be that of a later program; what is beyond is a bit that has flipped
_HEADER: Final = struct.Struct("<8sHHI16s")
HEADER_BYTES: Final = _HEADER.size
ENTRY: Final = struct.Struct("<IIB")
PIECE: Final = 4 << 20  # more than the longest entry takes
MAX_PAYLOAD: Final = 1 << 20  # a head and its tags are at most 64 KiB each, sums of 64 slices 512 bytes
_LIKE_ONE: Final = re.compile(rb"(?s)(?=..[\x00-\x10]\x00.{4}[\x01-\x05])")  # length, checksum, type of an entry


class EntryType(IntEnum):
    OBJECT = 1
    EXTENT = 2
    REFRESH = 3
    DELETE = 4
    SEALED = 5


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """A record (its extents come as entries of their own)."""

    name: bytes
    record: Record
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class ExtentEntry:
    name: bytes
    generation: int
    extent: Extent


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    name: bytes
    generation: int
    sequence: int


@dataclass(frozen=True, slots=True)
class SealedEntry:
    size: int


Entry = ObjectEntry | ExtentEntry | DeleteEntry | SealedEntry


def header(pack: int, volume: uuid.UUID, row: int = 0) -> bytes:
    return _HEADER.pack(MAGIC, VERSION, row, pack, volume.bytes)


def row_of(raw: bytes) -> int:
    """The row of a journal's pack; 0 where nobody has written one."""
    return int(_HEADER.unpack_from(raw)[2]) if len(raw) >= HEADER_BYTES else 0


def encode_entry(entry: Entry) -> bytes:
    """One framed entry: length, checksum, type, payload."""
    match entry:
        case ObjectEntry(name, record, refresh):
            kind = EntryType.REFRESH if refresh else EntryType.OBJECT
            payload = name + encode_record(replace(record, first=None))
        case ExtentEntry(name, generation, extent):
            kind, payload = EntryType.EXTENT, name + struct.pack("<Q", generation) + encode_extent(extent)
        case DeleteEntry(name, generation, sequence):
            kind, payload = EntryType.DELETE, name + struct.pack("<QQ", generation, sequence)
        case SealedEntry(size):
            kind, payload = EntryType.SEALED, struct.pack("<Q", size)
    crc = zlib.crc32(payload, zlib.crc32(bytes((kind,))))
    return ENTRY.pack(len(payload), crc, kind) + payload


SEALED_BYTES: Final = ENTRY.size + 8  # at the end of a journal that nothing is missing in


def is_sealed(end: bytes) -> bool:
    """Are the last SEALED_BYTES of a journal its last entry? Reading all of it costs 50 us an object."""
    framed = _framed(end, 0)
    return framed is not None and framed[0] == EntryType.SEALED


def _told_nobody(_at: int) -> None:
    pass


def flipped(raw: bytes, pack: int, volume: uuid.UUID) -> int:
    """How many bits of a journal's header are not as they should be; whatever row it names is right."""
    expected = header(pack, volume, row_of(raw))
    return (int.from_bytes(raw[:HEADER_BYTES]) ^ int.from_bytes(expected)).bit_count()


def is_of(raw: bytes, pack: int, volume: uuid.UUID) -> bool:
    """Is this a journal of that pack? One bit of its header may be `flipped`. FormatUnknown: of another version."""
    if len(raw) < HEADER_BYTES:
        return False
    wrong, version = flipped(raw, pack, volume), _HEADER.unpack_from(raw)[1]
    if wrong == 0 or (wrong == 1 and (version == VERSION or not 0 < version <= LATER)):
        return True
    magic, _, _, number, owner = _HEADER.unpack_from(raw)
    if magic != MAGIC or number != pack or owner != volume.bytes:
        return False
    raise FormatUnknown(f"journal of pack {pack} has version {version}, this program reads {VERSION}")


def read_journal(
    raw: bytes, pack: int, volume: uuid.UUID, damaged: Callable[[int], object] = _told_nobody
) -> Iterator[Entry]:
    """The good entries. `damaged` is told where a bad one stands, or an end that was not completely written.

    What a bad entry said is lost, what follows it is not: each entry names data that was durable before it.
    FormatUnknown: another version. A foreign header, or one of which more than a bit is damaged: no entries.
    """
    of_this_pack = is_of(raw, pack, volume)
    if not of_this_pack or flipped(raw, pack, volume):
        damaged(0)
    if not of_this_pack:
        return
    at: int | None = _HEADER.size
    while at is not None and at < len(raw):
        framed = _framed(raw, at)
        if framed is None:
            damaged(at)
            at = next_good(raw, at)
            continue
        kind, payload, at = framed
        entry = _decode(kind, payload)
        if entry is not None:
            yield entry


def is_whole(read: Callable[[int, int], bytes], pack: int, volume: uuid.UUID) -> bool:
    """Is a sealed journal as it was written? Read in pieces by (length, offset); an entry is in memory at a time."""
    raw, at, kind = read(PIECE, 0), HEADER_BYTES, 0
    if raw[:HEADER_BYTES] != header(pack, volume, row_of(raw)):
        return False
    begin, more = 0, len(raw) == PIECE
    while True:
        framed = _framed(raw, at - begin)
        if framed is not None:
            kind, _, end = framed
            at = begin + end
        elif more and begin != at:  # what is left of this piece is the beginning of an entry
            raw, begin = read(PIECE, at), at
            more = len(raw) == PIECE
        else:
            return at == begin + len(raw) and kind == EntryType.SEALED


def _framed(raw: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Type and payload of the entry at `at`, and where the next begins; None: there is no good one."""
    if at + ENTRY.size > len(raw):
        return None
    length, crc, kind = ENTRY.unpack_from(raw, at)
    end = at + ENTRY.size + length
    if length > MAX_PAYLOAD or end > len(raw):
        return None
    payload = raw[at + ENTRY.size : end]
    return (kind, payload, end) if zlib.crc32(payload, zlib.crc32(bytes((kind,)))) == crc else None


def next_good(raw: bytes, bad: int) -> int | None:
    """Where the next good entry begins after a bad one, within what the longest takes."""
    end = bad + 2 * ENTRY.size + MAX_PAYLOAD
    return next((like.start() for like in _LIKE_ONE.finditer(raw, bad + 1, end) if _framed(raw, like.start())), None)


def _decode(kind: int, payload: bytes) -> Entry | None:
    match kind:
        case EntryType.OBJECT | EntryType.REFRESH:
            return ObjectEntry(payload[:16], decode_record(payload[16:]), kind == EntryType.REFRESH)
        case EntryType.EXTENT:
            (generation,) = struct.unpack_from("<Q", payload, 16)
            return ExtentEntry(payload[:16], generation, decode_extent(payload, 24)[0])
        case EntryType.DELETE:
            return DeleteEntry(payload[:16], *struct.unpack_from("<QQ", payload, 16))
        case EntryType.SEALED:
            return SealedEntry(*struct.unpack_from("<Q", payload))
    return None  # a type of a later minor version: skipped, its checksum was good
