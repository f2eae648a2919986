"""A keeper that is told what will be asked for next: patient, bounded, and at once a player's when one comes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edge.fill.link import Link
from edge.fill.messages import Fetch, Mode
from edge.origin.path import PathStatistics
from edge.origin.settings import Urgency
from edge.store.names import name_of
from edge.words import MIB, Kind
from tests.contract.test_spread import BODY, PATIENT, QUICK, bytes_asked, correct, far_bench, stored
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer


def wish(bench: FillBench, path: str) -> Fetch:
    """What a worker tells of an object that somebody will ask for."""
    raw = path.encode()
    fetch = Fetch(
        bench.asker.next_id(), Mode.AHEAD, "default", b"GET", raw, b"default" + raw, raw, Kind.SEGMENT, patient=True
    )
    bench.asker.tell(fetch)
    return fetch


async def under_way(bench: FillBench, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while bench.shop.ahead.under_way != count:
            await asyncio.sleep(0.002)


async def has(bench: FillBench, path: str) -> None:
    async with asyncio.timeout(10):
        while bench.stored(path) is None or sum(map(len, bench.stored_bytes(path).values())) < len(BODY):
            await asyncio.sleep(0.005)


async def test_it_is_kept_before_anybody_asks_and_asked_for_once(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        wish(bench, "/v/2.ts")
        wish(bench, "/v/2.ts")
        await has(bench, "/v/2.ts")
        await bench.settled()
        assert (await bench.get("/v/2.ts")).again
        assert stored(bench, "/v/2.ts") == BODY
        assert bytes_asked(server, len(BODY)) == len(BODY)
        wish(bench, "/v/2.ts")
        assert (await bench.get("/v/2.ts")).again
        assert bytes_asked(server, len(BODY)) == len(BODY)


async def test_it_never_has_more_than_its_share_of_the_connections_until_a_player_joins(tmp_path: Path) -> None:
    gate, most = asyncio.Event(), 0

    async def held(asked: Asked, wire: Wire) -> None:
        if asked.target != "/v/1.ts" and not asked.fields["range"].startswith("bytes=0-"):
            await gate.wait()
        await correct(asked, wire)

    async with far_bench(tmp_path, held, origin=replace(PATIENT, max_connections=40, first_byte_timeout=5.0)) as (
        _server,
        bench,
    ):
        await bench.get("/v/1.ts")
        pool = bench.client.pool
        wish(bench, "/v/2.ts")
        await under_way(bench)
        for _ in range(100):
            most = max(most, pool.counts[0])
            await asyncio.sleep(0.002)
        assert 1 < most <= pool.for_ahead == 6
        got = bench.ask("/v/2.ts")
        await got.headed()
        assert bench.shop.ahead.under_way == 0
        gate.set()
        assert (await got.finish()).bytes() == BODY
        await bench.settled()


def begin(bench: FillBench, path: str) -> tuple[Link, Fetch]:
    """A wish that is taken at this very moment, before anything else can happen."""
    raw, (link,) = path.encode(), bench.desk.links
    fetch = Fetch(
        bench.asker.next_id(), Mode.AHEAD, "default", b"GET", raw, b"default" + raw, raw, Kind.SEGMENT, patient=True
    )
    bench.desk.fetch(link, fetch)
    assert bench.shop.ahead.under_way == 1
    return link, fetch


async def test_a_wish_that_is_withdrawn_while_players_need_the_connections_is_never_sent(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        pool = bench.client.pool
        held = [await pool.take() for _ in range(pool.for_pieces - 1)]
        link, fetch = begin(bench, "/v/2.ts")
        held.append(await pool.take())  # a player, in the same moment
        await asyncio.sleep(0)
        bench.desk.forget(link, fetch.id)
        await bench.settled()
        assert server.asked == []
        assert bench.shop.ahead.under_way == 0
        for connection in held:
            pool.give_back(connection)


async def test_who_joins_one_that_waits_is_served_at_once(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (_server, bench):
        await bench.get("/v/1.ts")
        pool = bench.client.pool
        held = [await pool.take() for _ in range(pool.for_pieces - 1)]
        begin(bench, "/v/2.ts")
        held.append(await pool.take())
        got = await bench.ask("/v/2.ts").finish()
        assert got.bytes() == BODY
        assert bench.shop.ahead.under_way == 0
        for connection in held:
            pool.give_back(connection)
        await bench.settled()


async def missing(asked: Asked, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nCache-Control: max-age=60\r\n\r\n")


async def private(asked: Asked, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\nCache-Control: private\r\n\r\n")
    await wire.send(bytes(9_000_000))


async def huge(asked: Asked, wire: Wire) -> None:
    await wire.send(b'HTTP/1.1 206 Partial\r\nETag: "x"\r\nContent-Length: 65536\r\n')
    await wire.send(b"Content-Range: bytes 0-65535/99999999\r\n\r\n" + bytes(65536))


@pytest.mark.parametrize("answer", [missing, private, huge])
async def test_what_is_no_segment_is_not_kept_and_not_read_on(tmp_path: Path, answer: object) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await (correct if asked.target == "/v/1.ts" else answer)(asked, wire)  # type: ignore[operator]

    async with far_bench(tmp_path, script) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        begin(bench, "/v/2.ts")
        await bench.settled()
        assert bench.shop.ahead.under_way == 0
        assert bench.stored("/v/2.ts") is None
        assert bench.live("/v/2.ts") is None
        assert len(server.asked) <= 2
        assert bench.shop.ahead.unasked <= 4 * MIB


@pytest.mark.parametrize("why", ["near", "busy", "known to be private"])
async def test_it_is_not_even_begun(tmp_path: Path, why: str) -> None:
    async with far_bench(tmp_path, correct, origin=QUICK) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        pool = bench.client.pool
        if why == "near":
            pool.path = PathStatistics(0.02)
        if why == "known to be private":
            name = name_of(b"default/v/2.ts", bench.volume.hello.secret)
            bench.shop.alone[name] = True
        held = [await pool.take() for _ in range(pool.for_pieces if why == "busy" else 0)]
        wish(bench, "/v/2.ts")
        assert (await bench.get("/v/1.ts")).again  # the link has carried both
        assert bench.shop.ahead.under_way == 0
        assert server.asked == []
        for connection in held:
            pool.give_back(connection)


async def test_a_worker_that_dies_takes_its_wishes_along(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        if asked.target != "/v/1.ts":
            await gate.wait()
        await correct(asked, wire)

    async with far_bench(tmp_path, held, origin=replace(PATIENT, first_byte_timeout=5.0)) as (_server, bench):
        await bench.get("/v/1.ts")
        wish(bench, "/v/2.ts")
        await under_way(bench)
        (link,) = bench.desk.links
        bench.shop.ahead.withdraw_all(link)
        gate.set()
        await bench.settled()
        record = bench.stored("/v/2.ts")
        kept = 0 if record is None else sum(map(len, bench.stored_bytes("/v/2.ts").values()))
        assert kept < len(BODY)  # it stops at the next slice
        assert (await bench.get("/v/2.ts")).failed is None


async def test_a_warm_job_s_requests_stand_last_in_line_until_a_player_wants_the_same(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (_server, bench):
        await bench.get("/v/1.ts")
        (link,) = bench.desk.links
        raw = b"/v/2.ts"
        fetch = Fetch(
            bench.asker.next_id(), Mode.FILL, "default", b"GET", raw, b"default" + raw, raw, Kind.SEGMENT, patient=True
        )
        bench.desk.fetch(link, fetch)
        (flight,) = bench.desk.flights.values()
        assert flight.urgency is Urgency.AHEAD
        got = bench.ask("/v/2.ts")
        await got.headed()
        assert flight.urgency is Urgency.SEGMENT
        assert (await got.finish()).bytes() == BODY
        await bench.settled()


async def test_who_has_to_wait_for_a_renewal_stands_in_line_as_a_player(tmp_path: Path) -> None:
    """Nobody waits for a renewal as long as what is stored may be given out; who may not have that one waits."""
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.send(answer(asked, BODY, "Cache-Control: max-age=0"))

    async with RawServer(held) as server, fill_bench(tmp_path, server.url, origin=PATIENT) as bench:
        gate.set()
        await bench.get("/v/1.ts")
        gate.clear()
        bench.ask("/v/1.ts", mode=Mode.REFRESH)
        async with asyncio.timeout(10):
            while len(server.asked) < 2:
                await asyncio.sleep(0.005)
        (flight,) = bench.desk.flights.values()
        assert flight.urgency is Urgency.RENEWAL
        got = bench.ask("/v/1.ts")
        async with asyncio.timeout(10):
            while not flight.readers:
                await asyncio.sleep(0.005)
        assert flight.urgency is Urgency.SEGMENT
        gate.set()
        assert (await got.finish()).failed is None
        await bench.settled()
