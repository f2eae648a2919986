"""Nodes that are named as each other's upstream by mistake, as real processes: a request goes round once and ends."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.addresses import free_address
from tests.support.edgeproc import Edge, client, describing_origin
from tests.support.tiers import node, upstream

PATH = "/s/1000/a.ts"


async def status(http: aiohttp.ClientSession, edge: Edge, path: str = PATH) -> int:
    async with http.get(edge.url + path) as got:
        await got.read()
        return got.status


async def has_answered(edge: Edge, requests: int) -> None:
    """So many and no more; they are counted a moment later."""
    async with asyncio.timeout(10):
        while (counted := await edge.metric("edge_http_requests_total{")) < requests:
            await asyncio.sleep(0.05)
    assert counted == requests


async def test_two_nodes_that_ask_each_other_end_it_when_a_request_is_back(tmp_path: Path) -> None:
    """The first one's flight waits for the second one, whose request must not wait for that flight."""
    address = free_address()
    async with (
        node(tmp_path, "far", [upstream(f"http://{address}", "shield")]) as far,
        node(tmp_path, "near", [upstream(far.url, "shield")], listen=address) as near,
        client() as http,
    ):
        assert await status(http, near) == 508
        await has_answered(near, 2)
        await has_answered(far, 1)


async def test_a_node_that_asks_itself_ends_it_at_once(tmp_path: Path) -> None:
    address = free_address()
    async with (
        node(tmp_path, "alone", [upstream(f"http://{address}", "shield")], listen=address) as alone,
        client() as http,
    ):
        assert await status(http, alone) == 508
        await has_answered(alone, 2)


@pytest.mark.long
async def test_more_caches_in_a_row_than_a_node_allows_are_a_loop_whatever_their_names(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        node(tmp_path, "last", [upstream(origin.url, "origin")], server="max_hops = 2") as last,
        node(tmp_path, "third", [upstream(last.url, "shield")]) as third,
        node(tmp_path, "second", [upstream(third.url, "shield")]) as second,
        node(tmp_path, "first", [upstream(second.url, "shield")]) as first,
        client() as http,
    ):
        assert await status(http, first) == 508
        assert origin.origin.counts[PATH] == 0
        assert await status(http, second) == 200
        assert origin.origin.counts[PATH] == 1
