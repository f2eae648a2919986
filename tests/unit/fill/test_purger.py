"""Purges that are under way at the same time."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.errors import StoreError
from edge.fill.desk import Desk
from edge.fill.messages import Forget, Forgotten, Message
from edge.fill.purging import Purger
from edge.policy.purges import Purge, Scope
from edge.store.health import Trust
from edge.store.thread import StoreThread
from tests.support.volumes import name, open_volume, put

A = Purge(Scope.KEY, b"/a")


async def test_of_two_purges_that_say_the_same_each_ends_by_itself(tmp_path: Path) -> None:
    """The second fails at a moment at which the first has not begun, and is done."""
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    store = StoreThread(volume)
    purger = Purger(store, lambda: (), lambda _: None, lambda: None)
    volume.health.trust = Trust.READ_ONLY
    first, second = (asyncio.ensure_future(purger.purge([A], owed=owed)) for owed in (True, False))
    await asyncio.sleep(0)  # the first waits for what it names to be hidden, the second has found the disk bad
    volume.health.trust = Trust.GOOD
    store.start()
    with pytest.raises(StoreError):
        await second
    assert (await first).objects == 1
    assert purger._under_way == []
    assert volume.lookup(name(volume, "/a")) is None
    await store.close()


async def test_who_asked_for_a_purge_that_ends_in_a_mistake_of_ours_hears_that_it_is_not_done() -> None:
    """Else what is owed would be paid by nobody any more: one who waits for an answer asks no second time."""
    sent: list[Message] = []

    async def fails(*_: object, **__: object) -> None:
        raise ValueError("nobody has thought of that")

    desk: Any = SimpleNamespace(_purger=SimpleNamespace(purge=fails))
    link: Any = SimpleNamespace(channel=SimpleNamespace(send=sent.append))
    with pytest.raises(ValueError, match="thought"):
        await Desk._purge(desk, link, Forget(7, (A,)))
    assert sent == [Forgotten(7, 0, 0, "internal error")]
