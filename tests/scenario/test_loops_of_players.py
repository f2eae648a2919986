"""A player that names nodes in CDN-Loop, an edge, a shield that refuses for them, and players beside it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.edgeproc import Edge, client, describing_origin, proven
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Fault, Late, Seen
from tests.support.tiers import node, upstream

SIZE = 100_000
PLAYERS = 6


def late(seen: Seen) -> tuple[Fault, ...]:
    """As far as a shield is: what others ask for meanwhile waits for the first one's answer."""
    return (Late(0.3),)


async def watch(http: aiohttp.ClientSession, edge: Edge, path: str) -> int:
    async with http.get(edge.url + path) as got:
        body = await got.read()
        if got.status == 200:
            proven(path, body)
            assert len(body) == SIZE
        return got.status


@pytest.mark.parametrize("named", ["shield", "a, b, c, d, e, f, g, h"])
async def test_a_shield_that_refuses_one_player_refuses_nobody_beside_it(tmp_path: Path, named: str) -> None:
    async with (
        describing_origin() as origin,
        node(tmp_path, "shield", [upstream(origin.url, "origin")]) as shield,
        FaultProxy(shield.url, late) as between,
        node(tmp_path, "edge", [upstream(between.url, "shield")]) as edge,
        client() as http,
    ):
        path = f"/s/{SIZE}/a.ts"
        evil = asyncio.create_task(http.get(edge.url + path, headers={"CDN-Loop": named}))
        async with asyncio.timeout(10):
            while not between.seen:
                await asyncio.sleep(0.001)
        assert await asyncio.gather(*(watch(http, edge, path) for _ in range(PLAYERS))) == [200] * PLAYERS
        async with await evil as got:
            assert got.status == 508
        assert len(between.seen) == 2
        assert origin.origin.counts[path] == 1
