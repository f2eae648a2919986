"""An index on a file system that is full to the last block: what it cannot take is not kept, and the disk is as good
as before."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from edge.errors import StoreError
from edge.store.health import is_of_the_disk
from edge.store.index import Index
from edge.words import MIB
from tests.fault.test_bad_disks import fill_up
from tests.support.crashdisk import may_mount, small_file_system


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    if not may_mount():
        pytest.skip("needs root to mount a file system")
    with small_file_system(tmp_path / "small", "8m") as where:
        yield where


def write(index: Index, number: int) -> None:
    with index.writing() as txn:
        txn.set_meta(b"%d" % number, 1)


def fails() -> None:
    raise lmdb.Error(f"mdb_txn_commit: {os.strerror(errno.EIO)}")


def write_on(index: Index) -> None:
    for number in range(5000):
        write(index, number)


def test_a_write_that_a_full_file_system_cuts_short_is_no_error_of_the_disk(small: Path) -> None:
    index = Index(small / "index-1", 64 * MIB)
    ballast = fill_up(small)
    with pytest.raises(StoreError) as told:
        write_on(index)
    assert not is_of_the_disk(told.value)
    ballast.unlink()
    write(index, 9999)
    index.close()


def test_nor_is_one_that_is_told_as_an_error_of_input_and_output(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(small / "index-1", 64 * MIB)
    fill_up(small)
    monkeypatch.setattr(index, "committed", fails)
    with pytest.raises(StoreError) as told:
        write(index, 1)
    assert not is_of_the_disk(told.value)
    index.close()


def test_the_same_error_where_there_is_room_is_one_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(tmp_path / "index-1", 64 * MIB)
    monkeypatch.setattr(index, "committed", fails)
    with pytest.raises(StoreError) as told:
        write(index, 1)
    assert is_of_the_disk(told.value)
    index.close()
