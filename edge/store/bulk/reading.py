"""Journals become rows: of each entry its name, where it ranks among others of that name, and its bytes.

    row = name 16, rank u32 BE (2^32 - 1 - pack: the newest journal first), kind u8, bytes

Nearly all entries are a record with its only extent behind it: they become one row, whose bytes are the value that the
index is to have if nothing else is found of that name. No entry becomes an object: a pair of them takes 3 us.
"""

import struct
import uuid
import zlib
from collections.abc import Container
from typing import Final, NamedTuple

import xxhash

from edge.errors import FormatUnknown
from edge.store.bulk.spill import Spill
from edge.store.journal import ENTRY, HEADER_BYTES, MAX_PAYLOAD, EntryType, flipped, is_of, next_good, row_of
from edge.store.record import NO_EXTENT, VERSION, decode_record, encode_record
from edge.store.stretch import NAME, OWNER

VALUE_AT: Final = NAME + 5  # in a row
PARTS: Final = 256  # by the first byte of the name

_RECORD_ENTRY: Final = struct.Struct("<IIB16sB7xQ48xQ10xHI")  # frame, name, version, generation, sequence, lengths
_EXTENT_ENTRY: Final = struct.Struct("<IIB16sQ8xIIQH")  # frame, name, generation; length, place, sums
_RECORD: Final = struct.Struct("<16sB7xQ48xQ10xH")  # the same without frames
_EXTENT: Final = struct.Struct("<16sQ8xIIQH")
_NUMBERS: Final = struct.Struct("<QQ")
_FRAME: Final = ENTRY.size
_VALUE: Final = _FRAME + NAME  # where a record's value begins in its entry
_FIRST: Final = _RECORD_ENTRY.size  # where its inline extent stands
_AFTER: Final = _FIRST + len(NO_EXTENT)
_LEAST: Final = OWNER + len(NO_EXTENT)  # an extent's entry without its sums
_SUM: Final = 8
_SEEDS: Final = tuple(zlib.crc32(bytes((kind,))) for kind in range(256))  # of an entry's checksum, by its type


class RowKind:
    """Plain integers: a row has one in a byte."""

    WHOLE: Final = 1  # the value of a record with an extent in it
    RECORD: Final = 2  # the value of a record without one
    EXTENT: Final = 3  # generation and extent
    DELETE: Final = 4  # u64 sequence


class Fact(NamedTuple):
    """What a journal says of its pack: its row, where what it holds ends, and whether nothing of it is lost.

    `unread`: it says nothing, the disk does not give it.
    """

    pack: int
    row: int
    used: int
    whole: bool
    unread: bool = False


FactFields = tuple[int, int, int, bool, bool]


class Reading:
    """Of the journals of a volume that has `packs`, into a spill by names."""

    def __init__(self, volume: uuid.UUID, packs: Container[int], spill: Spill) -> None:
        self._volume, self._packs, self._spill = volume, packs, spill
        self.sequence = self.generation = 0  # the highest that were met
        self._number, self._raw = 0, b""  # the journal that is being read
        self._used = self._sealed_at = 0
        self._damaged = False

    def __repr__(self) -> str:
        return f"<Reading {self._number} into {self._spill}>"

    def take(self, raw: bytes, number: int) -> Fact:
        """Take a whole journal."""
        self._number, self._raw = number, raw
        self._used = self._sealed_at = 0
        self._damaged = False
        row = row_of(raw)
        try:
            if not is_of(raw, number, self._volume):
                return Fact(number, row, 0, whole=False)
            self._damaged = flipped(raw, number, self._volume) > 0
            self._take_entries(raw)
        except FormatUnknown:
            self._damaged = True
        self._spill.held(len(raw))
        return Fact(number, row, self._used, whole=not self._damaged and self._sealed_at == len(raw))

    def _take_entries(self, raw: bytes) -> None:
        parts, packs, number, end = self._spill.parts, self._packs, self._number, len(raw)
        unpack_record, unpack_extent = _RECORD_ENTRY.unpack_from, _EXTENT_ENTRY.unpack_from
        crc32, digest, join = zlib.crc32, xxhash.xxh3_64_digest, b"".join
        of_record, of_extent = _SEEDS[EntryType.OBJECT], _SEEDS[EntryType.EXTENT]
        whole, at, used = _rank(number, RowKind.WHOLE), HEADER_BYTES, 0
        last_extent = end - _EXTENT_ENTRY.size
        last_record = last_extent - _AFTER
        top, newest = self.sequence, self.generation
        while at < end:
            if at <= last_record:
                length, crc, kind, name, version, generation, sequence, extension, head = unpack_record(raw, at)
                middle = at + _FRAME + length
                # 1, 2: EntryType.OBJECT and EXTENT; a comparison of enums costs 0.1 us
                if kind == 1 and extension == _SUM and version == VERSION and middle <= last_extent:
                    length_too, crc_too, kind, owner, of, size_bytes, pack, offset, sums = unpack_extent(raw, middle)
                    begin = middle + _FRAME
                    extent = raw[begin : begin + length_too]
                    if (
                        kind == 2
                        and owner == name
                        and of == generation
                        and length_too == _LEAST + 8 * sums
                        and pack in packs
                        and length <= MAX_PAYLOAD
                        and crc32(raw[at + _FRAME : middle], of_record) == crc
                        and crc32(extent, of_extent) == crc_too
                    ):
                        fields = raw[middle - head : middle]
                        before = (
                            raw[at + _VALUE : at + _FIRST] + extent[OWNER:] + raw[at + _AFTER : middle - head - _SUM]
                        )
                        parts[name[0]].append(join((name, whole, before, digest(before + fields)[::-1], fields)))
                        if sequence > top:
                            top = sequence
                        if generation > newest:
                            newest = generation
                        if pack == number and offset + size_bytes > used:
                            used = offset + size_bytes
                        at = begin + length_too
                        continue
            at = self._take_one(at)
        self.sequence, self.generation = max(top, self.sequence), max(newest, self.generation)
        self._used = max(used, self._used)

    def _take_one(self, at: int) -> int:
        """Take what does not stand as most do; returns where the next entry is."""
        raw, start = self._raw, at + _FRAME
        length, crc, kind = ENTRY.unpack_from(raw, at) if start <= len(raw) else (MAX_PAYLOAD + 1, 0, 0)
        payload = raw[start : start + length]
        if len(payload) != length or length > MAX_PAYLOAD or zlib.crc32(payload, _SEEDS[kind]) != crc:
            self._damaged = True
            return next_good(raw, at) or len(raw)
        match kind:
            case EntryType.OBJECT | EntryType.REFRESH:
                self._take_record(payload)
            case EntryType.EXTENT:
                self._take_extent(payload)
            case EntryType.DELETE:
                _, sequence = _NUMBERS.unpack_from(payload, NAME)
                self.sequence = max(self.sequence, sequence)
                self._put(RowKind.DELETE, payload[:NAME], payload[NAME + 8 : NAME + 16])
            case EntryType.SEALED:
                self._used = max(self._used, int.from_bytes(payload[:8], "little"))
                self._sealed_at = start + length
        end: int = start + length
        return end

    def _take_record(self, payload: bytes) -> None:
        name, version, generation, sequence, extension = _RECORD.unpack_from(payload)
        if version != VERSION:
            raise FormatUnknown(f"a journal has a record of version {version}, this program reads {VERSION}")
        self.sequence, self.generation = max(self.sequence, sequence), max(self.generation, generation)
        value = payload[NAME:]
        if extension != _SUM:  # written by an earlier program, without a checksum
            value = encode_record(decode_record(value))
        self._put(RowKind.RECORD, name, value)

    def _take_extent(self, payload: bytes) -> None:
        name, generation, size_bytes, pack, offset, sums = _EXTENT.unpack_from(payload)
        if len(payload) != _LEAST + 8 * sums:
            return
        self.generation = max(self.generation, generation)
        if pack == self._number:
            self._used = max(self._used, offset + size_bytes)
        if pack in self._packs:
            self._put(RowKind.EXTENT, name, payload[NAME:])

    def _put(self, kind: int, name: bytes, rest: bytes) -> None:
        self._spill.parts[name[0]].append(name + _rank(self._number, kind) + rest)


def _rank(pack: int, kind: int) -> bytes:
    return (0xFFFFFFFF - pack).to_bytes(4, "big") + bytes((kind,))
