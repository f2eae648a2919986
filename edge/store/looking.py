"""The index as workers see it: single look-ups, never a change."""

import struct
from pathlib import Path

from edge.store.record import Extent, decode_extent_row
from edge.store.tables import extent_key, open_environment


class ReadIndex:
    """A worker's view: looks up raw records; each look-up is a transaction of its own (0.7 us)."""

    def __init__(self, path: Path, map_bytes: int) -> None:
        self._env = open_environment(path, map_bytes, readonly=True)
        self._begin = self._env.begin
        self._names = self._env.open_db(b"names", create=False)
        self._extents = self._env.open_db(b"extents", create=False)

    def raw(self, name: bytes) -> bytes | None:
        txn = self._begin(db=self._names)
        try:
            found: bytes | None = txn.get(name)
        finally:
            txn.abort()
        return found

    def extent_before(self, generation: int, position: int) -> Extent | None:
        """The extent outside the record with the highest start at or before `position`."""
        with self._begin(db=self._extents) as txn, txn.cursor() as cursor:
            found = cursor.set_range(extent_key(generation, position + 1))
            if not (cursor.prev() if found else cursor.last()):
                return None
            if not cursor.key().startswith(struct.pack(">Q", generation)):
                return None
            return decode_extent_row(cursor.value())

    def close(self) -> None:
        self._env.close()
