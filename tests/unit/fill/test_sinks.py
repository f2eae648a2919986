"""Where a run's bytes go: what was reserved is given back, however a fill ends."""

import asyncio
import errno
import os
from typing import Any

import pytest

from edge.fill.settings import FillSettings
from edge.fill.sinks import PackSink, ScratchBudget, ScratchSink, Unheard
from edge.store.pack import Reservation
from edge.words import MIB
from tests.unit.fill.test_flight_runs import Runs


class Volume:
    extent_max = MIB

    def reserve(self, *_: object) -> None:
        pass

    def release(self, *_: object) -> None:
        pass


class Store:
    """Its calls are answered by the test."""

    def __init__(self) -> None:
        self.volume = Volume()
        self.asked: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        self.released: list[Reservation] = []

    def call(self, *_: object) -> "asyncio.Future[Reservation]":
        return self.asked

    def post(self, _function: object, place: Reservation) -> None:
        self.released.append(place)


@pytest.mark.parametrize("ahead", [True, False], ids=["asked for ahead", "asked for when it is needed"])
@pytest.mark.parametrize("came", [True, False], ids=["its place had come", "its place had not come"])
async def test_a_fill_that_is_cancelled_while_it_waits_for_its_place_gives_it_back(*, ahead: bool, came: bool) -> None:
    store: Any = Store()
    sink = PackSink(Unheard(MIB), store, 0, 1000, (b"n" * 16, b"/a"))
    if ahead:
        sink.begin()
    filling = asyncio.create_task(sink.put(b"x" * 10))
    await asyncio.sleep(0)
    place = Reservation(1, 0, 1000)
    if came:
        store.asked.set_result(place)
    filling.cancel()  # before it has gone on
    with pytest.raises(asyncio.CancelledError):
        await filling
    sink.release()
    assert store.released == ([place] if came else [])
    assert store.asked.cancelled() is not came


async def test_scratch_that_the_system_does_not_give_is_taken_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it was all taken after some hundred of them, and who needs any waited for ever."""
    budget, flight = ScratchBudget(FillSettings(scratch_total=2 * MIB)), Runs().flight

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", none_left)
        for _ in range(3):
            with pytest.raises(OSError, match="Too many"):
                await asyncio.wait_for(ScratchSink(flight, budget, 0).put(b"x"), 5)
    async with asyncio.timeout(5):
        await ScratchSink(flight, budget, 0).put(b"x")
    for piece in list(flight.pieces):
        piece.drop()
