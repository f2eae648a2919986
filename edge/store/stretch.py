"""Stretches of journals as they are read for a rebuild: bytes that go into the index nearly as they stand.

An entry becomes no object: making a record and an extent of it and their bytes again costs 30 us, a quarter of that
is enough to check it and to move its bytes. What the layouts of DESIGN section 9 give for that:
1. a record's value in the index is that of its journal entry with the inline extent put in and the checksum renewed;
2. an extent's row in `places` is the first 36 bytes of its entry; in `extents` it is the rest, with a checksum.
"""

import struct
import zlib
from collections.abc import Callable, Container
from typing import Final

import xxhash

from edge.errors import FormatUnknown
from edge.store.journal import ENTRY, MAX_PAYLOAD, EntryType, next_good
from edge.store.record import NO_EXTENT, VERSION, split_tags
from edge.store.tables import KEY_CUT, tag_row

NAME: Final = 16
_SEEDS: Final = tuple(zlib.crc32(bytes((kind,))) for kind in range(256))  # of an entry's checksum, by its type
_EXTENT: Final = struct.Struct("<QIIQH")  # behind name and generation: start, length, pack, offset, sums
OWNER: Final = NAME + 8  # name and generation
GENERATION: Final = slice(NAME + 8, NAME + 16)  # of a record's entry
PLACE_BYTES: Final = OWNER + 12  # and start and length: a row of `places`
# version, generation, sequence, lengths of key, path, etag, vary, tags, extension, head
_RECORD: Final = struct.Struct("<B7xQ48xQHHHHHHI")
_OF_RECORD: Final = struct.Struct("<B7xQ48xQ")  # the first three of them
_RECORDS: Final = (int(EntryType.OBJECT), int(EntryType.REFRESH))
_SUMS_AT: Final = OWNER + _EXTENT.size  # in an extent's entry
_FIRST: Final = _RECORD.size  # where the inline extent stands
_AFTER: Final = _FIRST + len(NO_EXTENT)
_SUM: Final = 8
_NUMBERS: Final = struct.Struct("<QQ")


class Stretch:
    """What some entries say: of each name the newest record, and all extents, undecoded."""

    def __init__(self) -> None:
        self.objects: dict[bytes, tuple[int, bytes]] = {}  # name -> sequence, payload
        self.extents: dict[bytes, list[bytes]] = {}  # name + generation -> payloads
        self.deleted: dict[bytes, int] = {}  # name -> sequence
        self.used: dict[int, int] = {}  # by pack: where what it holds ends
        self.sequence = self.generation = 0
        self.entries = 0

    def __repr__(self) -> str:
        return f"<Stretch entries={self.entries} objects={len(self.objects)}>"

    def newest_generation(self) -> int:
        """The highest that is named."""
        return max((self.generation, *(int.from_bytes(owner[NAME:], "little") for owner in self.extents)))

    def take(self, raw: bytes, at: int, pack: int, most: int, damaged: Callable[[int], object]) -> int | None:
        """Take up to `most` entries from `at` on. Returns where to go on, None at the end.

        `damaged` is told where there is a bad entry; FormatUnknown: a record of another version.
        """
        unpack, crc32, size, end, extents = ENTRY.unpack_from, zlib.crc32, ENTRY.size, len(raw), self.extents
        unpack_extent = _EXTENT.unpack_from
        used = kind = 0
        while at < end and most:
            most -= 1
            start = at + size
            length, crc, kind = unpack(raw, at) if start <= end else (end, 0, 0)
            payload = raw[start : start + length]
            if crc32(payload, _SEEDS[kind]) != crc or len(payload) != length or length > MAX_PAYLOAD:
                damaged(at)
                kind, at = 0, next_good(raw, at) or end
                continue
            at = start + length
            self.entries += 1
            if kind != 2:  # EntryType.EXTENT, every other entry: a comparison of enums costs 0.1 us
                self._take_other(kind, payload, pack)
                continue
            _, size_bytes, number, offset, sums = unpack_extent(payload, OWNER)
            if length != _SUMS_AT + 8 * sums:
                continue  # a row of the index ends where its sums do
            owner = payload[:OWNER]
            if owner in extents:
                extents[owner].append(payload)
            else:
                extents[owner] = [payload]
            if number == pack and offset + size_bytes > used:
                used = offset + size_bytes
        self.used[pack] = max(used, self.used.get(pack, 0))
        if at < end:
            return at
        if kind != EntryType.SEALED:
            damaged(end)
        return None

    def _take_other(self, kind: int, payload: bytes, pack: int) -> None:
        if kind in _RECORDS:
            version, generation, sequence = _OF_RECORD.unpack_from(payload, NAME)
            if version != VERSION:
                raise FormatUnknown(f"a journal has a record of version {version}, this program reads {VERSION}")
            if sequence > self.sequence:
                self.sequence = sequence
            if generation > self.generation:
                self.generation = generation
            name = payload[:NAME]
            known = self.objects.get(name)
            if known is None or known[0] < sequence:
                self.objects[name] = sequence, payload
        elif kind == EntryType.DELETE:
            _, sequence = _NUMBERS.unpack_from(payload, NAME)
            name = payload[:NAME]
            self.sequence = max(self.sequence, sequence)
            self.deleted[name] = max(sequence, self.deleted.get(name, -1))
        elif kind == EntryType.SEALED:
            (length,) = struct.unpack_from("<Q", payload)
            self.used[pack] = max(length, self.used.get(pack, 0))


def record_rows(payload: bytes, first: bytes | None) -> tuple[bytes, bytes, tuple[bytes, ...]] | None:
    """The value for `names`, the row for `keys`, those for `tags`, of a record's entry with its inline extent's entry.

    None: it was written by an earlier program, without a checksum; it must be decoded.
    """
    _, _, _, key, path, etag, vary, tags, extension, head = _RECORD.unpack_from(payload, NAME)
    if extension != _SUM:
        return None
    name, at = payload[:NAME], NAME + _AFTER
    row = payload[at : at + min(key, KEY_CUT)] + b"\0" + name
    named: tuple[bytes, ...] = ()
    if tags:
        begin = at + key + path + etag + vary
        named = tuple(tag_row(tag) + name for tag in split_tags(payload[begin : begin + tags]))
    if first is None:
        return payload[NAME:], row, named
    end = len(payload) - head
    before = payload[NAME : NAME + _FIRST] + first[OWNER:] + payload[at : end - _SUM]
    fields = payload[end:]
    return before + xxhash.xxh3_64_digest(before + fields)[::-1] + fields, row, named


def key_and_tags(payload: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Of a record's entry."""
    _, _, _, key, path, etag, vary, tags, _, _ = _RECORD.unpack_from(payload, NAME)
    at = NAME + _AFTER
    behind = at + key + path + etag + vary
    return payload[at : at + key], split_tags(payload[behind : behind + tags])


def extent_row(payload: bytes) -> tuple[bytes, bytes]:
    """Key and value for `extents` of an extent's entry."""
    raw = payload[OWNER:]
    key = payload[NAME:OWNER][::-1] + raw[:8][::-1]
    return key, raw + xxhash.xxh3_64_digest(key + raw)[::-1]


def place_row(payload: bytes) -> tuple[bytes, bytes]:
    """Key and value for `places` of an extent's entry."""
    return payload[OWNER + 12 : OWNER + 16][::-1] + payload[OWNER + 16 : OWNER + 24][::-1], payload[:PLACE_BYTES]


def in_order(payloads: list[bytes], packs: Container[int]) -> list[bytes]:
    """Extents' entries by where they start, of two copies the one in the later pack, without those of other packs."""
    if len(payloads) == 1:
        return payloads if _EXTENT.unpack_from(payloads[0], OWNER)[2] in packs else []
    newest: dict[int, tuple[int, bytes]] = {}
    for payload in payloads:
        start, _, pack, _, _ = _EXTENT.unpack_from(payload, OWNER)
        if pack in packs and (start not in newest or newest[start][0] <= pack):
            newest[start] = pack, payload
    return [newest[start][1] for start in sorted(newest)]
