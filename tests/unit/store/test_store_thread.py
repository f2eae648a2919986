"""The store's thread takes what belongs together at once."""

import asyncio
import threading
from pathlib import Path

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
