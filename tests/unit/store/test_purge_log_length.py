"""The log of purges stays short for as long as a keeper lives, and is the file that it was opened as, or none."""

import errno
import os
from pathlib import Path

import pytest

from edge.policy.purges import Purge, Scope
from edge.store.purgelog import REPEATED_LEAST
from edge.store.volume import Volume
from tests.support.volumes import FailingDisk, name, open_volume, prove, put
from tests.unit.store.test_disk_bound import Quick
from tests.unit.store.test_rebuild import lose_index, rebuilt

LIST = Purge(Scope.KEY, b"/live/" + b"l" * 100)


def length(directory: Path) -> int:
    return (directory / "v" / "purges").stat().st_size


def stored_after_loss(directory: Path, *keys: str) -> list[str]:
    """What a rebuild by journals and log finds."""
    lose_index(directory)
    volume = rebuilt(directory)
    found = [key for key in keys if volume.lookup(name(volume, key)) is not None]
    volume.close()
    return found


def test_what_is_purged_again_and_again_does_not_make_the_log_longer(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, disk=Quick())
    for key in ("/a", "/b", LIST.text.decode()):
        put(volume, key, 1, 1000)
    volume.flush_journals()
    volume.purges.do_now(Purge(Scope.KEY, b"/a"))
    for _ in range(2000):
        volume.purges.do_now(LIST)
        assert length(tmp_path) <= REPEATED_LEAST + 500
    volume.close()
    assert stored_after_loss(tmp_path, "/a", "/b", LIST.text.decode()) == ["/b"]


def test_long_urls_are_merged_before_they_take_more_than_the_log_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.purgelog.BYTES_MOST", 2 * REPEATED_LEAST)
    volume = open_volume(tmp_path, disk=Quick())
    put(volume, "/0" + "u" * 3000, 1, 1000)
    volume.flush_journals()
    for number in range(300):
        volume.purges.do_now(Purge(Scope.KEY, b"/%d" % number + b"u" * 3000))
        assert length(tmp_path) <= 5 * REPEATED_LEAST
    assert len(volume.purges.log.entries) < 100
    put(volume, "/new", 1, 1000)
    volume.close()
    assert stored_after_loss(tmp_path, "/0" + "u" * 3000, "/new") == ["/new"]


def test_a_log_that_cannot_be_opened_again_has_nothing_written_into_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.purgelog.ENTRIES_MOST", 4)
    disk = FailingDisk(1_000_000, number=errno.EMFILE, where="purges", for_ever=True)
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    volume.flush_journals()
    for number in range(4):
        volume.purges.do_now(Purge(Scope.KEY, b"/%d" % number))
    disk.arm(2)  # the file has its name, and is not opened
    with pytest.raises(OSError, match="Too many"):
        volume.purges.do_now(Purge(Scope.KEY, b"/a"))
    assert disk.failed == 2
    disk.arm(1_000_000)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # it gets the lowest number that is free
    try:
        volume.purges.do_now(Purge(Scope.KEY, b"/a"))
        assert os.fstat(other).st_size == 0
    finally:
        volume.close(clean=False)
        os.close(other)
    assert stored_after_loss(tmp_path, "/a") == []
    assert (tmp_path / "other").stat().st_size == 0


def test_a_log_that_cannot_be_written_anew_is_gone_on_with(tmp_path: Path) -> None:
    disk = FailingDisk(1_000_000, number=errno.ENOSPC, where="purges.new", for_ever=True)
    volume: Volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    volume.flush_journals()
    disk.arm(1)
    for _ in range(2 * REPEATED_LEAST // len(LIST.text)):
        volume.purges.do_now(LIST)
    assert 1 <= disk.failed < 5
    volume.purges.do_now(Purge(Scope.KEY, b"/a"))
    volume.close(clean=False)
    assert stored_after_loss(tmp_path, "/a") == []


def test_a_disk_on_which_a_long_log_cannot_be_written_anew_has_no_more_purged_than_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.purgelog.BYTES_MOST", REPEATED_LEAST)
    disk = FailingDisk(1_000_000, number=errno.ENOSPC, where="purges.new", for_ever=True)
    volume = open_volume(tmp_path, disk=disk)
    log, number = volume.purges.log, 0
    while log._needed < REPEATED_LEAST:
        volume.purges.do_now(Purge(Scope.KEY, b"/%d" % number + b"u" * 3000))
        number += 1
    put(volume, "/a", 1, 1000)
    put(volume, "/b", 1, 1000)
    volume.flush_journals()
    disk.arm(1)
    for other in range(20):
        volume.purges.do_now(Purge(Scope.KEY, b"/other/%d" % other))
    assert disk.failed
    volume.purges.do_now(Purge(Scope.KEY, b"/b"))
    assert len(log.entries) > 20
    record = volume.lookup(name(volume, "/a"))
    assert record is not None
    assert log.revised(record) is record
    volume.close(clean=False)
    assert stored_after_loss(tmp_path, "/a", "/b") == ["/a"]


def test_a_purge_that_is_noted_is_done_though_the_log_was_written_anew_for_it(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, disk=Quick())
    put(volume, "/a", 1, 1000)
    while length(tmp_path) < REPEATED_LEAST:
        volume.purges.do_now(LIST)
    volume.purges.do_now(Purge(Scope.KEY, b"/a"))
    assert length(tmp_path) < REPEATED_LEAST
    assert prove(volume, "/a") is None
    volume.close()


class NamesNotSynced(Quick):
    """While `fails`, names in directories cannot be made durable."""

    fails = False

    def sync_directory(self, path: Path) -> None:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_directory(path)


def test_no_purge_is_noted_in_a_log_that_a_power_loss_might_take_back(tmp_path: Path) -> None:
    disk = NamesNotSynced()
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    while length(tmp_path) < REPEATED_LEAST:
        volume.purges.do_now(LIST)
    disk.fails = True
    for _ in range(2):  # for the first one it has been written anew
        with pytest.raises(OSError, match="Input/output"):
            volume.purges.do_now(Purge(Scope.KEY, b"/a"))
        assert length(tmp_path) < REPEATED_LEAST
    disk.fails = False
    volume.purges.do_now(Purge(Scope.KEY, b"/a"))
    assert prove(volume, "/a") is None
    volume.close()
