"""Short-lived answers in shared memory: one table, written by the keeper, read by workers (DESIGN section 9)."""

import errno
import logging
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb

from edge.errors import StoreError
from edge.store.record import Record, decode_record, encode_record, lasts_until
from edge.store.tables import MAX_READERS

VALIDATED_LATER: Final = 60  # seconds that a short-lived answer stays so that a 304 can renew it
LOCK_BYTES: Final = 128 * MAX_READERS  # twice what LMDB takes for so many readers
_LIVE: Final = struct.Struct("<I")

log = logging.getLogger("edge.store")


class LiveTable:
    """Short-lived small answers, whole, in shared memory: name -> record and body (DESIGN section 9).

    Shared memory may be full, of others' things as well (a container has 64 MiB of it). That is no error of the
    volume's disk: LMDB's errors end here.
    """

    def __init__(self, path: Path, budget_bytes: int, *, readonly: bool) -> None:
        """OSError, lmdb.Error: it cannot be made, or opened."""
        if not readonly:
            path.mkdir(parents=True, exist_ok=True)
            _take_room(path / "lock.mdb")
        self._budget = budget_bytes
        self._env = lmdb.open(
            str(path),
            map_size=budget_bytes * 2,
            max_dbs=2,
            max_readers=MAX_READERS,
            readonly=readonly,
            sync=False,
            metasync=False,
            create=not readonly,
        )
        self._table = self._env.open_db(b"live", create=not readonly)
        self._bytes = 0
        self._is_refused = False  # the last one that was to be kept

    def raw(self, name: bytes) -> bytes | None:
        txn = self._env.begin(db=self._table)
        try:
            found: bytes | None = txn.get(name)
        finally:
            txn.abort()
        return found

    def put(self, name: bytes, record: Record, body: bytes) -> bool:
        """Keep an answer; False when the table has no room (it is served, not kept, and what it replaces goes)."""
        raw = encode_record(record)
        value = _LIVE.pack(len(raw)) + raw + body
        try:
            with self._env.begin(write=True, db=self._table) as txn:
                old = txn.get(name)
                length = len(old) if old else 0
                fits = self._bytes - length + len(value) <= self._budget
                if fits:
                    txn.put(name, value)
                else:
                    txn.delete(name)
        except lmdb.Error as error:
            if not self._is_refused:
                log.warning("short-lived answers cannot be kept in %s: %s", self._env.path(), error)
            self._is_refused = True
            return False
        self._is_refused = False
        self._bytes += (len(value) if fits else 0) - length
        return fits

    def drop(self, name: bytes) -> None:
        """StoreError: there is no room to write down that it is gone."""
        try:
            with self._env.begin(write=True, db=self._table) as txn:
                old = txn.pop(name)
        except lmdb.Error as error:
            raise StoreError(f"a short-lived answer cannot be removed: {error}") from None
        self._bytes -= len(old) if old else 0

    def sweep(self, now: float, limit: int = 5000) -> int:
        """Remove what is past its freshness and every stale window, and not to be validated; returns how many."""
        dead = []
        with self._env.begin(db=self._table) as txn:
            for name, value in txn.cursor():
                if lasts_until(value, _LIVE.size, VALIDATED_LATER) < now:
                    dead.append(name)
                if len(dead) >= limit:
                    break
        with suppress(StoreError):  # the next one goes on
            for name in dead:
                self.drop(name)
        return len(dead)

    def revise(self, revised: Callable[[Record], Record | None]) -> int:
        """Ask `revised` about each record: the same one leaves it, None removes it; returns how many were not left.

        StoreError: as `drop`.
        """
        changed: list[tuple[bytes, Record | None, bytes]] = []
        with self._env.begin(db=self._table) as txn:
            for name, value in txn.cursor():
                record, body = split_live(bytes(value))
                renewed = revised(record)
                if renewed is not record:
                    changed.append((bytes(name), renewed, body))
        for name, renewed, body in changed:
            if renewed is None or not self.put(name, renewed, body):
                self.drop(name)
        return len(changed)

    def close(self) -> None:
        self._env.close()


def _take_room(lock: Path) -> None:
    """LMDB maps its table of readers, and would write into a hole: without room that is SIGBUS, not an error."""
    with suppress(FileExistsError):
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            if os.pwrite(fd, bytes(LOCK_BYTES), 0) < LOCK_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)


def split_live(value: bytes) -> tuple[Record, bytes]:
    """The record and the body of a value of the live table."""
    (length,) = _LIVE.unpack_from(value)
    end = _LIVE.size + length
    return decode_record(value[_LIVE.size : end]), value[end:]
