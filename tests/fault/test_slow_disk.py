"""A disk that takes seconds for each call: whoever does not need it is served as before, misses go another way.

Data, journals and index of a volume lie on it; the other volume's disk is well.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.store.residency import Residency
from edge.words import MIB
from tests.fault.test_bad_disks import two_volumes
from tests.support.crashdisk import Crashdisk, crashdisk, missing
from tests.support.edgeproc import Edge, client, describing_origin, running_edge
from tests.support.load import Load, Loads, homes, path_of, until, volume_of

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

HELD = [path_of(number, 60_000) for number in range(1_000_000, 1_000_040)]


@pytest.mark.skipif(not Residency().works, reason="this kernel does not tell what is in memory")
async def test_names_that_are_looked_up_on_a_slow_disk_hold_up_no_hit_from_memory(tmp_path: Path) -> None:
    seconds, count = 0.5, 8
    paths = [path_of(number, 3000) for number in range(400)]
    with crashdisk(tmp_path, 128 * MIB) as disk:
        (tmp_path / "edge.toml").write_text(f'[cache]\nindex_dir = "{disk.mounted}"\n')
        more = ("--config", str(tmp_path / "edge.toml"))
        async with describing_origin() as origin, client() as http:
            async with running_edge(tmp_path / "c", origin.url, *more, workers=1) as edge:
                load = Load(edge, 1)
                for path in paths:
                    await load.ask(http, path)
            await asyncio.to_thread(disk.forget, next(disk.mounted.rglob("data.mdb")))
            async with running_edge(tmp_path / "c", origin.url, *more, workers=1) as edge:
                hot, cold = Load(edge, 1, paths[:1]), Load(edge, 2)
                assert await hot.ask(http, paths[0]) == "HIT"
                await asyncio.to_thread(disk.slow, seconds, "read")
                async with Loads(hot, count=0):
                    for path in random.Random(3).sample(paths[1:], count):
                        assert await cold.ask(http, path) == "HIT"
                await asyncio.to_thread(disk.slow, 0.0)
                assert hot.failed == []
                assert cold.slowest >= seconds, "the index was in memory: nothing has been shown"
                assert hot.hits > 10
                assert hot.slowest_hit < seconds

                async def counted() -> bool:
                    return await edge.metric("edge_cache_cold_lookups_total") >= count

                await until(counted, 20, "look-ups in a thread are counted")


@pytest.mark.parametrize("seconds", [2.0, 5.0])
@pytest.mark.long
@pytest.mark.timeout(240)
async def test_a_disk_that_takes_seconds_for_each_write_is_left_and_fails_nobody(
    tmp_path: Path, seconds: float
) -> None:
    async with slow_and_good(tmp_path) as slow:
        load = slow.load
        took = await slow.write_slowly(seconds, until_left=120)
        members = homes([slow.slow, slow.good])
        assert {volume_of(path, members) for path in load.lost} <= {0}, "only what the slow volume had moves"
        at = load.good
        await until(lambda: load.good > at + 60, 30, "the load goes on")
        assert load.failed == []
        slowest = f"slowest hit {load.slowest_hit:.2f} s, slowest answer {load.slowest:.1f} s"
        print(f"left after {took:.1f} s, {load.good} requests, {load.hits} hits, {slowest}")


async def test_a_disk_that_takes_a_second_for_each_write_holds_up_no_hit_and_fails_no_miss(tmp_path: Path) -> None:
    async with slow_and_good(tmp_path) as slow:
        await slow.write_slowly(1.0, until_left=0)


@dataclass
class SlowAndGood:
    """Two volumes under load, one of them on a disk that may become slow."""

    disk: Crashdisk
    edge: Edge
    load: Load
    slow: Path
    good: Path

    async def write_slowly(self, seconds: float, *, until_left: float) -> float:
        """Each write takes so long, until its volume is left or the load has gone on for a while; how long it was."""
        load = self.load
        await asyncio.to_thread(self.disk.slow, seconds, "write")
        hits, load.slowest_hit, begun = load.hits, 0.0, asyncio.get_running_loop().time()
        if until_left:
            left = "objects live on:"
            await until(lambda: any(left in line for line in self.edge.lines), until_left, "the slow volume is left")
        else:
            at = load.good
            await until(lambda: load.good > at + 60 and load.hits > hits + 100, 60, "the load goes on")
        assert load.failed == []
        assert load.hits > hits + 10
        assert load.slowest_hit < seconds, "what is in memory does not wait for the disk"
        return asyncio.get_running_loop().time() - begun


@asynccontextmanager
async def slow_and_good(directory: Path) -> AsyncIterator[SlowAndGood]:
    with crashdisk(directory, 256 * MIB) as disk:
        slow, good = disk.mounted / "v", directory / "good"
        async with (
            describing_origin() as origin,
            running_edge(
                None, origin.url, *two_volumes(slow, good, directory, origin.url), workers=1, listen=False
            ) as edge,
        ):
            load = Load(edge, 1, HELD)
            async with client() as http:
                for path in HELD:
                    await load.ask(http, path)
            async with Loads(load):
                await until(lambda: load.good > 200, 60, "a load")
                try:
                    yield SlowAndGood(disk, edge, load, slow, good)
                finally:  # or a keeper that is to end waits for what has not been written yet, for minutes
                    await asyncio.to_thread(disk.slow, 0.0)
            assert load.failed == []
