"""When nothing behind the edge answers: what it has is served, what it has not fails in time, and it recovers."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest

from edge.words import KIB, MIB
from tests.support.edgeproc import Edge, client
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.tiers import node, upstream

BODY = bytes(range(256)) * 40
CONNECTIONS = 8
LIMITS = f"""[origin]
connect_timeout = "1s"
first_byte_timeout = "1s"
total_first_byte = "2500ms"
max_connections = {CONNECTIONS}
queue = 64
queue_timeout = "500ms"
"""
PLAYERS = 200
FEW = 8  # descriptors: files of the store that come and go


class Failing:
    """An origin that is well until `how` says otherwise: silent, reset, 503."""

    def __init__(self) -> None:
        self.how = ""
        self.open = self.open_most = 0

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        try:
            match self.how:
                case "silent":
                    await wire.reader.read()
                case "reset":
                    wire.reset()
                case "503":
                    await wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                case _:
                    age = 0 if asked.target in ("/stale.ts", "/strict.ts") else 3600
                    strict = ", must-revalidate" if asked.target == "/strict.ts" else ""
                    kept = f"Cache-Control: max-age={age}, stale-if-error=3600{strict}"
                    raw = answer(asked, BODY)
                    await wire.send(raw.replace(b"\r\n", b"\r\n" + kept.encode() + b"\r\n", 1))
        finally:
            self.open -= 1


def resident(edge: Edge) -> int:
    """Bytes of all its children."""
    total = 0
    for pid in (*edge.children("worker"), *edge.children("keeper")):
        line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        total += int(line.split()[1]) * KIB
    return total


def descriptors(edge: Edge) -> int:
    """Of its keepers: what a player's connection takes is a worker's."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in edge.children("keeper"))


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, str, str, bytes]:
    async with asyncio.timeout(10), http.get(url) as got:  # players give up after 10 s
        return got.status, got.headers.get("X-Cache", ""), got.headers["Cache-Status"], await got.read()


@pytest.mark.parametrize("how", ["silent", "reset", "503"])
async def test_hits_and_stale_go_on_misses_fail_in_time_nothing_piles_up_and_recovery_is_at_once(
    tmp_path: Path, how: str
) -> None:
    origin = Failing()
    async with (
        RawServer(origin) as raw,
        node(tmp_path, "edge", [upstream(raw.url, "origin")], more=LIMITS) as edge,
        client() as http,
    ):
        for path in ("/hit.ts", "/stale.ts", "/strict.ts"):
            assert (await get(http, edge.url + path))[0] == 200
        before, held, held_most = resident(edge), descriptors(edge), 0
        origin.how = how
        misses = [asyncio.create_task(get(http, f"{edge.url}/{number}.ts")) for number in range(PLAYERS)]
        served = 0
        while not all(miss.done() for miss in misses):
            status, x_cache, _, body = await get(http, edge.url + "/hit.ts")
            assert (status, x_cache, body) == (200, "HIT", BODY)
            served += 1
            held_most = max(held_most, descriptors(edge))
        assert served > 1
        status, x_cache, _, body = await get(http, edge.url + "/stale.ts")
        assert (status, x_cache, body) == (200, "STALE", BODY)
        assert (await get(http, edge.url + "/strict.ts"))[0] in (502, 503, 504), "its origin forbids to serve it stale"
        for status, _, said, _ in await asyncio.gather(*misses):
            assert status in (502, 503, 504)
            assert "detail=" in said or (how == "503" and "fwd-status=503" in said)  # its own answer is handed on
        assert origin.open_most <= CONNECTIONS
        assert held_most <= held + CONNECTIONS + FEW
        assert resident(edge) - before < 32 * MIB
        async with asyncio.timeout(10):  # gauges are renewed each second
            while await edge.metric('edge_upstream_connections{upstream="origin",state="waiting"') != 0:
                await asyncio.sleep(0.1)
        origin.how = ""
        for path in ("/new.ts", "/0.ts", "/stale.ts", "/strict.ts"):  # the first request after it is back
            status, x_cache, _, body = await get(http, edge.url + path)
            assert (status, body) == (200, BODY)
            assert x_cache != "STALE"
