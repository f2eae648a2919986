"""Two requests for the same: the faster one counts, and whoever leaves is heard at every moment."""

import asyncio

import pytest

from edge.errors import OriginError
from edge.origin.connection import OriginConnection, ResponseHead
from edge.origin.hedge import race
from edge.origin.settings import OriginSettings
from edge.tasks import Tasks
from edge.words import Reason


class Scripted(OriginConnection):
    """Its head comes when it is told to; cancelled, it takes `linger` turns of the loop to end."""

    def __init__(self, linger: int = 0) -> None:
        super().__init__(OriginSettings("http://o.example"))
        self.comes, self.linger = asyncio.Event(), linger
        self.ending = asyncio.Event()
        self.given: list[float] = []

    async def head(self, timeout: float) -> ResponseHead:
        self.given.append(timeout)
        try:
            await self.comes.wait()
        finally:
            self.ending.set()
            for _ in range(self.linger):
                await asyncio.sleep(0)
        return ResponseHead()


async def test_a_cancel_that_comes_while_the_loser_ends_is_handed_on_and_nothing_leaks() -> None:
    """It was swallowed there: who had left went on to read the answer."""
    for winner in ("first", "second"):
        first, second = Scripted(linger=20), Scripted(linger=20)
        dropped: list[OriginConnection] = []

        async def open_second(second: Scripted = second) -> OriginConnection:
            return second

        tasks = Tasks("test")
        racing = asyncio.ensure_future(race(tasks, first, 10.0, open_second, dropped.append))
        while not second.given:
            await asyncio.sleep(0)
        won, lost = (first, second) if winner == "first" else (second, first)
        won.linger = 0
        won.comes.set()
        await lost.ending.wait()
        assert not racing.done()
        racing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing
        assert dropped == [second], "the first one is still the caller's"
        assert second.closed
        assert len(tasks) == 0


async def test_the_time_that_the_second_one_takes_to_be_opened_is_no_time_more_for_its_answer() -> None:
    first, second = Scripted(), Scripted()
    loop = asyncio.get_running_loop()

    async def open_second() -> OriginConnection:
        begun = loop.time()
        while loop.time() < begun + 0.01:
            await asyncio.sleep(0)
        return second

    racing = asyncio.ensure_future(race(Tasks("test"), first, 5.0, open_second, lambda _: None))
    while not second.given:
        await asyncio.sleep(0)
    assert first.given == [5.0]
    assert second.given[0] <= 5.0 - 0.01
    second.comes.set()
    assert (await racing)[0] is second
    assert first.closed


async def test_if_both_fail_the_error_is_the_first_ones() -> None:
    class Fails(Scripted):
        async def head(self, timeout: float) -> ResponseHead:
            raise OriginError(Reason.CONNECT_FAILED, "first" if self is first else "second")

    first = Fails()

    async def open_second() -> OriginConnection:
        return Fails()

    with pytest.raises(OriginError, match="first"):
        await race(Tasks("test"), first, 5.0, open_second, lambda _: None)
