"""A full line before an upstream: whose request gets the connection that becomes free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge.fill.messages import Fetch, Mode
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.words import Kind
from tests.support.fillbench import QUICK, FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

LIVE = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"
FILM = LIVE + b"#EXT-X-ENDLIST\n"
ONE = replace(QUICK, max_connections=1, queue_timeout=20.0, first_byte_timeout=20.0, total_first_byte=20.0)


@dataclass
class Line:
    """One connection, which `/busy.ts` holds until `free` is set; `order`: what was asked for after that."""

    bench: FillBench
    free: asyncio.Event
    order: list[str]
    waiting: list[Got] = field(default_factory=list)

    async def join(self, path: str, mode: Mode = Mode.FILL, *, ranged: bool = False) -> None:
        """Ask, and wait until the request stands in line."""
        before = self.bench.client.pool.counts[2]
        self.waiting.append(self.bench.ask(path, mode=mode, ranged=ranged))
        await self.is_long(before + 1)

    async def is_long(self, length: int) -> None:
        async with asyncio.timeout(10):
            while self.bench.client.pool.counts[2] < length:
                await asyncio.sleep(0.002)

    async def served(self) -> list[str]:
        """The order in which those who wait were served."""
        self.free.set()
        for got in self.waiting:
            if got.want.mode is Mode.FILL:
                assert (await got.finish()).failed is None
        await self.bench.settled()
        return self.order[1:]


@asynccontextmanager
async def full_line(directory: Path) -> AsyncIterator[Line]:
    """`/live/` has a live playlist, `/film/` one that has ended."""
    free, order = asyncio.Event(), list[str]()

    async def script(asked: Asked, wire: Wire) -> None:
        order.append(asked.target)
        if asked.target == "/busy.ts":
            await free.wait()
        await wire.send(answer(asked, {"/live/x.m3u8": LIVE, "/film/x.m3u8": FILM}.get(asked.target, b"body")))

    async with RawServer(script) as origin, fill_bench(directory, origin.url, origin=ONE) as bench:
        for playlist in ("/live/x.m3u8", "/film/x.m3u8"):
            await bench.get(playlist)
        order.clear()
        busy = bench.ask("/busy.ts")
        async with asyncio.timeout(10):
            while not order:
                await asyncio.sleep(0.002)
        yield Line(bench, free, order)
        await busy.finish()


async def test_a_live_segment_has_the_connection_before_a_film_s_that_has_waited_longer(tmp_path: Path) -> None:
    """At the live edge a player has no more than a few seconds in hand; one that watches a film has a minute."""
    async with full_line(tmp_path) as line:
        for path in ("/film/1.ts", "/film/2.ts", "/film.mp4", "/live/720p/1.ts", "/live/2.ts"):
            await line.join(path)
        assert await line.served() == ["/live/720p/1.ts", "/live/2.ts", "/film.mp4", "/film/1.ts", "/film/2.ts"]


async def test_a_live_segment_waits_for_playlists_and_goes_before_its_own_initialisation(tmp_path: Path) -> None:
    async with full_line(tmp_path) as line:
        for path in ("/live/init.mp4", "/live/1.m4s", "/live/y.m3u8"):
            await line.join(path)
        assert await line.served() == ["/live/y.m3u8", "/live/1.m4s", "/live/init.mp4"]


async def test_nobody_waits_for_a_live_segment_that_is_renewed_so_it_goes_after_films(tmp_path: Path) -> None:
    async with full_line(tmp_path) as line:
        await line.join("/live/1.ts", Mode.REFRESH)
        await line.join("/film/1.ts")
        assert await line.served() == ["/film/1.ts", "/live/1.ts"]


async def test_a_live_segment_that_a_warm_job_wants_is_last_in_line_until_a_player_wants_it_too(tmp_path: Path) -> None:
    async with full_line(tmp_path) as line:
        bench, raw = line.bench, b"/live/1.ts"
        (link,) = bench.desk.links
        key = b"default" + raw
        fetch = Fetch(bench.asker.next_id(), Mode.FILL, "default", b"GET", raw, key, raw, Kind.SEGMENT, patient=True)
        bench.desk.fetch(link, fetch)
        (flight,) = [one for one in bench.desk.flights.values() if one.fetch is fetch]
        assert flight.urgency is Urgency.AHEAD
        await line.join("/film/1.ts")
        await line.join("/live/1.ts")
        assert flight.urgency is Urgency.LIVE
        assert await line.served() == ["/live/1.ts", "/film/1.ts"]


async def test_a_range_of_a_live_segment_is_not_sent_a_second_time_when_it_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a part that the playlist only hints at, for which the origin lets us wait."""
    may_hedge = {}
    async with full_line(tmp_path) as line:
        fetch = line.bench.client.fetch

        def noted(request: UpstreamRequest, *rest: float) -> AbstractAsyncContextManager[UpstreamResponse]:
            may_hedge[request.target.decode()] = request.hedge
            return fetch(request, *rest)

        monkeypatch.setattr(line.bench.client, "fetch", noted)
        for path in ("/live/1.ts", "/live/2.ts", "/film/2.ts"):
            await line.join(path, ranged="2" in path)
        await line.served()
    assert may_hedge == {"/live/1.ts": True, "/live/2.ts": False, "/film/2.ts": True}
