"""What can be done to an index within one transaction."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import lmdb

from edge.store.record import (
    Extent,
    Flag,
    Glance,
    Record,
    decode_extent_row,
    decode_record,
    decode_stored,
    encode_extent_row,
    encode_record,
    glance,
    marked,
)
from edge.store.tables import KEY_CUT, PLACE, PLACE_KEY, UNREAD, WHOLE, Placed, Tables, extent_key, tag_row

Wanted = tuple[bytes, Callable[[Record | Glance], bool], bool]  # a name, whether it is meant, only made stale?


class Purged(NamedTuple):
    """What a purge has done: objects forgotten, objects made stale, bytes of both, and of the first."""

    hard: int
    soft: int
    length: int
    freed: int


class SideRows:
    """Rows of the side tables that are to be deleted: keys of `places`; keys and values of the others."""

    def __init__(self) -> None:
        self.places: list[bytes] = []
        self.keys: list[bytes] = []
        self.tags: list[bytes] = []

    def __repr__(self) -> str:
        return f"<SideRows places={len(self.places)} keys={len(self.keys)} tags={len(self.tags)}>"

    def __bool__(self) -> bool:
        return bool(self.places or self.keys or self.tags)


class Writing:
    """One write transaction."""

    def __init__(
        self,
        tables: Tables,
        txn: Any,
        extents: Callable[[Record], list[Extent]],
        touch: Callable[[bytes], object],
        damaged: Callable[[], object],
    ) -> None:
        self._txn = txn
        self._extents_of = extents  # before this transaction
        self._touch = touch  # is told which name is written
        self._damaged = damaged  # of a bad row that is about to be replaced
        self._elsewhere: dict[int, int] = {}  # generation -> start of an extent that lay in another pack
        self.names, self.extents_table, self.places = tables.names, tables.extents, tables.places
        self.keys, self.tags, self.meta_table = tables.keys, tables.tags, tables.meta

    def record(self, name: bytes) -> Record | None:
        raw = self._txn.get(name, db=self.names)
        record = decode_stored(raw) if raw is not None else None
        if raw is not None and record is None:
            self._damaged()
        return record

    def has(self, name: bytes) -> bool:
        return self._txn.get(name, db=self.names) is not None

    def extent(self, generation: int, start: int) -> Extent | None:
        key = extent_key(generation, start)
        raw = self._txn.get(key, db=self.extents_table)
        return decode_extent_row(key, raw) if raw is not None else None

    def put_record(self, name: bytes, record: Record) -> None:
        """Write a record; the side tables get their rows."""
        self._touch(name)
        self._txn.put(name, encode_record(record), db=self.names)
        generation = struct.pack("<Q", record.generation)
        self._txn.put(record.key[:KEY_CUT] + b"\0" + name, generation, db=self.keys)
        for tag in record.tags:
            self._txn.put(tag_row(tag) + name, generation, db=self.tags)

    def renew_record(self, name: bytes, known: Record, record: Record) -> None:
        """Write a record in the place of one with the same key; tags that it has no more lose their rows."""
        for tag in known.tags:
            if tag not in record.tags:
                self._txn.delete(tag_row(tag) + name, db=self.tags)
        self.put_record(name, record)

    def add_extent(self, name: bytes, record: Record, extent: Extent) -> Record:
        """Note an extent of a generation; the first one goes inline. Returns the record as it is now."""
        place = PLACE.pack(name, record.generation, extent.start, extent.length)
        self._txn.put(PLACE_KEY.pack(extent.pack, extent.offset), place, db=self.places)
        if record.first is None or record.first.start == extent.start:
            return replace(record, first=extent)
        if extent.start < record.first.start:  # the inline one is that with the lowest start
            self._put_extent(record.generation, record.first)
            return replace(record, first=extent)
        self._put_extent(record.generation, extent)
        return record

    def _put_extent(self, generation: int, extent: Extent) -> None:
        key = extent_key(generation, extent.start)
        self._txn.put(key, encode_extent_row(key, extent), db=self.extents_table)

    def move_extent(self, name: bytes, record: Record, old: Extent, new: Extent) -> None:
        """The same bytes lie elsewhere now."""
        self._touch(name)
        self._txn.delete(PLACE_KEY.pack(old.pack, old.offset), db=self.places)
        renewed = self.add_extent(name, record, new)
        if renewed is not record:
            self._txn.put(name, encode_record(renewed), db=self.names)

    def remove_extent(self, name: bytes, record: Record, extent: Extent) -> Record:
        """Forget one extent; the record stays (it may have others)."""
        self._txn.delete(PLACE_KEY.pack(extent.pack, extent.offset), db=self.places)
        if record.first is not None and record.first.start == extent.start:
            return replace(record, first=None)
        self._txn.delete(extent_key(record.generation, extent.start), db=self.extents_table)
        return record

    def remove_record(self, name: bytes, record: Record, extents: Sequence[Extent]) -> None:
        """Forget an object with all its extents."""
        self._touch(name)
        for extent in extents:
            self._txn.delete(PLACE_KEY.pack(extent.pack, extent.offset), db=self.places)
            self._txn.delete(extent_key(record.generation, extent.start), db=self.extents_table)
        self._remove_rows(name, record.key, record.tags)
        self._txn.delete(name, db=self.names)

    def _remove_rows(self, name: bytes, key: bytes, tags: Sequence[bytes]) -> None:
        self._txn.delete(key[:KEY_CUT] + b"\0" + name, db=self.keys)
        for tag in tags:
            self._txn.delete(tag_row(tag) + name, db=self.tags)

    def purge(self, wanted: Iterable[Wanted], rows: SideRows) -> Purged:
        """Forget, or mark stale, those that are meant. Written for 100,000 of them: some 10 us each, in order of name.

        What the side tables say of them is left to `deleting`, and noted in `rows`.
        """
        hard = soft = length = freed = 0
        with self._txn.cursor(db=self.names) as cursor:
            for name, meant, softly in wanted:
                if not cursor.set_key(name):
                    continue
                raw = cursor.value()
                seen = glance(raw)
                if seen is None or not meant(seen):  # what is damaged is served to nobody
                    continue
                whole = seen.first_length == seen.total
                extents = self._extents_of(decode_record(raw)) if not whole else []
                count = seen.first_length if whole else sum(extent.length for extent in extents)
                length += count
                if softly:
                    cursor.put(name, marked(raw, Flag.STALE))
                    soft += 1
                    continue
                cursor.delete()
                hard += 1
                freed += count
                if whole:
                    rows.places.append(PLACE_KEY.pack(seen.first_pack, seen.first_offset))
                for extent in extents:
                    rows.places.append(PLACE_KEY.pack(extent.pack, extent.offset))
                    self._txn.delete(extent_key(seen.generation, extent.start), db=self.extents_table)
                generation = struct.pack("<Q", seen.generation)
                rows.keys.append(seen.key[:KEY_CUT] + b"\0" + name + generation)
                if seen.tags:
                    rows.tags += [tag_row(tag) + name + generation for tag in seen.tags]
        return Purged(hard, soft, length, freed)

    def deleting(self, rows: SideRows) -> Callable[[int], None]:
        """What deletes so many of the rows of each table, the last ones.

        In their order: a neighbour is found on the same page, without a way from the root. An object that was kept
        anew meanwhile has a row of the same key, but of another generation.
        """
        places = self._txn.cursor(db=self.places)
        others = [
            (self._txn.cursor(db=table), those) for table, those in ((self.keys, rows.keys), (self.tags, rows.tags))
        ]

        def delete(most: int) -> None:
            for place in rows.places[-most:]:
                if places.set_key(place):
                    places.delete()
            del rows.places[-most:]
            for cursor, those in others:
                for row in those[-most:]:
                    if cursor.set_key(row[:-8]) and cursor.value() == row[-8:]:
                        cursor.delete()
                del those[-most:]

        return delete

    def forget_place(self, placed: Placed) -> list[Extent]:
        """What lies at a place is going away with its pack. Returns what its object loses: nothing, if it has none.

        With the last of its packs an object goes as a whole, with all that it had there.
        """
        record = self.record(placed.name)
        self._txn.delete(PLACE_KEY.pack(placed.pack, placed.offset), db=self.places)
        if record is None or record.generation != placed.generation:
            self._txn.delete(extent_key(placed.generation, placed.start), db=self.extents_table)  # nobody finds it
            return []
        first = record.first
        inline = first is not None and first.start == placed.start
        extent = first if inline else self.extent(record.generation, placed.start)
        if extent is None or extent.pack != placed.pack:
            return []
        if record.flags & Flag.STRONG and self._lies_elsewhere(record, placed.pack):
            self.put_record(placed.name, self.remove_extent(placed.name, record, extent))
            return [extent]
        others = [found for found in self._all_of(record) if found.start != placed.start]
        self.remove_record(placed.name, record, [extent, *others])
        return [extent, *others]

    def _lies_elsewhere(self, record: Record, pack: int) -> bool:
        """Is something of an object in another pack? A film has thousands of extents, of which a pack has many: what
        shows it is remembered, since to look at all of them for each took a second for ten of them.
        """
        if record.first is not None and record.first.pack != pack:
            return True
        shown = self._elsewhere.get(record.generation)
        if shown is not None and (extent := self.extent(record.generation, shown)) is not None and extent.pack != pack:
            return True
        for extent in self._further(record.generation):
            if extent.pack != pack:
                self._elsewhere[record.generation] = extent.start
                return True
        return False

    def _all_of(self, record: Record) -> list[Extent]:
        """As this transaction has left them."""
        return [*([record.first] if record.first is not None else ()), *self._further(record.generation)]

    def _further(self, generation: int) -> Iterator[Extent]:
        """All but the inline one, as this transaction has left them."""
        prefix = before = struct.pack(">Q", generation)
        with self._txn.cursor(db=self.extents_table) as cursor:
            for key, value in cursor.iternext() if cursor.set_range(prefix) else ():
                if not key.startswith(prefix):
                    return
                if key <= before:  # pages that name each other would have us read for ever
                    raise lmdb.CorruptedError("rows are out of order")
                before, extent = key, decode_extent_row(key, value)
                if extent is not None:
                    yield extent

    def forget_damaged(self, placed: Placed) -> None:
        """Delete rows that are not what was written, and what belongs to them; the object's key is not known."""
        raw = self._txn.get(placed.name, db=self.names)
        record = decode_stored(raw) if raw is not None else None
        self._txn.delete(PLACE_KEY.pack(placed.pack, placed.offset), db=self.places)
        if record is not None:
            self._txn.delete(extent_key(placed.generation, placed.start), db=self.extents_table)
            return
        self._touch(placed.name)
        self._txn.delete(placed.name, db=self.names)
        generation = struct.pack(">Q", placed.generation)
        with self._txn.cursor(db=self.extents_table) as cursor:
            found = cursor.set_range(generation)
            while found and cursor.key().startswith(generation):
                found = cursor.delete()

    def put_name(self) -> Callable[..., bool]:
        """What puts a value as it is: (name, value, overwrite=False) is False when there is one."""
        put: Callable[..., bool] = self._txn.cursor(db=self.names).put
        return put

    def put_rows(self, table: Any, rows: list[tuple[bytes, bytes]]) -> None:
        """Write rows as they are, in the order of their keys."""
        if rows:
            rows.sort()
            with self._txn.cursor(db=table) as cursor:
                cursor.putmulti(rows)

    def note_whole(self, pack: int, row: int) -> None:
        """A journal is whole: a start need not look at it. Among 40,000 that are not in memory that took 16 s."""
        self.set_meta(WHOLE + b"%d" % pack, row)

    def forget_whole(self, pack: int) -> None:
        self._txn.delete(WHOLE + b"%d" % pack, db=self.meta_table)

    def note_unread(self, pack: int) -> None:
        """The disk does not give a journal: the next start tries."""
        self.set_meta(UNREAD + b"%d" % pack, 1)

    def forget_unread(self, pack: int) -> None:
        self._txn.delete(UNREAD + b"%d" % pack, db=self.meta_table)

    def set_meta(self, key: bytes, value: int) -> None:
        self._txn.put(key, b"%d" % value, db=self.meta_table)
