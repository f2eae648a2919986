"""What to keep, by a real server: a trace over HTTP beside the model, `policy = "lru"`, and a day's writes."""

import asyncio
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from benchmarks.policies import served
from benchmarks.policies.workload import Law, Shape, Trace, generate, reduced
from edge.store.eviction import Row
from edge.store.pack import row_in
from edge.words import KIB, MIB
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge


def day(requests: int, titles: int, divisor: int) -> Trace:
    """A day's requests in less than the time in which anything fades."""
    shape = Shape(law=Law.BENT, titles=titles, requests=requests, days=1)
    return reduced(generate(shape), divisor, seconds=60)


async def replayed(directory: Path, trace: Trace, capacity: int, *, from_half: bool, restart: bool = False) -> float:
    """The server's byte hit ratio, of all requests or of the second half."""
    half, end = len(trace.objects) // 2, len(trace.objects)
    sizes = served.sizes_of(trace)
    paths, told = list(sizes), ("--cache-size", str(capacity))
    async with served.origin(sizes) as url:
        if restart:
            async with running_edge(directory, url, *told, workers=1) as edge:
                first = await served.play(edge.url, trace, paths, 0, half)
            async with running_edge(directory, url, *told, workers=1) as edge:
                second = await served.play(edge.url, trace, paths, half, end)
        else:
            async with running_edge(directory, url, *told, workers=1) as edge:
                first = await served.play(edge.url, trace, paths, 0, half)
                second = await served.play(edge.url, trace, paths, half, end)
    return second.ratio if from_half else (first + second).ratio


async def test_a_real_server_is_near_the_model_on_a_short_trace(tmp_path: Path) -> None:
    trace = day(1_600, 8, 12)
    capacity = int(0.3 * trace.footprint)
    assert capacity >= 12 * 4 * MIB  # packs
    real = await replayed(tmp_path / "cache", trace, capacity, from_half=False)
    expected = served.expected(trace, capacity, from_half=False)
    assert min(expected) - 0.01 <= real <= max(expected) + 0.01


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_real_server_is_within_a_point_of_the_model_for_long(tmp_path: Path, restart: bool) -> None:
    trace = day(24_000, 40, 16)
    capacity = int(0.2 * trace.footprint)
    real = await replayed(tmp_path / "cache", trace, capacity, from_half=True, restart=restart)
    assert real == pytest.approx(np.mean(served.expected(trace, capacity, from_half=True)), abs=0.01)


def configured(directory: Path, told: str) -> list[str]:
    file = directory / "edge.toml"
    file.write_text(f'[cache]\nsize = "32MiB"\n{told}\n[origin]\nhedge = false\n')
    return ["--config", str(file)]


async def rows_of(directory: Path, *flags: str) -> set[Row]:
    """The rows that a cache of 32 MiB has packs of, after 45 MiB in a title whose first segments are wanted."""
    async with describing_origin() as origin, client() as http:
        async with running_edge(None, origin.url, "--cache-dir", str(directory), *flags, workers=1) as edge:
            for number in range(60):
                for name in (number % 4, number + 4):
                    path = f"/s/{768 * KIB}/{name}.ts"
                    async with http.get(edge.url + path) as got:
                        assert got.status == 200
                        proven(path, await got.read())
            assert await reached(edge, "edge_cache_evictions_total", 1) > 0
            async with http.get(f"{edge.url}/s/{768 * KIB}/1.ts") as got:
                assert got.headers["X-Cache"] == "HIT"  # wanted all the time, so that it has stayed
    return {row_in(path.read_bytes()[:64]) for path in (directory / "packs").glob("*.journal")}


async def test_the_policy_of_the_configuration_is_the_stores(tmp_path: Path) -> None:
    assert await rows_of(tmp_path / "a", *configured(tmp_path, "")) == {Row.NEW, Row.KEPT}
    assert await rows_of(tmp_path / "b", *configured(tmp_path, 'policy = "lru"')) == {Row.NEW}


async def reached(edge: Edge, name: str, least: float) -> float:
    """A metric once it is at least that: keepers tell theirs every few seconds."""
    async with asyncio.timeout(30):
        while (value := await edge.metric(name)) < least:
            await asyncio.sleep(0.2)
    return value


async def purge(directory: Path, url: str) -> None:
    socket = aiohttp.UnixConnector((directory / "control").read_text().strip())
    async with (
        aiohttp.ClientSession(connector=socket) as http,
        http.post("http://edge/v1/purge", json={"url": url}) as got,
    ):
        assert got.status == 200, await got.text()
        assert (await got.json())["objects"] == 1


async def test_a_days_writes_are_for_what_is_wanted_and_then_for_nothing(tmp_path: Path) -> None:
    daily, cache = 20 * MIB, tmp_path / "cache"
    flags = [*configured(tmp_path, f"daily_writes = {daily}"), "--cache-dir", str(cache)]
    async with describing_origin() as origin, client() as http, running_edge(None, origin.url, *flags) as edge:

        async def get(name: str) -> str:
            path = f"/s/{MIB}/{name}"
            async with http.get(edge.url + path) as got:
                assert got.status == 200
                proven(path, await got.read())
                return got.headers["X-Cache"]

        async def is_kept(name: str) -> bool:
            """Asked for once more, it is found."""
            await get(name)
            return await get(name) == "HIT"

        for number in range(8):
            assert await is_kept(f"wanted-{number}")
            for _ in range(8):
                await get(f"wanted-{number}")
            await purge(cache, f"{edge.url}/s/{MIB}/wanted-{number}")
        assert [await is_kept(f"cold-{number}") for number in range(9)] == [True] * 7 + [False] * 2  # to 15 MiB
        assert [await is_kept(f"wanted-{number}") for number in range(8)] == [True] * 4 + [False] * 4  # to 19 MiB
        assert await reached(edge, 'decision="refused"}', 12) == 12
        assert await reached(edge, "edge_cache_day_written_bytes", 19 * MIB) < daily
        assert await edge.metric("edge_cache_day_writes_max_bytes") == daily
