"""A reader that stays and does not read holds nobody up, and no connection for long."""

import asyncio
import os
from pathlib import Path

import pytest

from edge.fill.asking import Asker
from edge.fill.flight import Flight
from edge.fill.settings import FillSettings
from edge.words import MIB
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

FILM = os.urandom(6 * MIB)


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, FILM))


async def paused(bench: FillBench) -> tuple[Got, Flight]:
    """A reader of the whole film that has read nothing, once no run of its flight is left."""
    got = bench.ask("/a.mp4", 0, len(FILM))
    got.on_bytes = lambda: None  # type: ignore[method-assign]
    await got.headed()
    (flight,) = bench.desk._flights.all()
    async with asyncio.timeout(10):
        while flight.runs.under_way:
            await asyncio.sleep(0.005)
    return got, flight


async def reads_on(got: Got) -> bytes:
    del got.on_bytes
    got.on_bytes()
    return (await got.finish()).bytes()


async def test_a_run_gives_its_connection_back_when_nobody_reads_and_another_goes_on_at_the_same_byte(
    tmp_path: Path,
) -> None:
    settings = FillSettings(ahead=MIB, pause_limit=0.05)
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url, settings=settings) as bench:
        got, _ = await paused(bench)
        assert bench.client.pool.counts[:2] == (0, 0)  # neither in use nor kept: an answer was left amid its body
        assert got.asking is not None
        reached = 0
        while (piece := got.asking.at(reached)) is not None:
            reached = piece.end
        assert MIB <= reached < 3 * MIB
        assert await reads_on(got) == FILM
        await bench.settled()
        assert [range_of(asked, len(FILM)) for asked in origin.asked[1:2]] == [(reached, len(FILM))]
        assert b"".join(data for _, data in sorted(bench.stored_bytes("/a.mp4").items())) == FILM


async def test_nobody_waits_for_a_reader_that_has_not_read_far_enough_for_what_it_wants_next(
    tmp_path: Path,
) -> None:
    """All runs of its flight had ended, so it was taken for one that is about to end, for as long as it stayed."""
    settings = FillSettings(run_max=2 * MIB, ahead=2 * MIB)
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url, settings=settings) as bench:
        got, _ = await paused(bench)
        other = await bench.ask("/a.mp4", 4 * MIB, 5 * MIB).finish()
        assert other.bytes() == FILM[4 * MIB : 5 * MIB]
        assert await reads_on(got) == FILM
        await bench.settled()
        assert bench.shop.landing == {}


@pytest.mark.parametrize("leaves", ["fetch", "worker"])
async def test_who_has_waited_for_a_flight_s_end_and_leaves_is_not_waited_for_by_it(
    tmp_path: Path, leaves: str
) -> None:
    """1. A fetch waits for a flight to end. 2. The flight goes on with another run. 3. Before the fetch has joined it,
    it is cancelled, or its worker dies: it joined all the same, and nobody ever read what it was brought."""
    settings = FillSettings(run_max=MIB, ahead=MIB)
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url, settings=settings) as bench:
        other = Asker(str(tmp_path / "link"), lambda hello: None)
        other.connect()
        got, flight = await paused(bench)
        bench.shop.landing[flight.name] = flight  # as when nobody wants more of it, until a lease does
        waits = bench.ask("/a.mp4", 0, len(FILM), asker=other)
        waits.on_bytes = lambda: None  # type: ignore[method-assign] # as nobody does who has left
        async with asyncio.timeout(5):
            while not bench.desk._waiting._of:
                await asyncio.sleep(0.001)
        ((link, _),) = bench.desk._waiting._of[flight]
        assert got.asking is not None
        flight.read(flight.readers[0], MIB)
        if leaves == "fetch":
            bench.desk.forget(link, waits.want.id)
        else:
            link.channel._lost()
        got.asking.cancel()
        await bench.settled()
        other.close()
