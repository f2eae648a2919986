"""The store's thread takes what belongs together at once."""

import asyncio
import threading
from pathlib import Path

import pytest

from edge.store import thread
from edge.store.thread import StoreThread
from tests.support.volumes import open_volume

FILLS = 10


async def test_fills_that_end_at_the_same_time_share_a_transaction(tmp_path: Path) -> None:
    """Each posts its commit and the release of its space behind it; all releases come after all commits."""
    volume = open_volume(tmp_path)
    done: list[str] = []

    def commit_many(batch: list[object]) -> list[bool]:
        done.append(f"{len(batch)} commits")
        return [True] * len(batch)

    volume.commit_many = commit_many  # type: ignore[method-assign, assignment]
    store = StoreThread(volume)
    store.start()
    places = [await store.call(volume.reserve, 1000) for _ in range(FILLS)]
    go_on = threading.Event()
    store.post(go_on.wait)
    kept = []
    for place in places:
        kept.append(store.call(volume.commit, b"n" * 16, None, []))  # type: ignore[arg-type]
        store.post(volume.release, place)
    go_on.set()
    assert await asyncio.gather(*kept) == [True] * FILLS
    assert done == [f"{FILLS} commits"]
    await store.call(volume.needs_room)
    assert volume.packs.active is not None
    assert volume.packs.active.open_reservations == 0
    await store.close()


async def test_origins_are_held_back_while_much_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "QUEUE_BYTES", 3000)
    store = StoreThread(open_volume(tmp_path))
    store.start()
    place = await store.call(store.volume.reserve, 10_000)
    held, go_on, written = threading.Event(), threading.Event(), list[object]()

    def hold() -> None:
        held.set()
        go_on.wait()

    store.post(hold)
    await asyncio.to_thread(held.wait)  # else it could take some of the writes together with that
    for number in range(4):
        await asyncio.wait_for(store.room(), 1)
        store.post_write(place, 1000 * number, memoryview(bytes(1000)), written.append)
    waiting = asyncio.create_task(store.room())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done(), "4,000 bytes are more than 3,000"
    assert store.waiting >= 3
    go_on.set()
    await asyncio.wait_for(waiting, 20)
    await store.call(store.volume.needs_room)
    assert written == [None] * 4
    await store.close()


async def test_times_of_the_disk_that_nobody_takes_are_the_last_thousand(tmp_path: Path) -> None:
    store = StoreThread(open_volume(tmp_path))
    place = store.volume.reserve(10)
    for _ in range(thread.TIMED_MOST + 100):
        assert store._call(store.volume.write, (place, 0, b"x")) == (None, None)
    found = store.take_timed()
    assert len(found) == thread.TIMED_MOST
    assert {operation for operation, _ in found} == {"write"}
    assert min(seconds for _, seconds in found) > 0
    assert store.take_timed() == []
    store.volume.close()
