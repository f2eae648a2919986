"""The disposable index: LMDB tables over packs (DESIGN D4). One writer; readers in any number of processes."""

import errno
import os
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import lmdb

from edge.errors import IndexFull, StoreError
from edge.store.disk import Disk
from edge.store.record import (
    Extent,
    Record,
    decode_extent_row,
    decode_stored,
    glance,
)
from edge.store.residency import PAGE
from edge.store.tables import (
    DATA,
    FORMAT,
    NO_INDEX,
    PLACE,
    PLACE_KEY,
    UNREAD,
    WHOLE,
    Placed,
    Side,
    Tables,
    behind,
    extent_key,
    in_order,
    last_transaction,
)
from edge.store.writing import Writing
from edge.words import MIB

Scan = Callable[[Side, bytes, bytes, int], list[bytes]]  # rows that begin with a prefix, behind a row, at most so many


P = ParamSpec("P")
T = TypeVar("T")


def _nobody_is_told() -> None:
    pass


def _nobody_minds(_why: str) -> None:
    pass


def _reading(look: Callable[Concatenate["Index", P], T]) -> Callable[Concatenate["Index", P], T]:
    """A look that may meet pages which make no index: StoreError, and it is lost; or another error of LMDB."""

    @wraps(look)
    def looking(index: "Index", /, *args: P.args, **more: P.kwargs) -> T:
        try:
            return look(index, *args, **more)
        except (*NO_INDEX, ValueError) as error:  # the latter: a number that is none
            raise index.lose(error) from error
        except lmdb.Error as error:
            raise StoreError(f"index: {error}") from error

    return looking


FULL: Final = MIB  # less free than that: no more than LMDB writes at once


def _reason(error: lmdb.Error, path: Path) -> Exception:
    """ENOSPC, which is no error of the disk, if its file system is full: LMDB tells of a write that is cut short as of
    an I/O error."""
    full = isinstance(error, lmdb.DiskError)
    with suppress(OSError):
        full = full or (str(error).endswith(os.strerror(errno.EIO)) and Disk().space(path)[0] < FULL)
    if not full:
        return error
    reason = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    reason.__cause__ = error
    return reason


def _nobody_cares(_name: bytes) -> None:
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
        self.lost: Callable[[str], None] = _nobody_minds  # is told why this index is of no more use
        self.closing: Callable[[], None] = _nobody_is_told  # called before its pages are no longer mapped
        self.touched: set[bytes] | None = None  # names that were written, for who wants to know
        self._tables = Tables.open(path, map_bytes, readonly=readonly, mapped=mapped)
        self.map_bytes = int(self._tables.env.info()["map_size"])  # how large it can become
        if not readonly and not self.meta(b"format") and self.objects() == 0:
            with self._tables.env.begin(write=True) as txn:
                txn.put(b"format", b"%d" % FORMAT, db=self._tables.meta)

    def close(self) -> None:
        self.closing()
        self._tables.env.close()

    def become(self, other: "Index") -> None:
        """Be that other one from now on. A transaction of another thread that has begun ends as it has begun."""
        self.closing()
        self.path, self._tables, self.closing = other.path, other._tables, other.closing
        self.map_bytes = other.map_bytes

    @property
    def found_transaction(self) -> int:
        """The number of the last transaction before this one was opened."""
        return self._tables.found_transaction

    def transaction(self) -> int:
        """The number of the last transaction."""
        return last_transaction(self._tables.env)

    def sync(self, disk: Disk) -> None:
        """Bring it to the disk. StoreError, OSError: some of it is not there."""
        try:
            self._tables.env.sync(True)
        except lmdb.Error as error:
            raise StoreError(f"index: {error}") from _reason(error, self.path)
        for directory in (self.path, self.path.parent):
            disk.sync_directory(directory)

    def lose(self, error: Exception) -> StoreError:
        """Nothing that it says is to be believed any more, and only a new process can have another one."""
        self.lost(f"the index is damaged ({type(error).__name__}: {error})")
        return StoreError(f"index: {error}")

    def reader_check(self) -> int:
        """Free the slots of readers that died."""
        return int(self._tables.env.reader_check())

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """One transaction; StoreError (IndexFull when its map is full): then nothing of it has happened."""
        touch = self.touched.add if self.touched is not None else _nobody_cares
        tables = self._tables
        try:
            with self._begin(tables, write=True) as txn:
                yield Writing(tables, txn, self.extents, touch, self.damaged)
            self.committed()
        except NO_INDEX as error:
            raise self.lose(error) from error
        except lmdb.Error as error:
            self._begin(tables).abort()  # a commit that could not write its page of meta data: that shows here
            if isinstance(error, lmdb.MapFullError):
                if self._is_far_from_full():
                    raise self.lose(error) from error
                raise IndexFull("the index is full") from error
            raise StoreError(f"index: {error}") from _reason(error, self.path)

    def _is_far_from_full(self) -> bool:
        """Then pages that name pages beyond the map had it say that it is, and no eviction would help."""
        try:
            return 2 * (self.path / DATA).stat().st_size < self.map_bytes
        except OSError:
            return False

    def _begin(self, tables: Tables, *, write: bool = False) -> Any:
        try:
            return tables.env.begin(write=write)
        except NO_INDEX as error:
            raise self.lose(error) from error
        except lmdb.Error as error:  # its table of readers is full, perhaps
            raise StoreError(f"index: {error}") from error

    # -- reading ---------------------------------------------------------------------------------

    @_reading
    def record(self, name: bytes) -> Record | None:
        """A damaged one is as good as none: the object is fetched again and takes its place."""
        tables = self._tables
        with self._begin(tables) as txn:
            raw = txn.get(name, db=tables.names)
        return decode_stored(raw) if raw is not None else None

    @_reading
    def extents(self, record: Record) -> list[Extent]:
        """All extents of a generation, in the object's order, the inline one first."""
        found = [record.first] if record.first is not None else []
        prefix = struct.pack(">Q", record.generation)
        tables = self._tables
        with self._begin(tables) as txn, txn.cursor(db=tables.extents) as cursor:
            if cursor.set_range(prefix):
                for key, value in in_order(cursor, prefix):
                    if not key.startswith(prefix):
                        break
                    extent = decode_extent_row(key, value)
                    if extent is not None:
                        found.append(extent)
        return sorted(found, key=lambda extent: extent.start)

    @_reading
    def extent(self, record: Record, start: int) -> Extent | None:
        """The one that begins there: a film has thousands."""
        if record.first is not None and record.first.start == start:
            return record.first
        key, tables = extent_key(record.generation, start), self._tables
        with self._begin(tables) as txn:
            raw = txn.get(key, db=tables.extents)
        return decode_extent_row(key, raw) if raw is not None else None

    @_reading
    def is_damaged(self, placed: Placed) -> bool:
        """Is there a row for what lies at a place that is not what was written?"""
        tables = self._tables
        with self._begin(tables) as txn:
            raw = txn.get(placed.name, db=tables.names)
            key = extent_key(placed.generation, placed.start)
            row = txn.get(key, db=tables.extents)
        if raw is None:
            return False
        record = decode_stored(raw)
        return record is None or (
            record.generation == placed.generation and row is not None and decode_extent_row(key, row) is None
        )

    @_reading
    def is_whole(self, pack: int) -> bool:
        """Is its journal known to be?"""
        tables = self._tables
        with self._begin(tables) as txn:
            return txn.get(WHOLE + b"%d" % pack, db=tables.meta) is not None

    @_reading
    def key(self, name: bytes) -> bytes:
        """An object's key, empty if there is none: far cheaper than its record."""
        tables = self._tables
        with self._begin(tables) as txn:
            raw = txn.get(name, db=tables.names)
        seen = glance(raw) if raw is not None else None
        return seen.key if seen is not None else b""

    @_reading
    def placed(self, pack: int, after: int = -1, limit: int = 1000) -> list[Placed]:
        """What lies in a pack from behind offset `after` on, in order, at most `limit` entries."""
        found: list[Placed] = []
        tables = self._tables
        with self._begin(tables) as txn, txn.cursor(db=tables.places) as cursor:
            if cursor.set_range(PLACE_KEY.pack(pack, after + 1)):
                for key, value in in_order(cursor, PLACE_KEY.pack(pack, after) if after >= 0 else b""):
                    number, offset = PLACE_KEY.unpack(key)
                    if number != pack or len(found) >= limit:
                        break
                    name, generation, start, length = PLACE.unpack(value)
                    found.append(Placed(pack, offset, name, generation, start, length))
        return found

    @_reading
    def packs(self) -> list[int]:
        """Those in which something lies by what it says, in order; a look for each."""
        found: list[int] = []
        tables, key = self._tables, b""
        with self._begin(tables) as txn, txn.cursor(db=tables.places) as cursor:
            while cursor.set_range(PLACE_KEY.pack(found[-1] + 1 if found else 0, 0)):
                key = behind(key, cursor.key())
                found.append(PLACE_KEY.unpack(key)[0])
        return found

    def left_in(self, pack: int, forgotten: Collection[Placed], limit: int = 1000) -> list[Placed]:
        """What lies in a pack after these were forgotten. They are still there: StoreError, and the index is lost.

        Pages in a wrong place show rows that are not found by their keys: who went on until there are none would do
        so for ever.
        """
        left = self.placed(pack, limit=limit)
        if not set(left).isdisjoint(forgotten):
            raise self.lose(lmdb.CorruptedError("rows that were deleted are still there"))
        return left

    @contextmanager
    def scanning(self) -> Iterator["Scan"]:
        """For many looks at the side tables: a transaction for each costs as much as what is looked at."""
        tables = self._tables
        try:
            with self._scan(tables) as rows:
                yield rows
        except NO_INDEX as error:
            raise self.lose(error) from error
        except lmdb.Error as error:
            raise StoreError(f"index: {error}") from error

    @contextmanager
    def _scan(self, tables: Tables) -> Iterator["Scan"]:
        with self._begin(tables) as txn, txn.cursor(db=tables.keys) as keys, txn.cursor(db=tables.tags) as tags:

            def rows(side: Side, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
                cursor = keys if side is Side.KEYS else tags
                found: list[bytes] = []
                if cursor.set_range(after + b"\0" if after else prefix):
                    for row in cursor.iternext(keys=True, values=False):
                        if len(found) >= limit or not row.startswith(prefix):
                            break
                        found.append(row)
                if found:
                    behind(after, found[-1])  # from there on it is asked for more
                return found

            yield rows

    def used_bytes(self) -> int:
        """What its file takes: pages once used stay in it, and are used again."""
        return (int(self._tables.env.info()["last_pgno"]) + 1) * PAGE

    @_reading
    def spare_bytes(self) -> int:
        """Of its map, what no table uses."""
        tables = self._tables
        with self._begin(tables) as txn:
            return self.map_bytes - tables.pages(txn) * PAGE

    @_reading
    def objects(self) -> int:
        tables = self._tables
        with self._begin(tables) as txn:
            return int(txn.stat(tables.names)["entries"])

    @_reading
    def counters(self) -> dict[bytes, int]:
        """All of table `meta`."""
        tables = self._tables
        with self._begin(tables) as txn, txn.cursor(db=tables.meta) as cursor:
            return {bytes(key): int(value) for key, value in cursor}

    def whole_journals(self) -> dict[int, int]:
        """Packs whose journals are known to be whole, and the row that each stands for."""
        return self._of_packs(WHOLE)

    def unread_journals(self) -> set[int]:
        """Packs whose journals the disk has not given when this index was made."""
        return set(self._of_packs(UNREAD))

    @_reading
    def _of_packs(self, prefix: bytes) -> dict[int, int]:
        tables = self._tables
        with self._begin(tables) as txn, txn.cursor(db=tables.meta) as cursor:
            found = cursor.iternext(keys=True, values=True) if cursor.set_range(prefix) else ()
            values = {bytes(key): int(value) for key, value in found if key.startswith(prefix)}
        return {int(key.removeprefix(prefix)): value for key, value in values.items()}

    @_reading
    def meta(self, key: bytes) -> int:
        """A counter of the index, 0 if it is not there."""
        tables = self._tables
        with self._begin(tables) as txn:
            raw = txn.get(key, db=tables.meta)
        return int(raw) if raw else 0
