"""A thread that uses its processor for one thing alone, without end, is told from one that has much to do, or waits."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.runtime.endless import endless

LOOK, MOST = 0.01, 0.05
LOOKS = 50


@contextmanager
def thread(*, spins: bool) -> Iterator[int]:
    """Its ident."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.0 if spins else None):
            pass

    running = threading.Thread(target=run)
    running.start()
    try:
        assert running.ident is not None
        yield running.ident
    finally:
        over.set()
        running.join()


async def test_a_thread_that_does_one_thing_for_ever_is_found() -> None:
    with thread(spins=True) as ident:
        await asyncio.wait_for(endless(ident, lambda: 7, LOOK, MOST), 30)


@pytest.mark.parametrize("spins", [False, True])
async def test_one_that_waits_or_goes_from_one_thing_to_the_next_is_left_alone(*, spins: bool) -> None:
    looks = 0

    def doing() -> int:
        nonlocal looks
        looks += 1
        return looks if spins else 7

    with thread(spins=spins) as ident:
        watching = asyncio.ensure_future(endless(ident, doing, LOOK, MOST))
        while looks < LOOKS and not watching.done():
            await asyncio.sleep(LOOK)
        assert not watching.done()
        watching.cancel()
