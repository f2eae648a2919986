"""An edge before two shields, as real processes: what they hand on of their origin, and what is their own failure."""

import asyncio
import socket
from collections import defaultdict
from pathlib import Path

from tests.support.edgeproc import Edge, client
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.tiers import node, upstream

BODY = bytes(range(256)) * 40
MISSES = 12
TRIES = 3  # a shield's: one and two retries


def ways(shields: list[Edge], origin: str) -> list[str]:
    return [*(upstream(shield.url, "shield") for shield in shields), upstream(origin, "origin")]


async def test_an_origins_503_comes_through_one_shield_and_is_asked_for_nowhere_else(tmp_path: Path) -> None:
    """It opened the shields' breakers, so that the edge asked the other shield and the origin itself: nine for one."""
    down = True

    async def script(asked: Asked, wire: Wire) -> None:
        if down:
            await wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        else:
            await wire.send(answer(asked, BODY))

    async with (
        RawServer(script) as origin,
        node(tmp_path, "shield1", [upstream(origin.url, "origin")]) as one,
        node(tmp_path, "shield2", [upstream(origin.url, "origin")]) as other,
        node(tmp_path, "edge", ways([one, other], origin.url)) as edge,
        client() as http,
    ):
        homes: dict[str, str] = {}
        for number in range(MISSES):
            async with http.get(f"{edge.url}/{number}.ts") as got:
                assert got.status == 503
                said = ", ".join(got.headers.getall("Cache-Status"))
                assert said.count("fwd-status=503") == 2
                homes[f"/{number}.ts"] = "shield1" if "shield1" in said else "shield2"
        assert set(homes.values()) == {"shield1", "shield2"}
        passed = defaultdict(list)
        for asked in origin.asked:
            passed[asked.target].append(asked.fields["cdn-loop"])
        for target, home in homes.items():
            assert 1 <= len(passed[target]) <= TRIES
            assert all(home in loop for loop in passed[target])
        assert not any("is away" in line for line in edge.lines)
        down = False
        for number in range(MISSES):
            async with http.get(f"{edge.url}/{number}.ts") as got:
                assert (got.status, await got.read()) == (200, BODY)
                assert homes[f"/{number}.ts"] in str(got.headers.getall("Cache-Status"))


async def test_a_shield_that_does_not_reach_its_origin_is_passed_by(tmp_path: Path) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY))

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        nowhere = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with (
            RawServer(script) as origin,
            node(tmp_path, "shield1", [upstream(nowhere, "origin")]) as one,
            node(tmp_path, "shield2", [upstream(nowhere, "origin")]) as other,
            node(tmp_path, "edge", ways([one, other], origin.url)) as edge,
            client() as http,
        ):
            for number in range(MISSES):
                async with http.get(f"{edge.url}/{number}.ts") as got:
                    assert (got.status, await got.read()) == (200, BODY)
            async with asyncio.timeout(20):
                while not any("breaker open" in line and "502" in line for line in edge.lines):
                    await asyncio.sleep(0.05)
