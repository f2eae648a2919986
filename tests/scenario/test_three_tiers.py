"""Players -> two edges -> two shields -> an origin, as real processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from edge.words import KIB
from tests.support.edgeproc import Describing, Edge, client, describing_origin, proven
from tests.support.tiers import kill_whole, node, upstream

SIZE = 100 * KIB
OBJECTS = [f"/s/{SIZE}/{number}.ts" for number in range(12)]


@dataclass
class Tiers:
    edges: list[Edge]
    shields: list[Edge]
    origin: Describing


@asynccontextmanager
async def tiers(directory: Path) -> AsyncIterator[Tiers]:
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(describing_origin())
        last = upstream(origin.url, "origin")
        shields = [await stack.enter_async_context(node(directory, f"shield{n}", [last])) for n in (1, 2)]
        ways = [*(upstream(shield.url, "shield") for shield in shields), last]
        edges = [await stack.enter_async_context(node(directory, f"edge{n}", ways)) for n in (1, 2)]
        yield Tiers(edges, shields, origin)


async def watch(http: aiohttp.ClientSession, edge: Edge, path: str) -> str:
    """One player's request: right to the last byte. Returns what Cache-Status says."""
    async with http.get(edge.url + path) as got:
        assert got.status == 200, f"{got.status} {dict(got.headers)}"
        body = await got.read()
        assert len(body) == SIZE
        proven(path, body)
        return got.headers["Cache-Status"]


def home(cache_status: str) -> str:
    """The shield that an answer has come through."""
    return next(name for name in ("shield1", "shield2") if name in cache_status)


async def test_a_hundred_players_over_both_edges_cost_one_origin_request_per_object(tmp_path: Path) -> None:
    async with tiers(tmp_path) as world, client() as http:
        players = [watch(http, world.edges[n % 2], path) for path in OBJECTS[:4] for n in range(100)]
        said = await asyncio.gather(*players)
        assert len(said) == 400
        assert {path: world.origin.origin.counts[path] for path in OBJECTS[:4]} == dict.fromkeys(OBJECTS[:4], 1)


async def test_a_shield_killed_under_load_fails_nobody_and_moves_only_its_own_objects(tmp_path: Path) -> None:
    async with tiers(tmp_path) as world, client() as http:
        # the first edge shows where each object lives; the second has none of them yet
        homes = {path: home(await watch(http, world.edges[0], path)) for path in OBJECTS}
        assert len(set(homes.values())) == 2
        for path in OBJECTS[:4]:
            assert home(await watch(http, world.edges[1], path)) == homes[path]  # both edges agree
        assert all(world.origin.origin.counts[path] == 1 for path in OBJECTS)
        fresh = [f"/s/{SIZE}/live{number}.ts" for number in range(60)]
        half = asyncio.Event()

        async def plays(edge: Edge, mine: list[str]) -> int:
            for number, path in enumerate(mine):
                if number == len(mine) // 3:
                    half.set()
                await watch(http, edge, path)
            return len(mine)

        watching = [asyncio.create_task(plays(edge, fresh)) for edge in world.edges for _ in range(5)]
        await half.wait()
        kill_whole(world.shields[0])
        assert await asyncio.gather(*watching) == [len(fresh)] * 10
        world.origin.origin.counts.clear()
        after = {path: home(await watch(http, world.edges[1], path)) for path in OBJECTS[4:]}
        assert all(said == "shield2" for said in after.values())
        moved = [path for path, said in after.items() if said != homes[path]]
        asked: Counter[str] = Counter(world.origin.origin.counts)
        assert sorted(asked) == sorted(moved)  # what the other shield had was there still
        assert all(homes[path] == "shield1" for path in moved)
