"""Two siblings before a shield before an origin, as real processes: each counts its bytes under who they came from."""

import asyncio
import json
from pathlib import Path

import aiohttp

from edge.words import KIB, MIB
from tests.support.addresses import free_address
from tests.support.edgeproc import Edge, client, describing_origin, proven
from tests.support.tiers import kill_whole, node, upstream

SIZE = 60 * KIB
OBJECTS = [f"/s/{SIZE}/{number}.ts" for number in range(24)]
LENGTH = 40 * MIB
FILM = f"/s/{LENGTH}/film.mp4"


async def watch(http: aiohttp.ClientSession, edge: Edge, path: str, **fields: str) -> int:
    """One request; its body is right to the last byte. Returns how long it was."""
    async with http.get(edge.url + path, headers=fields) as got:
        assert got.status in (200, 206)
        body = await got.read()
        start = int(got.headers.get("Content-Range", "bytes 0-").partition(" ")[2].partition("-")[0])
        proven(path, body, start)
        return len(body)


async def told(edge: Edge, family: str) -> dict[tuple[str, str], int]:
    """A family's series that are not 0: what answers were, and the tier, to the count."""
    async with aiohttp.ClientSession() as session, session.get(edge.admin + "/metrics") as got:
        lines = [line for line in (await got.text()).splitlines() if line.startswith(family + "{")]
    found: dict[tuple[str, str], int] = {}
    for line in lines:
        labels = dict(pair.split("=") for pair in line[len(family) + 1 : line.index("}")].replace('"', "").split(","))
        what = labels.get("status") or labels["status_group"]
        found[what, labels["tier"]] = int(float(line.rpartition(" ")[2]))
    return {key: count for key, count in found.items() if count}


async def until_told(edge: Edge, family: str, wanted: dict[tuple[str, str], int]) -> None:
    """An answer is counted a moment after its last byte has been read."""
    for _ in range(100):
        if (found := await told(edge, family)) == wanted:
            return
        await asyncio.sleep(0.05)
    assert found == wanted


async def test_bytes_requests_and_first_bytes_are_counted_under_who_they_came_from(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("dc1 " + "7" * 32)
    addresses = [free_address(), free_address()]
    requests, sent = "edge_cache_requests_total", "edge_cache_response_bytes_total"
    async with describing_origin() as origin, node(tmp_path, "s", [upstream(origin.url, "origin")]) as shield:
        ways = [*(upstream(f"http://{address}", "sibling") for address in addresses), upstream(shield.url, "shield")]
        ways.append(upstream(origin.url, "origin"))
        signs = f'[origin]\nkeys_file = "{keys}"\n'

        def of(number: int) -> dict[str, str]:
            return {"listen": addresses[number], "server": f'url = "http://{addresses[number]}"', "more": signs}

        async with client() as http, node(tmp_path, "a", ways, **of(0)) as a, node(tmp_path, "b", ways, **of(1)) as b:
            for path in OBJECTS:
                await watch(http, a, path)
            theirs = (await told(b, requests)).get(("miss", "shield"), 0)
            ours = len(OBJECTS) - theirs
            assert theirs
            assert ours
            await until_told(b, sent, {("miss", "shield"): theirs * SIZE})
            await until_told(shield, sent, {("miss", "origin"): len(OBJECTS) * SIZE})
            counted = {("miss", "shield"): ours, ("miss", "sibling"): theirs}
            await until_told(a, requests, counted)
            await until_told(a, sent, {key: count * SIZE for key, count in counted.items()})
            await until_told(a, "edge_http_ttfb_seconds_count", counted)
            kill_whole(shield)
            fresh = [f"/s/{SIZE}/late{number}.ts" for number in range(24)]
            for path in fresh:
                await watch(http, a, path)
            async with asyncio.timeout(10):
                while sum((after := await told(a, requests)).values()) < len(OBJECTS) + len(fresh):
                    await asyncio.sleep(0.05)
            assert after["miss", "shield"] == ours
            assert after["miss", "origin"] + after["miss", "sibling"] - theirs == len(fresh)


async def test_of_an_answer_begun_from_the_volume_the_missing_bytes_count_as_the_shields(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        node(tmp_path, "s", [upstream(origin.url, "origin")]) as shield,
        node(tmp_path, "e", [upstream(shield.url, "shield")]) as edge,
        client() as http,
    ):
        sent, requests = "edge_cache_response_bytes_total", "edge_cache_requests_total"
        assert await watch(http, edge, FILM, Range=f"bytes=0-{2 * MIB - 1}") == 2 * MIB
        await until_told(edge, sent, {("miss", "shield"): 2 * MIB})
        assert await watch(http, edge, FILM) == LENGTH
        stored = 2 * MIB
        await until_told(
            edge,
            sent,
            {("miss", "shield"): 2 * MIB, ("hit", "volume"): stored, ("hit", "shield"): LENGTH - stored},
        )
        await until_told(edge, requests, {("miss", "shield"): 1, ("hit", "volume"): 1})
        assert await watch(http, edge, FILM) == LENGTH
        await until_told(
            edge,
            sent,
            {("miss", "shield"): 2 * MIB, ("hit", "volume"): stored + LENGTH, ("hit", "shield"): LENGTH - stored},
        )
        async with asyncio.timeout(10):
            while len(lines := (tmp_path / "e.log").read_text().splitlines()) < 2:  # it is written in batches
                await asyncio.sleep(0.05)
        line = json.loads(lines[1])
        assert (line["cache_status"], line["tier"]) == ("hit", "volume")
        assert line["upstream_addr"] == shield.url.removeprefix("http://")
