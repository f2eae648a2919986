"""A fetch on the node's own behalf ends when it is told to."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edge.control.fetching import Fetching
from edge.policy.rules import SiteRules


async def at_once(_: int) -> None:
    pass


@pytest.mark.parametrize("turns", range(5))
async def test_it_is_cancelled_though_something_comes_in_that_moment(turns: int) -> None:
    left = []
    asking = SimpleNamespace(at=lambda _: None, cancel=lambda: left.append(True))
    asker = SimpleNamespace(next_id=lambda: 1, ask=lambda *_: asking)
    reader = SimpleNamespace(lookup=lambda _: None, lookup_live=lambda _: None)
    volume: Any = SimpleNamespace(reader=reader, asker=asker)
    place: Any = SimpleNamespace(rules=SiteRules(), name=b"n" * 16, target=b"/a", key=b"k", path=b"/a", kind="segment")
    fetching = Fetching(volume, place, b"edge", b"edge", wanted=False, pace=at_once)
    task = asyncio.create_task(fetching.run(1.0))
    for _ in range(10):
        await asyncio.sleep(0)
    fetching.on_bytes()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done, "it waits for the next byte"
    assert task.cancelled()
    assert left
