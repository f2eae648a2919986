"""Into how many pieces a far body is cut, and how long they are, goes by what its connections were seen to bring."""

import asyncio
from pathlib import Path

import pytest

from edge.fill.settings import FillSettings
from edge.origin.path import PathStatistics
from edge.origin.pool import RESERVED
from edge.words import KIB
from tests.contract.test_spread import BODY, PATIENT, bytes_asked, far_bench
from tests.support.fillbench import FillBench
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

WARM = 32
FIRST_MOST, BEGINNING_MOST, PIECE_MOST = 64 * KIB, 16 * KIB, 256 * KIB
NARROW, WIDE = 16 * KIB, 512 * KIB  # bytes that a connection brings in a round trip


class Held:
    """An origin that answers nothing while `gate` is closed."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        await self.gate.wait()
        await wire.send(answer(asked, BODY))


async def all_warm(bench: FillBench, window: int, idle: int = WARM) -> None:
    """A segment of the directory has come before, so many are idle, and this is what each of them brings."""
    await bench.get("/v/1.ts")
    pool = bench.client.pool
    async with asyncio.timeout(10):
        while pool.counts[0] or pool.counts[1] < WARM:
            await pool.keep_warm()
    while len(pool._idle) > idle:
        pool._idle.pop().close()
    for connection in pool._idle:
        connection.window.size = window
    pool.path.window = float(window)


def sizes(server: RawServer) -> list[int]:
    spans = [range_of(asked, len(BODY)) or (0, 0) for asked in server.asked]
    return [end - start for start, end in sorted(spans)]


async def asked_at_once(
    tmp_path: Path, window: int, *, idle: int = WARM, settings: FillSettings | None = None
) -> tuple[list[int], int]:
    """The sizes of what is asked for before any of it has come, and how many connections were opened for that."""
    held = Held()
    async with far_bench(tmp_path, held, origin=PATIENT, settings=settings) as (server, bench):
        await all_warm(bench, window, idle)
        opened = server.connections
        server.asked.clear()
        held.gate.clear()
        got = bench.ask("/v/2.ts")
        async with asyncio.timeout(10):
            while not bench.client.pool.pieces or len(server.asked) < 1 + bench.client.pool.pieces:
                await asyncio.sleep(0.005)
        found = sizes(server), server.connections - opened
        held.gate.set()
        assert (await got.finish()).bytes() == BODY
        return found


async def test_of_wide_connections_few_are_asked_for_much_and_none_is_opened(tmp_path: Path) -> None:
    found, opened = await asked_at_once(tmp_path, WIDE)
    assert sum(found) == len(BODY)
    assert len(found) <= 2 + len(BODY) // PIECE_MOST
    assert max(found) <= PIECE_MOST
    assert opened == 0


async def test_what_few_wide_ones_bring_in_two_round_trips_is_not_worth_opening_more(tmp_path: Path) -> None:
    found, opened = await asked_at_once(tmp_path, WIDE, idle=10)
    assert len(found) == 10 - RESERVED  # one of these brings the beginning
    assert opened == 0


async def test_of_narrow_connections_many_are_asked_for_little_and_more_are_opened(tmp_path: Path) -> None:
    found, opened = await asked_at_once(tmp_path, NARROW)
    assert len(found) > WARM
    assert opened > 0
    assert max(found[1:]) < PIECE_MOST / 2


async def test_no_more_than_is_allowed_however_narrow_they_are(tmp_path: Path) -> None:
    found, _ = await asked_at_once(tmp_path, NARROW, settings=FillSettings(parallel_max=7))
    assert len(found) <= 1 + 7  # the first one is not of the pieces


async def test_the_beginning_is_short_so_that_it_comes_first(tmp_path: Path) -> None:
    async with far_bench(tmp_path, Held()) as (server, bench):
        await bench.get("/v/1.ts")
        assert sizes(server)[0] <= FIRST_MOST
        server.asked.clear()
        await bench.get("/v/2.ts")
        beginning, *others, _ = sizes(server)
        assert beginning <= BEGINNING_MOST
        assert beginning <= min(others)


@pytest.mark.parametrize("window", [NARROW, WIDE])
async def test_near_by_a_body_is_one_answer_whatever_connections_bring(tmp_path: Path, window: int) -> None:
    async with far_bench(tmp_path, Held()) as (server, bench):
        await all_warm(bench, window)
        bench.client.pool.path = PathStatistics(0.02)
        bench.client.pool.path.connected(0.019)
        server.asked.clear()
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        assert len(server.asked) == 1
        assert bytes_asked(server, len(BODY)) in (0, len(BODY))
