"""The index as workers see it: single look-ups, never a change."""

import logging
import struct
import threading
from pathlib import Path
from typing import Final

import lmdb

from edge.store.bus import Bus
from edge.store.record import Extent, decode_extent_row, glance
from edge.store.residency import PAGE
from edge.store.tables import DATA, NO_INDEX, extent_key, open_environment

ERRORS: Final = (lmdb.Error, *NO_INDEX)
WALK_MOST: Final = 4096  # extents of an object: 64 GB in pieces of 16 MiB

log = logging.getLogger("edge.store")


class ReadIndex:
    """A worker's view: looks up raw records; each look-up is a transaction of its own (0.7 us).

    `unreadable`: the disk could not give one of its pages (`bus`). Nothing that was found since is to be believed,
    and what was not found may be there; opened anew, it may be good again. `damaged`: its pages make no index.
    """

    def __init__(self, path: Path, map_bytes: int, bus: Bus | None = None) -> None:
        self.unreadable = self.damaged = False
        self._path, self._bus = path, bus
        self._env = open_environment(path, map_bytes, readonly=True)
        if bus is not None:
            bus.watch(path, self._on_unreadable)
        self._begin = self._env.begin
        self._names = self._env.open_db(b"names", create=False)
        self._extents = self._env.open_db(b"extents", create=False)
        self._lock = threading.Lock()  # of the next two, and so of the environment's end
        self._walkers, self._closing = 0, False

    def _met(self, error: Exception) -> None:
        """Raises what is not of the pages."""
        if not self.unreadable:
            if not isinstance(error, NO_INDEX):
                raise error
            log.error("%s is damaged: %s: %s", self._path, type(error).__name__, error)
            self.unreadable = self.damaged = True

    def _on_unreadable(self) -> None:
        self.unreadable = True

    def raw(self, name: bytes) -> bytes | None:
        try:
            txn = self._begin(db=self._names)
            try:
                found: bytes | None = txn.get(name)
            finally:
                txn.abort()
        except ERRORS as error:
            self._met(error)
            return None
        return found if not self.unreadable else None

    def extent_before(self, generation: int, position: int) -> Extent | None:
        """The extent outside the record with the highest start at or before `position`."""
        try:
            found = self._extent_before(generation, position)
        except ERRORS as error:
            self._met(error)
            return None
        return found if not self.unreadable else None

    def _extent_before(self, generation: int, position: int) -> Extent | None:
        with self._begin(db=self._extents) as txn, txn.cursor() as cursor:
            found = cursor.set_range(extent_key(generation, position + 1))
            if not (cursor.prev() if found else cursor.last()):
                return None
            if not cursor.key().startswith(struct.pack(">Q", generation)):
                return None
            return decode_extent_row(cursor.key(), cursor.value())

    # -- pages that are not in memory --------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The file that it lies in."""
        return self._path / DATA

    def used_bytes(self) -> int:
        """How much of the file holds pages; 0 once it is closed. May be asked in a thread."""
        with self._lock:
            return 0 if self._closing else (int(self._env.info()["last_pgno"]) + 1) * PAGE

    def walk(self, name: bytes) -> None:
        """In a thread: read what looking up this name and its extents will read, so that it is in memory then.

        LMDB lets go of the interpreter while it searches.
        """
        with self._lock:
            if self._closing:
                return
            self._walkers += 1
        try:
            self._walk(name)
        except ERRORS:
            pass  # who looks it up will meet the same
        finally:
            with self._lock:
                self._walkers -= 1
                over = self._closing and not self._walkers
            if over:
                self._close()

    def _walk(self, name: bytes) -> None:
        raw = self.raw(name)
        found = glance(raw) if raw is not None else None
        if found is None or (found.first_length >= found.total):
            return
        own = struct.pack(">Q", found.generation)
        with self._begin(db=self._extents) as txn, txn.cursor() as cursor:
            rows = cursor.iternext(keys=True, values=True) if cursor.set_range(own) else ()
            for count, (key, _) in enumerate(rows):
                if count == WALK_MOST or not key.startswith(own):
                    break

    @property
    def walkers(self) -> int:
        """Threads that are looking something up."""
        return self._walkers

    def close(self) -> None:
        """At once, or when the last walker has come back: its pages must not be unmapped under it."""
        with self._lock:
            self._closing = True
            over = not self._walkers
        if over:
            self._close()

    def _close(self) -> None:
        if self._bus is not None:
            self._bus.forget(self._path)
        self._env.close()


class NoIndex:
    """In the place of tables that cannot be opened: nothing is found in them, until they are opened anew."""

    unreadable = True
    damaged = False
    data = Path()
    walkers = 0

    def used_bytes(self) -> int:
        return 0

    def walk(self, name: bytes) -> None:
        pass

    def raw(self, name: bytes) -> bytes | None:
        return None

    def extent_before(self, generation: int, position: int) -> Extent | None:
        return None

    def close(self) -> None:
        pass
