"""Stale answers are renewed behind the clients, once for all workers, and nobody waits for it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.edgeproc import running_edge
from tests.support.rawserver import Asked, RawServer, Wire

OLD = b'HTTP/1.1 200 OK\r\nCache-Control: max-age=10, stale-while-revalidate=600\r\nAge: 20\r\nETag: "1"\r\n'
NEW = b'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: "2"\r\n'
CONNECTIONS, WORKERS = 60, 4


@pytest.mark.parametrize("profile", ["video", "rfc9111"])
async def test_one_refresh_at_a_time_for_all_workers_and_no_client_or_connection_waits_for_it(
    tmp_path: Path, profile: str
) -> None:
    may_renew = asyncio.Event()

    async def slowly(asked: Asked, wire: Wire) -> None:
        if "if-none-match" not in asked.fields:
            await wire.send(OLD + b"Content-Length: 3\r\n\r\nold")
            return
        await may_renew.wait()
        await wire.send(NEW + b"Content-Length: 3\r\n\r\nnew")

    async def plays(url: str) -> list[tuple[bytes, str]]:
        """One client on a connection of its own, three times in a row."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
            got = []
            for _ in range(3):
                async with http.get(url) as answer:
                    got.append((await answer.read(), answer.headers["X-Cache"]))
            return got

    async with (
        RawServer(slowly) as origin,
        running_edge(tmp_path, origin.url, "--profile", profile, workers=WORKERS) as edge,
    ):
        url = edge.url + "/a.ts"
        async with asyncio.timeout(60):
            assert (await plays(url))[0] == (b"old", "MISS")
            got = await asyncio.gather(*(plays(url) for _ in range(CONNECTIONS)))
            assert [entry for each in got for entry in each] == [(b"old", "UPDATING")] * 3 * CONNECTIONS
            assert [asked.fields.get("if-none-match") for asked in origin.asked] == [None, '"1"']
            may_renew.set()
            while (await plays(url))[-1] != (b"new", "HIT"):
                await asyncio.sleep(0.05)
        assert len(origin.asked) == 2
