"""Calls of the system that do less than they were asked to, as they may at any time, do all of it in the end."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.store.disk import Disk
from tests.support.volumes import open_volume, prove, put

DATA = os.urandom(5000)
SECTOR = 512


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("most", [1, 700, 4999])
def test_a_short_write_is_gone_on_with_behind_what_was_written(
    fd: int, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    plain = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: plain(fd, data[:most], offset))
    Disk().pwrite(fd, DATA, 300)
    assert os.pread(fd, 10_000, 0) == bytes(300) + DATA


def test_a_write_that_writes_nothing_is_an_error_and_not_tried_for_ever(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([10])
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: next(given, 0))
    with pytest.raises(OSError, match="wrote nothing"):
        Disk().pwrite(fd, DATA, 0)


@pytest.mark.parametrize("most", [1, 700, 4999])
def test_a_short_read_is_gone_on_with_until_the_end_of_the_file(
    fd: int, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    os.pwrite(fd, DATA, 0)
    plain = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: plain(fd, min(count, most), offset))
    assert Disk().pread(fd, 4000, 100) == DATA[100:4100]
    assert Disk().pread_pack(fd, 4000, 100) == DATA[100:4100]
    assert Disk().pread(fd, 9000, 100) == DATA[100:]
    assert Disk().pread(fd, 10, len(DATA)) == b""


@pytest.mark.parametrize("most", [SECTOR, 3 * SECTOR, 1 << 20])
def test_a_short_read_past_memory_is_gone_on_with_but_not_behind_the_end_of_the_file(
    fd: int, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """O_DIRECT reads from borders of sectors only."""
    os.pwrite(fd, DATA, 0)
    plain = os.preadv

    def short(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset % SECTOR:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return plain(fd, [buffers[0][:most]], offset)

    monkeypatch.setattr(os, "preadv", short)
    for length in (4096, 16 * SECTOR):
        buffer = memoryview(bytearray(length))
        got = Disk().read_into(fd, buffer, SECTOR)
        assert got == min(length, len(DATA) - SECTOR)
        assert buffer[:got] == DATA[SECTOR : SECTOR + got]


def test_what_the_disk_says_to_a_close_has_no_descriptor_closed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack's two files stayed open in its keeper's eyes, and were closed again when others had their numbers."""
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.packs.seal_all()
    plain, closed = os.close, list[int]()

    def close(fd: int) -> None:
        plain(fd)
        closed.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (pack,) = volume.packs.all.values()
    files = [pack.fd, pack.journal_fd]
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        volume.flush_journals()
    assert closed == files
    assert (pack.fd, pack.journal_fd) == (-1, -1)
    volume.close()
    volume = open_volume(tmp_path)
    assert prove(volume, "/a") == {0: 1000}
    volume.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        Disk().close(1 << 20)
