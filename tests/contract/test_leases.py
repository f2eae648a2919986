"""What is fetched ahead of a reader is fetched while a worker's lease lasts, and no further than was asked for then."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge.fill.asking import Asker
from edge.fill.flight import Flight
from edge.fill.leases import MOST, Leases
from edge.fill.messages import Fetch, Mode, Pin
from edge.fill.readers import Run
from edge.fill.settings import FillSettings
from edge.origin.path import PathStatistics
from edge.origin.settings import Urgency
from edge.words import MIB, Kind, Reason
from tests.contract.test_spread import FarPath, bytes_asked
from tests.support.fillbench import QUICK, FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

FILM = os.urandom(12 * MIB)
PATIENT = replace(QUICK, first_byte_timeout=10.0, total_first_byte=10.0, stall_timeout=10.0)
FEW = FillSettings(parallel_max=2)  # pieces under way at a time, so that most of a stretch is not asked for yet


@dataclass
class Held:
    """A film of which the first MiB comes at once, and the rest when `gate` is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    held: int = 0

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(FILM))
        if span is not None and span[0] >= MIB:
            self.held += 1
            await self.gate.wait()
        await wire.send(answer(asked, FILM))


@asynccontextmanager
async def held_bench(directory: Path) -> AsyncIterator[tuple[Held, RawServer, FillBench]]:
    """The first MiB is here."""
    script = Held()
    async with (
        RawServer(script) as server,
        fill_bench(directory, server.url, origin=PATIENT, settings=FEW) as bench,
    ):
        bench.client.pool.path = FarPath()
        await bench.get("/a.mp4", 0, MIB)
        yield script, server, bench
        assert bench.shop.spread.held == 0
        assert bench.desk._wishes._leases == {}


def lease(bench: FillBench, start: int, end: int, asker: Asker | None = None) -> Got:
    return bench.ask("/a.mp4", start, end, mode=Mode.AHEAD, pin=Pin(0, len(FILM), b'"v1"'), asker=asker)


def lease_of(bench: FillBench, start: int, end: int) -> Fetch:
    """The same, not sent."""
    pin = Pin(0, len(FILM), b'"v1"')
    path = b"/a.mp4"
    key = b"default" + path
    return Fetch(
        bench.asker.next_id(), Mode.AHEAD, "default", b"GET", path, key, path, Kind.MP4, (), start, end, 0, True, pin
    )


def failures(flight: Flight) -> list[Run]:
    """Its runs that fail from now on."""
    failed, fails = [], flight.fail_run

    def fail_run(run: Run, status: int, reason: Reason, detail: str) -> None:
        failed.append(run)
        fails(run, status, reason, detail)

    flight.fail_run = fail_run  # type: ignore[method-assign]
    return failed


async def until_held(script: Held, count: int = 2) -> None:
    async with asyncio.timeout(5):
        while script.held < count:
            await asyncio.sleep(0.001)


async def withdrawn(bench: FillBench, got: Got, left: int = 0) -> None:
    assert got.asking is not None
    got.asking.cancel()
    async with asyncio.timeout(5):
        while len(bench.desk._wishes._leases) > left:
            await asyncio.sleep(0.001)


def stored(bench: FillBench) -> bytes:
    return b"".join(data for _, data in sorted(bench.stored_bytes("/a.mp4").items()))


async def test_when_a_lease_is_withdrawn_what_is_under_way_comes_and_nothing_more_is_asked_for(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, server, bench):
        got = lease(bench, MIB, 12 * MIB)
        await until_held(script)
        await withdrawn(bench, got)
        script.gate.set()
        await bench.settled()
        assert bytes_asked(server, len(FILM)) == 2 * MIB  # to the end of the slice that was begun
        assert stored(bench) == FILM[: 2 * MIB]


async def test_a_lease_that_goes_on_brings_the_next_stretch_and_then_stops_as_a_whole(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, server, bench):
        got = lease(bench, MIB, 3 * MIB)
        await until_held(script)
        bench.asker.send(replace(got.want, start=3 * MIB, end=5 * MIB))
        async with asyncio.timeout(5):
            while all(run.end < 5 * MIB for flight in bench.desk._flights.all() for run in flight.runs.under_way):
                await asyncio.sleep(0.001)
        script.gate.set()
        await bench.settled()
        assert stored(bench) == FILM[: 5 * MIB]
        script.gate.clear()
        script.held = 0
        bench.asker.send(replace(got.want, start=5 * MIB, end=12 * MIB))
        await until_held(script)
        await withdrawn(bench, got)
        script.gate.set()
        await bench.settled()
        assert stored(bench) == FILM[: 6 * MIB]
        assert bytes_asked(server, len(FILM)) == 6 * MIB


async def test_what_another_lease_wants_goes_on(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, _, bench):
        one, other = lease(bench, MIB, 4 * MIB), lease(bench, 2 * MIB, 4 * MIB)
        await until_held(script)
        await withdrawn(bench, one, left=1)
        script.gate.set()
        await bench.settled()
        assert stored(bench) == FILM[: 4 * MIB]
        assert other.asking is not None


async def test_a_lease_that_begins_again_in_time_has_all_of_it_brought(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, server, bench):
        got = lease(bench, MIB, 4 * MIB)
        await until_held(script)
        await withdrawn(bench, got)
        lease(bench, MIB, 4 * MIB)
        async with asyncio.timeout(5):
            while not bench.desk._wishes._leases:
                await asyncio.sleep(0.001)
        script.gate.set()
        await bench.settled()
        assert stored(bench) == FILM[: 4 * MIB]
        assert bytes_asked(server, len(FILM)) == 4 * MIB


async def test_who_reads_what_was_fetched_ahead_gets_all_of_its_range_though_the_lease_is_over(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, server, bench):
        got = lease(bench, MIB, 12 * MIB)
        await until_held(script)
        reader = bench.ask("/a.mp4", MIB, 4 * MIB)
        await reader.headed()
        await withdrawn(bench, got)
        script.gate.set()
        assert (await reader.finish()).bytes() == FILM[MIB : 4 * MIB]
        await bench.settled()
        assert bytes_asked(server, len(FILM)) < 8 * MIB


async def test_the_leases_of_a_worker_end_with_it(tmp_path: Path) -> None:
    async with held_bench(tmp_path) as (script, server, bench):
        other = Asker(str(tmp_path / "link"), lambda hello: None)
        other.connect()
        async with asyncio.timeout(5):
            while not other.up:
                await asyncio.sleep(0.001)
        lease(bench, MIB, 12 * MIB, asker=other)
        await until_held(script)
        other.close()
        async with asyncio.timeout(5):
            while bench.desk._wishes._leases:
                await asyncio.sleep(0.001)
        script.gate.set()
        await bench.settled()
        assert bytes_asked(server, len(FILM)) == 2 * MIB


@pytest.mark.parametrize("path", ["near", "far"])
async def test_a_lease_that_is_over_before_its_run_has_asked_costs_nothing(tmp_path: Path, path: str) -> None:
    """It was asked for at all members in turn, or taken for a body that breaks."""
    async with held_bench(tmp_path) as (_, server, bench):
        client, asked = bench.client, len(server.asked)
        client._retries._tokens, client._retries._per_second = 10.0, 0.0
        link = next(iter(bench.desk.links))
        fetch = lease_of(bench, MIB, 12 * MIB)
        bench.desk.fetch(link, fetch)
        bench.desk.forget(link, fetch.id)
        (flight,) = bench.desk._flights.all()
        failed = failures(flight)
        if path == "near":
            client.pool.path = PathStatistics(0.02)
        await bench.settled()
        assert len(server.asked) == asked
        assert client._retries._tokens == 10.0
        assert failed == []


async def test_what_breaks_after_its_lease_is_over_is_asked_for_to_its_slice_s_end_behind_all_players(
    tmp_path: Path,
) -> None:
    breaks, held = asyncio.Event(), asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, FILM)
        if len(server.asked) != 2:
            await wire.send(raw)
            return
        await wire.send(raw[: raw.index(b"\r\n\r\n") + 4 + MIB // 2])
        held.set()
        await breaks.wait()
        wire.close()

    async with RawServer(script) as server, fill_bench(tmp_path, server.url, origin=PATIENT) as bench:
        await bench.get("/a.mp4", 0, MIB)
        link, fetch = next(iter(bench.desk.links)), lease_of(bench, MIB, 12 * MIB)
        bench.client.pool.path = FarPath()
        bench.desk.fetch(link, fetch)
        bench.client.pool.path = PathStatistics(0.02)  # one answer, not pieces
        await held.wait()
        bench.desk.forget(link, fetch.id)
        urgencies, sends = [], bench.client.fetch
        bench.client.fetch = lambda request, *more, **by: (  # type: ignore[method-assign]
            urgencies.append(request.urgency) or sends(request, *more, **by)  # type: ignore[func-returns-value]
        )
        breaks.set()
        await bench.settled()
        assert urgencies == [Urgency.AHEAD]
        assert range_of(server.asked[-1], len(FILM)) == (MIB + MIB // 2, 2 * MIB)
        assert stored(bench) == FILM[: 2 * MIB]


async def test_pieces_that_break_after_their_lease_is_over_are_not_asked_for_again(tmp_path: Path) -> None:
    breaks, held = asyncio.Event(), 0

    async def script(asked: Asked, wire: Wire) -> None:
        nonlocal held
        span = range_of(asked, len(FILM))
        if span is None or span[0] < MIB or breaks.is_set():
            await wire.send(answer(asked, FILM))
            return
        held += 1
        await breaks.wait()
        await wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    async with RawServer(script) as server, fill_bench(tmp_path, server.url, origin=PATIENT) as bench:
        bench.client.pool.path = FarPath()
        await bench.get("/a.mp4", 0, MIB)
        bench.client._retries._tokens, bench.client._retries._per_second = -1000.0, 0.0
        got = lease(bench, MIB, 12 * MIB)
        async with asyncio.timeout(5):
            while held < 8:  # several slices of it
                await asyncio.sleep(0.001)
        await withdrawn(bench, got)
        failed = failures(bench.desk._flights.all()[0])
        bench.client.pool.path = PathStatistics(0.02)  # what would be asked for again were one request
        breaks.set()
        await bench.settled()
        starts = [span[0] for asked in server.asked if (span := range_of(asked, len(FILM))) and span[0] >= MIB]
        assert len(starts) == len(set(starts))
        assert failed == []


def test_one_more_lease_takes_the_place_of_the_one_that_was_not_heard_of_for_longest() -> None:
    leases, runs = Leases(), [Run(0, MIB, ahead=True), Run(MIB, 2 * MIB, ahead=True)]
    links = [object() for _ in range(MOST)]
    leases.extend((links[0], 1), 0, MIB, runs)
    for link in links[1:]:
        leases.extend((link, 1), MIB, 2 * MIB, runs)
    leases.extend((links[1], 1), MIB, 2 * MIB, runs)
    leases.extend((object(), 1), MIB, 2 * MIB, runs)
    assert [run.withdrawn for run in runs] == [True, False]
