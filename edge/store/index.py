"""The disposable index: LMDB tables over packs (DESIGN D4). One writer; readers in any number of processes."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb

from edge.errors import StoreError
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
    intact,
    marked,
)
from edge.store.tables import (
    FORMAT,
    KEY_CUT,
    PLACE,
    PLACE_KEY,
    TABLES,
    WHOLE,
    Placed,
    Side,
    extent_key,
    open_environment,
    tag_row,
)


def _nobody_is_told() -> None:
    pass


class Index:
    """Tables of a volume, written by the keeper only."""

    def __init__(
        self, path: Path, map_bytes: int, *, readonly: bool = False, mapped: Callable[[], None] = _nobody_is_told
    ) -> None:
        if not readonly:
            path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.committed: Callable[[], None] = _nobody_is_told  # called after each commit
        self.damaged: Callable[[], None] = _nobody_is_told  # called for each bad row that is about to be replaced
        self.died: Callable[[], None] = _nobody_is_told  # LMDB gives the environment up: only a new process helps
        self._env = open_environment(path, map_bytes, readonly=readonly)
        mapped()  # before a page is looked at
        self._names, self._extents, self._places, self._keys, self._tags, self._meta = (
            self._env.open_db(table, create=not readonly) for table in TABLES
        )
        if self.objects() == 0 and not readonly:
            with self._env.begin(write=True) as txn:
                txn.put(b"format", b"%d" % FORMAT, db=self._meta)

    def close(self) -> None:
        self._env.close()

    def reader_check(self) -> int:
        """Free the slots of readers that died."""
        return int(self._env.reader_check())

    @contextmanager
    def writing(self) -> Iterator["Writing"]:
        """One transaction; StoreError when the map is full (then nothing of it has happened)."""
        try:
            with self._begin(write=True) as txn:
                yield Writing(self, txn)
            self.committed()
        except lmdb.Error as error:
            self._begin().abort()  # a commit that could not write its page of meta data: that shows here
            said = "the index is full" if isinstance(error, lmdb.MapFullError) else f"index: {error}"
            raise StoreError(said) from error

    def _begin(self, *, write: bool = False) -> Any:
        try:
            return self._env.begin(write=write)
        except lmdb.PanicError as error:
            self.died()
            raise StoreError(f"index: {error}") from error

    # -- reading ---------------------------------------------------------------------------------

    def record(self, name: bytes) -> Record | None:
        """A damaged one is as good as none: the object is fetched again and takes its place."""
        with self._begin() as txn:
            raw = txn.get(name, db=self._names)
        return decode_stored(raw) if raw is not None else None

    def extents(self, record: Record) -> list[Extent]:
        """All extents of a generation, in the object's order, the inline one first."""
        found = [record.first] if record.first is not None else []
        prefix = struct.pack(">Q", record.generation)
        with self._begin() as txn, txn.cursor(db=self._extents) as cursor:
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not key.startswith(prefix):
                        break
                    extent = decode_extent_row(value)
                    if extent is not None:
                        found.append(extent)
        return sorted(found, key=lambda extent: extent.start)

    def key(self, name: bytes) -> bytes:
        """An object's key, empty if there is none: far cheaper than its record."""
        with self._begin() as txn:
            raw = txn.get(name, db=self._names)
        return glance(raw).key if raw is not None else b""

    def placed(self, pack: int, after: int = -1, limit: int = 1000) -> list[Placed]:
        """What lies in a pack from behind offset `after` on, in order, at most `limit` entries."""
        found: list[Placed] = []
        with self._begin() as txn, txn.cursor(db=self._places) as cursor:
            if cursor.set_range(PLACE_KEY.pack(pack, after + 1)):
                for key, value in cursor:
                    number, offset = PLACE_KEY.unpack(key)
                    if number != pack or len(found) >= limit:
                        break
                    name, generation, start, length = PLACE.unpack(value)
                    found.append(Placed(pack, offset, name, generation, start, length))
        return found

    def rows(self, side: Side, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """The rows of a side table that begin with `prefix`, behind row `after`, at most `limit`."""
        found: list[bytes] = []
        table = self._keys if side is Side.KEYS else self._tags
        with self._begin() as txn, txn.cursor(db=table) as cursor:
            if cursor.set_range(after + b"\0" if after else prefix):
                for row in cursor.iternext(keys=True, values=False):
                    if len(found) >= limit or not row.startswith(prefix):
                        break
                    found.append(row)
        return found

    def objects(self) -> int:
        with self._begin() as txn:
            return int(txn.stat(self._names)["entries"])

    def whole_journals(self) -> dict[int, int]:
        """Packs whose journals are known to be whole, and the row that each stands for."""
        with self._begin() as txn, txn.cursor(db=self._meta) as cursor:
            found = cursor.iternext(keys=True, values=True) if cursor.set_range(WHOLE) else ()
            rows = {bytes(key): int(value) for key, value in found if key.startswith(WHOLE)}
        return {int(key.removeprefix(WHOLE)): row for key, row in rows.items()}

    def meta(self, key: bytes) -> int:
        """A counter of the index, 0 if it is not there."""
        with self._begin() as txn:
            raw = txn.get(key, db=self._meta)
        return int(raw) if raw else 0


class Writing:
    """What can be done within one write transaction."""

    def __init__(self, index: Index, txn: Any) -> None:
        self._index = index
        self._txn = txn
        self.names, self.extents_table, self.places = index._names, index._extents, index._places
        self.keys, self.tags, self.meta_table = index._keys, index._tags, index._meta

    def record(self, name: bytes) -> Record | None:
        raw = self._txn.get(name, db=self.names)
        record = decode_stored(raw) if raw is not None else None
        if raw is not None and record is None:
            self._index.damaged()
        return record

    def has(self, name: bytes) -> bool:
        return self._txn.get(name, db=self.names) is not None

    def extent(self, generation: int, start: int) -> Extent | None:
        raw = self._txn.get(extent_key(generation, start), db=self.extents_table)
        return decode_extent_row(raw) if raw is not None else None

    def put_record(self, name: bytes, record: Record) -> None:
        """Write a record; the side tables get their rows."""
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
        self._txn.put(extent_key(generation, extent.start), encode_extent_row(extent), db=self.extents_table)

    def move_extent(self, name: bytes, record: Record, old: Extent, new: Extent) -> None:
        """The same bytes lie elsewhere now."""
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
        for extent in extents:
            self._txn.delete(PLACE_KEY.pack(extent.pack, extent.offset), db=self.places)
            self._txn.delete(extent_key(record.generation, extent.start), db=self.extents_table)
        self._remove_rows(name, record.key, record.tags)
        self._txn.delete(name, db=self.names)

    def _remove_rows(self, name: bytes, key: bytes, tags: Sequence[bytes]) -> None:
        self._txn.delete(key[:KEY_CUT] + b"\0" + name, db=self.keys)
        for tag in tags:
            self._txn.delete(tag_row(tag) + name, db=self.tags)

    def purge(self, names: Iterable[bytes], meant: Callable[[Glance], bool], *, soft: bool) -> tuple[int, int]:
        """Forget, or mark stale, those that are meant; (objects, bytes). Written for 100,000 of them: 10 us each."""
        objects = length = 0
        with self._txn.cursor(db=self.names) as cursor:
            for name in names:
                if not cursor.set_key(name):
                    continue
                raw = cursor.value()
                if not intact(raw):  # served to nobody
                    continue
                seen = glance(raw)
                if not meant(seen):
                    continue
                objects += 1
                whole = seen.first_length == seen.total
                length += seen.first_length if whole else sum(e.length for e in self._further(raw))
                if soft:
                    cursor.put(name, marked(raw, Flag.STALE))
                    continue
                cursor.delete()
                if whole:
                    self._txn.delete(PLACE_KEY.pack(seen.first_pack, seen.first_offset), db=self.places)
                    self._remove_rows(name, seen.key, seen.tags)
                else:
                    record = decode_record(raw)
                    self.remove_record(name, record, self._further(raw))
        return objects, length

    def _further(self, raw: bytes) -> list[Extent]:
        return self._index.extents(decode_record(raw))

    def remove_place(self, placed: Placed) -> None:
        self._txn.delete(PLACE_KEY.pack(placed.pack, placed.offset), db=self.places)

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

    def set_meta(self, key: bytes, value: int) -> None:
        self._txn.put(key, b"%d" % value, db=self.meta_table)
