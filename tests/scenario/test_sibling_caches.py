"""Two siblings of one data centre before an origin, as real processes: together they are one cache."""

import asyncio
from pathlib import Path

from edge.words import KIB
from tests.support.addresses import free_address
from tests.support.edgeproc import client, describing_origin, proven
from tests.support.tiers import kill_whole, node, upstream

SIZE = 60 * KIB
OBJECTS = [f"/s/{SIZE}/{number}.ts" for number in range(16)]


async def test_two_siblings_ask_the_origin_once_for_each_object_keep_it_once_and_outlive_each_other(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("dc1 " + "7" * 32)
    addresses = [free_address(), free_address()]
    async with describing_origin() as origin, client() as http:
        ways = [*(upstream(f"http://{address}", "sibling") for address in addresses), upstream(origin.url, "origin")]
        signs = f'[origin]\nkeys_file = "{keys}"\n'

        def of(number: int) -> dict[str, str]:
            return {"listen": addresses[number], "server": f'url = "http://{addresses[number]}"', "more": signs}

        async with node(tmp_path, "a", ways, **of(0)) as a, node(tmp_path, "b", ways, **of(1)) as b:

            async def watch(url: str, path: str) -> None:
                async with http.get(url + path) as got:
                    assert got.status == 200
                    proven(path, await got.read())

            # both at once: each of them hands on what the other one keeps, and neither goes round in circles
            await asyncio.gather(*(watch(edge.url, path) for path in OBJECTS for edge in (a, b)))
            counts = origin.origin.counts
            assert {path: counts[path] for path in OBJECTS} == dict.fromkeys(OBJECTS, 1)
            async with asyncio.timeout(15):  # the gauges are sampled now and then
                while sum(kept := [await edge.metric("edge_cache_objects") for edge in (a, b)]) < len(OBJECTS):
                    await asyncio.sleep(0.2)
            assert sum(kept) == len(OBJECTS)
            assert all(kept)
            kill_whole(b)
            counts.clear()
            for path in OBJECTS:
                await watch(a.url, path)
            assert sum(counts[path] for path in OBJECTS) == len(OBJECTS) - kept[0]  # only what the dead one had
