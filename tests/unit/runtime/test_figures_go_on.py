"""A keeper's figures are told also after a moment in which its index could not be asked."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edge.errors import StoreError
from edge.runtime import gauges
from edge.runtime.gauges import KeeperGauges


async def test_figures_are_told_again_and_readers_are_looked_after_when_the_index_could_not_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, posted = list[int](), list[str]()
    volume = SimpleNamespace(
        room=SimpleNamespace(measure="measure"), index=SimpleNamespace(reader_check="reader_check")
    )
    store: Any = SimpleNamespace(volume=volume, post=posted.append)
    nothing: Any = None
    keeper = KeeperGauges(nothing, store, nothing, nothing, lambda: (), "cache")

    def sample() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise StoreError("index: its table of readers is full")

    monkeypatch.setattr(keeper, "sample", sample)
    monkeypatch.setattr(gauges, "SECONDS", 0.01)
    monkeypatch.setattr(gauges, "READER_CHECK_SECONDS", 0.02)
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        while "reader_check" not in posted or len(asked) < 3:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
    running.cancel()
