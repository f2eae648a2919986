"""A disk that takes seconds for each call: whoever does not need it is served as before, misses go another way.

Data, journals and index of a volume lie on it; the other volume's disk is well.
"""

import asyncio
from pathlib import Path

import pytest

from edge.words import MIB
from tests.fault.test_bad_disks import two_volumes
from tests.support.crashdisk import crashdisk, missing
from tests.support.edgeproc import client, describing_origin, running_edge
from tests.support.load import Load, Loads, homes, path_of, until, volume_of

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

HELD = [path_of(number, 60_000) for number in range(1_000_000, 1_000_040)]


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_a_disk_that_takes_seconds_for_each_write_holds_up_no_hit_and_fails_no_miss(tmp_path: Path) -> None:
    seconds = 2.0
    with crashdisk(tmp_path, 256 * MIB) as disk:
        slow, good = disk.mounted / "v", tmp_path / "good"
        async with (
            describing_origin() as origin,
            running_edge(
                None, origin.url, *two_volumes(slow, good, tmp_path, origin.url), workers=1, listen=False
            ) as edge,
        ):
            load = Load(edge, 1, HELD)
            async with client() as http:
                for path in HELD:
                    await load.ask(http, path)
            async with Loads(load):
                await until(lambda: load.good > 200, 60, "a load")
                await asyncio.to_thread(disk.slow, seconds, "write")
                hits, load.slowest_hit, begun = load.hits, 0.0, asyncio.get_running_loop().time()
                left = "objects live on:"
                await until(lambda: any(left in line for line in edge.lines), 120, "the slow volume is left")
                assert load.failed == []
                took = asyncio.get_running_loop().time() - begun
                assert load.hits > hits + 10
                assert load.slowest_hit < seconds, "what is in memory does not wait for the disk"
                members = homes([slow, good])
                assert {volume_of(path, members) for path in load.lost} <= {0}, "only what the slow volume had moves"
                at = load.good
                await until(lambda: load.good > at + 60, 30, "the load goes on")
                assert load.failed == []
                await asyncio.to_thread(disk.slow, 0.0)
            assert load.failed == []
            slowest = f"slowest hit {load.slowest_hit:.2f} s, slowest answer {load.slowest:.1f} s"
            print(f"left after {took:.1f} s, {load.good} requests, {load.hits} hits, {slowest}")
