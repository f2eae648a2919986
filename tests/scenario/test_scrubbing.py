"""A running edge finds what went bad where nobody looks."""

import asyncio
from pathlib import Path

import pytest

from edge.words import KIB
from tests.fault.test_bit_rot import flip, pack_of, stored
from tests.scenario.test_cold_and_odd import drop_pages
from tests.scenario.test_reload import reload
from tests.support.edgeproc import client, describing_origin, proven, running_edge

PATHS = [f"/s/{300 * KIB + number}/{number}.ts" for number in range(8)]


@pytest.mark.parametrize("reloaded", [False, True])
async def test_a_flipped_bit_that_nobody_asks_for_is_found_in_a_pass_and_fetched_again_on_demand(
    tmp_path: Path, reloaded: bool
) -> None:
    """`reloaded`: the rate at which it is read is none at the start, and given to the running edge."""
    cache, config = tmp_path / "c", tmp_path / "edge.toml"
    reads, none = '[scrub]\nrate = "100MB"\nfirst = "1s"\n', "[scrub]\nrate = 0\n"
    config.write_text(none if reloaded else reads)
    async with describing_origin() as origin, client() as http:

        async def ask(url: str, path: str) -> None:
            async with http.get(url + path) as got:
                assert got.status == 200
                proven(path, await got.read())

        async with running_edge(cache, origin.url, workers=1) as edge:
            for path in PATHS:
                await ask(edge.url, path)
        bad = next(found for found in stored(cache) if found.path == PATHS[3])
        extent = bad.extents[-1]
        flip(pack_of(cache, extent), extent.offset + extent.length // 2, 5)
        drop_pages(cache)
        async with running_edge(cache, origin.url, "--config", str(config), workers=1) as edge:
            if reloaded:
                config.write_text(reads)
                await reload(edge)
            async with asyncio.timeout(30):
                while await edge.metric("edge_scrub_passes") < 1:
                    await asyncio.sleep(0.1)
                while await edge.metric("edge_scrub_progress_ratio") < 1:
                    await asyncio.sleep(0.1)
                while await edge.metric('edge_cache_corrupt_total{reason="corrupt"}') < 1:
                    await asyncio.sleep(0.1)
                while await edge.metric('edge_scrub_findings_total{volume="cache"}') < 1:
                    await asyncio.sleep(0.1)
            assert await edge.metric("edge_scrub_findings_total") == 1
            assert await edge.metric("edge_cache_corrupt_total") == 1, "counted by its reason, and by no other"
            bodies = sum(int(path.split("/")[2]) for path in PATHS)
            assert bodies < await edge.metric("edge_scrub_read_bytes_total") < bodies + 64 * KIB, "and a journal"
            asked = {path: origin.origin.counts[path] for path in PATHS}
            assert set(asked.values()) == {1}, "a pass fetches nothing"
            for path in PATHS:
                await ask(edge.url, path)
            assert origin.origin.counts == {**asked, PATHS[3]: 2}, "its head is still there, its body comes again"
            assert await edge.metric("edge_cache_corrupt_total") == 1, "nobody has met it again"
            assert await edge.metric("edge_scrub_findings_total") == 1
