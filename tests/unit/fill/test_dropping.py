"""A bad extent leaves the index once, however many have found it."""

import asyncio
from pathlib import Path

from edge.fill.dropping import Drops
from edge.fill.messages import Bad
from edge.store.thread import StoreThread
from edge.words import Eviction, Reason
from tests.support.volumes import name, open_volume, prove, put


async def test_an_extent_that_several_have_found_bad_is_counted_once(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    record = put(volume, "/a", 1, 100_000)
    known = volume.lookup(name(volume, "/a"))
    assert known is not None
    assert known.first is not None
    store, counted = StoreThread(volume), list[Reason]()
    store.start()
    drops = Drops(store, lambda link, fetch: None, counted.append)
    bad = Bad(name(volume, "/a"), record.generation, known.first.pack, known.first.offset, Reason.TRUNCATED)
    for _ in range(3):
        drops.drop(bad)
    async with asyncio.timeout(20):
        while drops._dropping:
            await asyncio.sleep(0.001)
    assert counted == [Reason.TRUNCATED]
    assert prove(volume, "/a") == {}
    assert volume.evictions[Eviction.CORRUPT] == 1
    await store.close()
