"""What the rows of a name come to: the newest record, its extents, and what the tables say of them.

The record with the highest sequence counts, unless the name was deleted or purged after it; extents belong to it when
they are of its generation. Of two extents that begin alike the one in the later pack counts, the later one in a pack.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Final

import xxhash

from edge.store.bulk.reading import VALUE_AT, RowKind
from edge.store.purgelog import Purged
from edge.store.record import NO_EXTENT, Flag, decode_record, marked, split_tags, with_first
from edge.store.stretch import NAME
from edge.store.tables import KEY_CUT, PLACE_KEY, tag_row

_KIND: Final = VALUE_AT - 1
# of a record's value: generation, sequence, lengths of key, path, etag, vary, tags; start and length of the inline
# extent, its pack, offset, number of sums
_VALUE: Final = struct.Struct("<8x8s48xQHHHHH6x12sIQH")
_EXTENT: Final = struct.Struct("<QIIQH")
_FIRST: Final = _VALUE.size - _EXTENT.size
_AFTER: Final = _VALUE.size

Row = tuple[bytes, bytes]


class Weighed:
    """Rows of the tables: of `names` in order, of the others key and value in one, in no order."""

    def __init__(self) -> None:
        self.names: list[Row] = []
        self.places: list[bytes] = []
        self.keys: list[bytes] = []
        self.tags: list[bytes] = []
        self.extents: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Weighed names={len(self.names)} extents={len(self.extents)}>"


def weigh(rows: list[bytes], purged: Purged) -> Weighed:
    """All rows of some names, in any order."""
    rows.sort()
    out = Weighed()
    add_name, add_place, add_key, add_tag = out.names.append, out.places.append, out.keys.append, out.tags.append
    tagged: dict[bytes, tuple[tuple[bytes, ...], Collection[bytes]]] = {}  # many have the same: split and hashed once
    named: tuple[bytes, ...]
    beginnings: Collection[bytes]
    unpack, place_key = _VALUE.unpack_from, PLACE_KEY.pack
    newest = purged.newest
    names = [row[:NAME] for row in rows]
    following = names[1:] + [b""][: len(names)]
    rest: list[bytes] = []
    whole = RowKind.WHOLE
    before = b""
    for name, next_name, row in zip(names, following, rows, strict=True):
        if name != next_name and name != before and row[_KIND] == whole:
            generation, sequence, key, path, etag, vary, tags, stretch, pack, offset, sums = unpack(row, VALUE_AT)
            at = VALUE_AT + _AFTER + 8 * sums
            text = row[at : at + key]
            if tags:
                at += key + path + etag + vary
                raw = row[at : at + tags]
                if raw not in tagged:
                    tagged[raw] = split_tags(raw), {tag_row(tag) for tag in split_tags(raw)}
                named, beginnings = tagged[raw]
            else:
                named, beginnings = (), ()
            value = row[VALUE_AT:]
            if sequence < newest:
                revised = _revised(value, sequence, text, named, purged)
                if revised is None:
                    before = name
                    continue
                value = revised
            owner = name + generation
            add_name((name, value))
            add_place(place_key(pack, offset) + owner + stretch)
            add_key((text if key < KEY_CUT else text[:KEY_CUT]) + b"\0" + owner)
            for beginning in beginnings:
                add_tag(beginning + owner)
        else:
            rest.append(row)
        before = name
    if rest:
        for name, group in groupby(rest, lambda row: row[:NAME]):
            _weigh_name(out, name, list(group), purged)
        out.names.sort()
    return out


def _weigh_name(out: Weighed, name: bytes, rows: Sequence[bytes], purged: Purged) -> None:
    """The rows of one name, those of the newest journal first."""
    value = _newest(rows, purged)
    if value is None:
        return
    generation, _, key, path, etag, vary, tags, *_ = _VALUE.unpack_from(value)
    extents = _extents(rows, generation)
    value = with_first(value, extents[0] if extents else NO_EXTENT)
    out.names.append((name, value))
    for extent in extents:
        _, _, pack, offset, _ = _EXTENT.unpack_from(extent)
        out.places.append(PLACE_KEY.pack(pack, offset) + name + generation + extent[:12])
    for extent in extents[1:]:
        row = generation[::-1] + extent[:8][::-1] + extent
        out.extents.append(row + xxhash.xxh3_64_digest(row)[::-1])
    at = _FIRST + (len(extents[0]) if extents else len(NO_EXTENT))
    out.keys.append(value[at : at + min(key, KEY_CUT)] + b"\0" + name + generation)
    at += key + path + etag + vary
    out.tags += {tag_row(tag) + name + generation: None for tag in split_tags(value[at : at + tags])}


def _newest(rows: Iterable[bytes], purged: Purged) -> bytes | None:
    """The value of the record that counts, whatever extent is in it."""
    newest = deleted = -1
    value = b""
    for row in rows:
        match row[_KIND]:
            case RowKind.WHOLE | RowKind.RECORD:
                sequence = _VALUE.unpack_from(row, VALUE_AT)[1]
                if sequence > newest:
                    newest, value = sequence, row[VALUE_AT:]
            case RowKind.DELETE:
                deleted = max(deleted, int.from_bytes(row[VALUE_AT:], "little"))
    if deleted >= newest:
        return None
    if newest >= purged.newest:
        return value
    record = decode_record(value)
    return _revised(value, newest, record.key, record.tags, purged)


def _revised(value: bytes, sequence: int, key: bytes, tags: Sequence[bytes], purged: Purged) -> bytes | None:
    """A record's value as later purges left it."""
    if purged.forgets(sequence, key, tags):
        return None
    return marked(value, Flag.STALE) if purged.outdates(sequence, key, tags) else value


def _extents(rows: Iterable[bytes], generation: bytes) -> list[bytes]:
    """Those of a generation, in the object's order."""
    newest: dict[int, tuple[int, int, bytes]] = {}
    for row in rows:
        if row[_KIND] == RowKind.WHOLE:
            of, *_, sums = _VALUE.unpack_from(row, VALUE_AT)
            extent = row[VALUE_AT + _FIRST : VALUE_AT + _AFTER + 8 * sums]
        elif row[_KIND] == RowKind.EXTENT:
            of, extent = row[VALUE_AT : VALUE_AT + 8], row[VALUE_AT + 8 :]
        else:
            continue
        if of != generation:
            continue
        start, _, pack, offset, _ = _EXTENT.unpack_from(extent)
        found = pack, offset, extent
        if start not in newest or newest[start] < found:
            newest[start] = found
    return [newest[start][2] for start in sorted(newest)]
