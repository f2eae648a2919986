"""An index that is not in memory: who would wait for the disk is told, a thread looks it up, nothing is unmapped."""

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.store.live import LiveTable
from edge.store.looking import ReadIndex
from edge.store.presence import LOOK_SECONDS, THREADS, USED_SECONDS
from edge.store.reader import Reader
from edge.store.residency import Residency
from edge.store.volume import Volume
from edge.words import KIB
from tests.support.volumes import name, open_volume, put

pytestmark = pytest.mark.skipif(not Residency().works, reason="this kernel does not tell what is in memory")
OBJECTS = 300


def stored(tmp_path: Path) -> Volume:
    """A volume of some objects that nobody keeps any more; one has several extents."""
    volume = open_volume(tmp_path)
    for number in range(OBJECTS):
        put(volume, f"/{number}", 1, 4 * KIB)
    put(volume, "/long", 1, 64 * KIB, total=200_000)
    put(volume, "/long", 1, 64 * KIB, start=128 * KIB, total=200_000)
    volume.close()
    LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
    return volume


def forget(volume: Volume) -> None:
    """None of the index is in memory any more."""
    fd = os.open(Path(volume.hello.index_path) / "data.mdb", os.O_RDONLY)
    try:
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def read_all(volume: Volume) -> None:
    (Path(volume.hello.index_path) / "data.mdb").read_bytes()


async def test_a_name_is_brought_once_and_again_when_it_has_not_been_used_for_a_while(tmp_path: Path) -> None:
    volume, clock = stored(tmp_path), FakeClock()
    forget(volume)
    reader = Reader(volume.hello, clock)
    asked = name(volume, "/7")
    assert reader.would_wait(asked)
    await reader.bring(asked)
    assert not reader.would_wait(asked)
    assert reader.would_wait(name(volume, "/8")), "another name is another page, for all we know"
    for _ in range(3):  # in use it stays
        clock.advance(USED_SECONDS * 0.9)
        assert not reader.would_wait(asked)
    clock.advance(USED_SECONDS)
    assert reader.would_wait(asked)
    await reader.bring(asked)
    await reader.bring(asked)
    assert reader.take_cold_lookups() == 2
    reader.close()


async def test_an_index_that_is_in_memory_asks_nothing_of_anybody(tmp_path: Path) -> None:
    volume, clock = stored(tmp_path), FakeClock()
    read_all(volume)
    reader = Reader(volume.hello, clock)
    assert not reader.would_wait(name(volume, "/7"))
    await reader.bring(name(volume, "/7"))
    assert reader.take_cold_lookups() == 0
    reader.close()


async def test_it_is_found_out_when_the_index_comes_into_memory(tmp_path: Path) -> None:
    volume, clock = stored(tmp_path), FakeClock()
    forget(volume)
    reader = Reader(volume.hello, clock)
    assert reader.would_wait(name(volume, "/7"))
    assert not reader.presence.due
    read_all(volume)
    clock.advance(LOOK_SECONDS)
    assert reader.presence.due
    await reader.presence.look()
    assert not reader.presence.due
    assert not reader.would_wait(name(volume, "/7"))
    reader.close()


async def test_all_pages_of_a_name_and_its_extents_are_there_afterwards(tmp_path: Path) -> None:
    """Asked of the kernel: what looking up and reading need does not read a page more."""
    volume = stored(tmp_path)
    forget(volume)
    reader = Reader(volume.hello, FakeClock())
    data = os.open(Path(volume.hello.index_path) / "data.mdb", os.O_RDONLY)
    whole = os.fstat(data).st_size

    def pages() -> int:
        return Residency().cached(data, 0, whole)

    before = pages()
    await reader.bring(name(volume, "/long"))
    brought = pages()
    record = reader.lookup(name(volume, "/long"))
    assert record is not None
    assert reader.extent_at(record, 0) is not None
    assert reader.extent_at(record, 130 * KIB) is not None
    assert before < brought == pages()
    await reader.bring(b"a name of nobody")  # one that is not there has its page as well
    brought = pages()
    assert reader.lookup(b"a name of nobody") is None
    assert pages() == brought
    os.close(data)
    reader.close()


async def test_an_index_is_closed_when_the_last_thread_has_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = stored(tmp_path)
    forget(volume)
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    walk, close = ReadIndex._walk, ReadIndex._close

    def slowly(self: ReadIndex, name: bytes) -> None:
        begun.set()
        go_on.wait(10)
        assert not closed.is_set(), "its pages are in use"
        walk(self, name)

    def closing(self: ReadIndex) -> None:
        close(self)
        closed.set()

    monkeypatch.setattr(ReadIndex, "_walk", slowly)
    monkeypatch.setattr(ReadIndex, "_close", closing)
    reader = Reader(volume.hello, FakeClock())
    waiting = asyncio.create_task(reader.bring(name(volume, "/7")))
    await asyncio.to_thread(begun.wait, 10)
    reader.close()
    assert not closed.is_set()
    go_on.set()
    await waiting
    assert await asyncio.to_thread(closed.wait, 10)


async def test_who_waits_for_a_thread_is_not_cancelled_when_another_index_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = stored(tmp_path)
    forget(volume)
    begun, go_on, walked = threading.Semaphore(0), threading.Event(), list[bytes]()

    def slowly(_self: ReadIndex, name: bytes) -> None:
        walked.append(name)
        begun.release()
        go_on.wait(10)

    monkeypatch.setattr(ReadIndex, "_walk", slowly)
    clock = FakeClock()
    reader = Reader(volume.hello, clock)
    presence = reader.presence
    waiting = [asyncio.create_task(reader.bring(name(volume, f"/{number}"))) for number in range(THREADS + 3)]
    for _ in range(THREADS):
        await asyncio.to_thread(begun.acquire, True, 10)
    clock.advance(LOOK_SECONDS)
    looking = asyncio.create_task(presence.look())
    await asyncio.sleep(0)
    reader.reopen(replace(volume.hello, live_path=str(tmp_path / "gone")))  # its keeper has been replaced
    assert reader.presence is not presence
    go_on.set()
    assert await asyncio.gather(*waiting, looking) == [None] * (len(waiting) + 1)
    assert len(walked) == THREADS, "the others have nothing to walk through any more"
    reader.close()
