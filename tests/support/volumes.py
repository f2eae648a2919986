"""A volume with self-describing bytes: put, prove, damage."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb

from edge.clock import FakeClock
from edge.demo.describing import body_slice
from edge.store.disk import Disk
from edge.store.index import Writing
from edge.store.live import LiveTable
from edge.store.names import name_of
from edge.store.record import Extent, Flag, Record, blocks, checksum, sums_match
from edge.store.settings import VolumeSettings
from edge.store.volume import Volume
from edge.words import KIB, MIB, Kind

SLICE = 64 * KIB


def settings(directory: Path, **more: object) -> VolumeSettings:
    base = VolumeSettings(16 * MIB, slice_size=SLICE, live_dir=directory, min_free_ratio=0.0, index_map_bytes=64 * MIB)
    return replace(base, **more)  # type: ignore[arg-type]


def open_volume(directory: Path, *, boot: str = "boot-1", disk: Disk | None = None, **more: object) -> Volume:
    return Volume.open(directory / "v", settings(directory, **more), clock=FakeClock(), disk=disk, boot=boot)


def name(volume: Volume, key: str) -> bytes:
    return name_of(key.encode(), volume._opened.identity.secret)  # all of `hello` costs 0.2 ms


def put(volume: Volume, key: str, version: int, length: int, *, start: int = 0, total: int | None = None) -> Record:
    """Store [start, start + length) of a version of an object; joins the generation that is there if it fits."""
    total = start + length if total is None else total
    known = volume.lookup(name(volume, key))
    etag = b'"%d"' % version
    generation = known.generation if known and known.etag == etag and known.total == total else volume.new_generation()
    record = Record(
        generation, Kind.SEGMENT, 200, Flag.STRONG, total, SLICE, 1.0, 2.0, 3.0, 0, 0, 0, 0, key.encode(),
        key.encode(), etag, b"", (), b"X: y\r\n",
    )  # fmt: skip
    extents = []
    while length:
        step = min(length, volume.extent_max)
        place = volume.reserve(step, name(volume, key), key.encode())
        data = body_slice(key, version, start, start + step)
        volume.write(place, 0, data)
        sums = tuple(checksum(data[a - start : b - start]) for a, b in blocks(start, step, SLICE))
        extents.append(Extent(start, step, place.pack, place.offset, sums))
        volume.release(place)
        start, length = start + step, length - step
    volume.commit(name(volume, key), record, extents)
    return record


def prove(volume: Volume, key: str) -> dict[int, int] | None:
    """Version by position of what is stored of an object, every byte compared; None when it is not there."""
    record = volume.lookup(name(volume, key))
    if record is None:
        return None
    version = int(record.etag.strip(b'"'))
    found = {}
    for extent in volume.extents(record):
        fd = os.open(volume.packs.pack_path(extent.pack), os.O_RDONLY)
        try:
            data = os.pread(fd, extent.length, extent.offset)
        finally:
            os.close(fd)
        assert sums_match(record, extent, data), f"{key}: checksum of {extent}"
        assert data == body_slice(key, version, extent.start, extent.end), f"{key}: wrong bytes in {extent}"
        found[extent.start] = extent.length
    return found


class FailingDisk(Disk):
    """Fails the Nth call (once, or for ever after), whatever it is; `arm` has the count begin now."""

    def __init__(self, nth: int, *, for_ever: bool = False, number: int = errno.EIO, where: str = "") -> None:
        self.left = nth
        self.for_ever = for_ever
        self.failed = 0
        self._number = number
        self._where = where  # only files whose names end so
        self._fds: dict[int, str] = {}

    def arm(self, nth: int) -> None:
        self.left, self.failed = nth, 0

    def _is_due(self, name: str) -> bool:
        if self._where and not name.endswith(self._where):
            return False
        self.left -= 1
        due = self.left == 0 or (self.for_ever and self.left < 0)
        self.failed += due
        return due

    def _count(self, name: str = "") -> None:
        if self._is_due(name):
            raise OSError(self._number, os.strerror(self._number))

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        self._count(path.name)
        fd = super().open(path, flags, mode)
        self._fds[fd] = path.name
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._count(self._fds.get(fd, ""))
        super().pwrite(fd, data, offset)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._count(self._fds.get(fd, ""))
        return super().pread(fd, length, offset)

    def fdatasync(self, fd: int) -> None:
        self._count(self._fds.get(fd, ""))
        super().fdatasync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        self._count(self._fds.get(fd, ""))
        super().ftruncate(fd, length)

    def lock(self, fd: int) -> bool:
        self._count(self._fds.get(fd, ""))
        return super().lock(fd)

    def forget(self, fd: int) -> None:
        self._count(self._fds.get(fd, ""))
        super().forget(fd)

    def read_no_further(self, fd: int) -> None:
        self._count(self._fds.get(fd, ""))
        super().read_no_further(fd)

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        self._count(self._fds.get(fd, ""))
        return super().read_into(fd, buffer, offset)

    def unlink(self, path: Path) -> None:
        self._count(path.name)
        super().unlink(path)

    def rename(self, source: Path, target: Path) -> None:
        self._count(target.name)
        super().rename(source, target)

    def mkdir(self, path: Path) -> None:
        self._count(path.name)
        super().mkdir(path)

    def space(self, path: Path) -> tuple[int, int]:
        self._count(path.name)
        return super().space(path)

    def sync_directory(self, path: Path) -> None:
        self._count()
        super().sync_directory(path)


class ShortDisk(FailingDisk):
    """Its Nth write (once, or each for ever after) writes half of what it was given, and nothing else fails.

    `number`: what is left of it ends with that error, as on a disk that becomes full in the middle; 0: it goes on.
    """

    def __init__(self, nth: int, *, for_ever: bool = False, number: int = 0, where: str = "") -> None:
        super().__init__(nth, for_ever=for_ever, number=number, where=where)

    def _count(self, name: str = "") -> None:
        pass

    def write_some(self, fd: int, data: memoryview, offset: int) -> int:
        if not self._is_due(self._fds.get(fd, "")):
            return super().write_some(fd, data, offset)
        written = super().write_some(fd, data[: max(1, len(data) // 2)], offset)
        if self._number:
            raise OSError(self._number, os.strerror(self._number))
        return written


class HangingDisk(Disk):
    """While `hangs`, calls that write to files whose names end so wait until `go_on`."""

    def __init__(self, where: str = ".pack") -> None:
        self._where = where
        self._fds: dict[int, str] = {}
        self._free = threading.Event()
        self._free.set()
        self.held = threading.Event()  # somebody waits

    def hang(self) -> None:
        self.held.clear()
        self._free.clear()

    def go_on(self) -> None:
        self._free.set()

    def _wait(self, fd: int) -> None:
        if self._fds.get(fd, "").endswith(self._where) and not self._free.is_set():
            self.held.set()
            self._free.wait()

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        fd = super().open(path, flags, mode)
        self._fds[fd] = path.name
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._wait(fd)
        super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self._wait(fd)
        super().fdatasync(fd)


class FailingIndex:
    """Has the Nth transaction of an open volume's index end with an error of LMDB, once or for ever after."""

    def __init__(self, volume: Volume, nth: int, error: lmdb.Error, *, for_ever: bool = False) -> None:
        self.failed, self._left, self._for_ever, self._error = 0, nth, for_ever, error
        self._writing = volume.index.writing
        volume.index.writing = self._failing  # type: ignore[method-assign]
        volume.index._is_far_from_full = lambda: False  # type: ignore[method-assign] # it is as full as it says

    @contextmanager
    def _failing(self) -> Iterator[Writing]:
        self._left -= 1
        fails = self._left == 0 or (self._for_ever and self._left < 0)
        self.failed += fails
        with self._writing() as txn:
            yield txn
            if fails:  # what was written in it is undone, as after a commit that failed
                raise self._error


class NoRoom:
    """The environment of a table into which nothing can be written."""

    def __init__(self, env: Any) -> None:
        self._env = env

    def begin(self, *, write: bool = False, db: Any = None) -> Any:
        if write:
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")
        return self._env.begin(db=db)

    def path(self) -> str:
        return str(self._env.path())

    def close(self) -> None:
        self._env.close()


def fill_up(table: LiveTable) -> None:
    """Shared memory has no room left for it."""
    table._env = NoRoom(table._env)
