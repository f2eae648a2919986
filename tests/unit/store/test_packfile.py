"""Packs that are open in a worker: the last to let go of one that was deleted has the file system free its blocks."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.demo.describing import body_slice
from edge.store import packfile
from edge.store.live import LiveTable
from edge.store.packfile import CorruptExtent, PackEndsEarly
from edge.store.reader import Reader
from edge.store.seen import WARM_SECONDS
from edge.words import KIB
from tests.support.volumes import SLICE, name, open_volume, put


@pytest.mark.parametrize("mapped", [False, True])
async def test_a_deleted_pack_is_closed_in_a_thread_and_not_before_its_last_user_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB)
    volume.close()
    LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
    reader = Reader(volume.hello, FakeClock())
    record = reader.lookup(name(volume, "/a"))
    assert record is not None
    assert record.first is not None
    file = reader.pack_file(record.first.pack)
    assert file is not None
    if mapped:
        assert file.view(0, 10)
    fd, closed = file.fileno(), threading.Event()
    threads: list[threading.Thread] = []
    close = os.close

    def noted(number: int) -> None:
        close(number)
        if number == fd:
            threads.append(threading.current_thread())
            closed.set()

    monkeypatch.setattr(packfile.os, "close", noted)
    for path in (tmp_path / "v" / "packs").glob("*.pack"):
        path.unlink()
    reader.let_go_of_gone_packs()
    assert not closed.is_set(), "somebody still sends from it"
    assert os.fstat(fd).st_nlink == 0
    del file
    reader.let_go_of_gone_packs()
    assert closed.wait(10)
    assert threads[0] is not threading.main_thread()
    monkeypatch.undo()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    reader.close()


async def test_a_pack_that_a_garbage_collection_lets_go_of_waits_for_no_lock(tmp_path: Path) -> None:
    """One in the middle of handing a read to the pool had the loop wait for itself, for ever."""
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB)
    volume.close()
    LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
    reader = Reader(volume.hello, FakeClock())
    files = [reader.pack_file(1)]
    reader._packs.clear()

    def collect() -> None:
        with reader._pool._shutdown_lock:  # as `submit` has it
            files.clear()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    reader.close()


def test_reading_a_pack_leaves_no_time_of_access(tmp_path: Path) -> None:
    path = tmp_path / "1.pack"
    path.write_bytes(bytes(100))
    os.utime(path, (1, 2))  # as of a pack that has been written since it was last read
    file = packfile.PackFile(path, 1)
    assert fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_NOATIME
    assert os.pread(file.fileno(), 10, 0) == bytes(10)
    assert bytes(file.view(0, 10)) == bytes(10)
    assert path.stat().st_atime == 1


def test_a_pack_of_somebody_else_is_opened_as_well_as_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.pack"
    path.write_bytes(bytes(100))
    plain = os.open

    def not_ours(path: Path, flags: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError
        return plain(path, flags)

    monkeypatch.setattr(packfile.os, "open", not_ours)
    assert os.pread(packfile.PackFile(path, 1).fileno(), 10, 0) == bytes(10)


@pytest.mark.parametrize("cut", [0, 1, 3000, 4096, 70_000], ids="{} bytes of it are left".format)
@pytest.mark.parametrize("size", [20_000, 1_500_000])
async def test_of_a_pack_that_is_cut_off_while_it_is_in_memory_nothing_is_made_of_zeros(
    tmp_path: Path, cut: int, size: int
) -> None:
    """The rest of a page in which the file ends reads as zeros, and counts as in memory."""
    volume = open_volume(tmp_path)
    put(volume, "/before", 1, 5000)
    put(volume, "/a", 1, size)
    volume.close()
    LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
    clock = FakeClock()
    reader = Reader(volume.hello, clock)
    record = reader.lookup(name(volume, "/a"))
    assert record is not None
    extent = record.first
    assert extent is not None
    at = min(cut, size - 1) - min(cut, size - 1) % 4096
    length = min(4096, size - at)
    assert reader.small(record, extent, at, length) is not None
    assert reader.ready(record, extent, at, length) is not None
    os.truncate(tmp_path / "v" / "packs" / f"{extent.pack:010d}.pack", extent.offset + min(cut, size - 1))
    clock.advance(WARM_SECONDS)
    assert reader.small(record, extent, at, length) is None
    assert reader.ready(record, extent, at, length) is None
    with pytest.raises(PackEndsEarly):
        await reader.read_verified(record, extent, at, length)
    with pytest.raises(PackEndsEarly):  # as a fill announces it
        await reader.read_announced(extent.pack, extent.offset + at, length)
    before = reader.lookup(name(volume, "/before"))
    assert before is not None
    assert before.first is not None
    assert reader.small(before, before.first, 0, 5000) is not None, "what lies before is good"
    reader.close()


@pytest.mark.parametrize("bad", range(5))
async def test_a_flipped_bit_is_found_in_whichever_block_of_a_stretch_it_lies_and_in_no_other(
    tmp_path: Path, bad: int
) -> None:
    first, blocks, rest = 2, 5, 1000  # the extent begins in the object's third block; its last one is short
    start, length = first * SLICE, (blocks - 1) * SLICE + rest
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, length, start=start, total=10 * SLICE)
    record = volume.lookup(name(volume, "/a"))
    assert record is not None
    extent = record.first
    assert extent is not None
    hello, path = volume.hello, volume.packs.pack_path(extent.pack)
    volume.close()
    LiveTable(Path(hello.live_path), hello.live_bytes, readonly=False).close()
    with path.open("r+b") as file:
        at = extent.offset + bad * SLICE + 999
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes((byte ^ 1,)))
    reader = Reader(hello, FakeClock())
    for low in range(blocks):
        for high in range(low, blocks):
            begin, end = start + low * SLICE + 10, min(start + high * SLICE + 20, extent.end)
            if low <= bad <= high:
                with pytest.raises(CorruptExtent, match=f"block {bad} "):
                    await reader.read_verified(record, extent, begin, end - begin)
            else:
                data = await reader.read_verified(record, extent, begin, end - begin)
                assert data == body_slice("/a", 1, begin, end)
    reader.close()


async def test_when_the_disk_fails_nothing_is_believed_to_be_in_memory_without_being_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 100_000)
    record = volume.lookup(name(volume, "/a"))
    assert record is not None
    extent = record.first
    assert extent is not None
    hello = volume.hello
    volume.close()
    LiveTable(Path(hello.live_path), hello.live_bytes, readonly=False).close()
    reader = Reader(hello, FakeClock())
    assert reader.ready(record, extent, 0, 100_000) is not None
    assert repr(reader.seen) == "<Seen blocks=1>"

    def fails(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("edge.store.reader.read_blocks", fails)
    with pytest.raises(OSError, match="Input"):
        await reader.read_verified(record, extent, 0, 1000)
    assert repr(reader.seen) == "<Seen blocks=0>"
    reader.close()
