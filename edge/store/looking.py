"""The index as workers see it: single look-ups, never a change."""

import struct
from pathlib import Path

import lmdb

from edge.store.bus import Bus
from edge.store.record import Extent, decode_extent_row
from edge.store.tables import extent_key, open_environment


class ReadIndex:
    """A worker's view: looks up raw records; each look-up is a transaction of its own (0.7 us).

    `unreadable`: the disk could not give one of its pages (`bus`). Nothing that was found since is to be believed,
    and what was not found may be there; opened anew, it may be good again.
    """

    def __init__(self, path: Path, map_bytes: int, bus: Bus | None = None) -> None:
        self.unreadable = False
        self._path, self._bus = path, bus
        self._env = open_environment(path, map_bytes, readonly=True)
        if bus is not None:
            bus.watch(path, self._on_unreadable)
        self._begin = self._env.begin
        self._names = self._env.open_db(b"names", create=False)
        self._extents = self._env.open_db(b"extents", create=False)

    def _on_unreadable(self) -> None:
        self.unreadable = True

    def raw(self, name: bytes) -> bytes | None:
        try:
            txn = self._begin(db=self._names)
            try:
                found: bytes | None = txn.get(name)
            finally:
                txn.abort()
        except lmdb.Error:
            if not self.unreadable:
                raise
            return None
        return found if not self.unreadable else None

    def extent_before(self, generation: int, position: int) -> Extent | None:
        """The extent outside the record with the highest start at or before `position`."""
        try:
            found = self._extent_before(generation, position)
        except lmdb.Error:
            if not self.unreadable:
                raise
            return None
        return found if not self.unreadable else None

    def _extent_before(self, generation: int, position: int) -> Extent | None:
        with self._begin(db=self._extents) as txn, txn.cursor() as cursor:
            found = cursor.set_range(extent_key(generation, position + 1))
            if not (cursor.prev() if found else cursor.last()):
                return None
            if not cursor.key().startswith(struct.pack(">Q", generation)):
                return None
            return decode_extent_row(cursor.value())

    def close(self) -> None:
        if self._bus is not None:
            self._bus.forget(self._path)
        self._env.close()


class NoIndex:
    """In the place of tables that cannot be opened: nothing is found in them, until they are opened anew."""

    unreadable = True

    def raw(self, name: bytes) -> bytes | None:
        return None

    def extent_before(self, generation: int, position: int) -> Extent | None:
        return None

    def close(self) -> None:
        pass
