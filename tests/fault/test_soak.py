"""Hours of mixed load with evictions: memory, descriptors, files and disk use stay within their bounds."""

import asyncio
import os
import random
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.store.index import Index
from edge.words import KIB, MIB
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge

SIZE = 64 * MIB
PACK = 4 * MIB
FIXED = 8 * MIB  # index, journals, small files


@dataclass
class Seen:
    """Samples of one process: (seconds, KiB held for itself), and its descriptors."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def slope(self, since: float) -> float:
        """MiB an hour, by least squares over what was seen since then."""
        late = [(at, kib) for at, kib in self.memory if at >= since]
        return statistics.linear_regression(*zip(*late, strict=True)).slope * 3600 / 1024


def sample(pid: int, at: float, seen: Seen) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    seen.memory.append((at, int(status.partition("RssAnon:")[2].split()[0])))
    seen.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))


def deleted(pid: int) -> int:
    """Blocks of deleted packs that a process still has open."""
    total = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if ".pack (deleted)" in os.readlink(link):
                total += link.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def disk_use(cache: Path, pids: list[int]) -> int:
    """Blocks of all files of the cache, deleted ones as well; one may go while this looks."""
    total = max(deleted(pid) for pid in pids)
    for path in cache.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


class Load:
    """Half of it hot, half of it new: sizes from a playlist's to a segment's, some of them ranges."""

    def __init__(self, edge: Edge, pause: float) -> None:
        self._edge, self._pause = edge, pause
        self._rng = random.Random(7)
        self.number = self.good = 0

    async def run(self) -> None:
        rng = self._rng
        async with client() as http:
            while True:
                self.number += 1
                number = self.number if rng.random() < 0.5 else rng.randrange(50)
                size = 2 * KIB + (number * 7919) % (600 * KIB)
                path = f"/s/{size}/{number}.ts"
                start = rng.randrange(size) if rng.random() < 0.2 else 0
                fields = {"Range": f"bytes={start}-"} if start else {}
                async with http.get(self._edge.url + path, headers=fields) as got:
                    assert got.status == (206 if start else 200)
                    proven(path, await got.read(), start)
                    self.good += 1
                await asyncio.sleep(self._pause)


async def soak(tmp_path: Path, seconds: float, pause: float) -> dict[int, Seen]:
    cache = tmp_path / "c"
    seen: dict[int, Seen] = {}
    begun = time.monotonic()
    async with (
        describing_origin() as origin,
        running_edge(cache, origin.url, "--cache-size", str(SIZE), workers=1) as edge,
    ):
        pids = [edge.process.pid, *edge.children("worker"), *edge.children("keeper")]
        load = Load(edge, pause)
        most = 0
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(load.run()) for _ in range(6)]
            while time.monotonic() - begun < seconds:
                for pid in pids:
                    sample(pid, time.monotonic() - begun, seen.setdefault(pid, Seen()))
                most = max(most, await asyncio.to_thread(disk_use, cache, pids))
                await asyncio.sleep(1)
            for task in tasks:
                task.cancel()
        assert await edge.metric("edge_cache_evictions_total") > 0, "the load must have been more than the cache holds"
        assert most <= SIZE + 4 * PACK + FIXED, (
            "packs that a worker has not let go of yet count for a tenth of a second"
        )
        print(f"{load.good} requests, at most {most / MIB:.1f} MiB on disk")
    nothing_is_left_over(cache)
    return seen


def nothing_is_left_over(cache: Path) -> None:
    """Each pack has its journal, something in it, and is known; the index gives back what it does not need."""
    packs = {path.stem for path in (cache / "packs").glob("*.pack")}
    assert {path.stem for path in (cache / "packs").glob("*.journal")} == packs
    assert not list(cache.rglob("*.new"))
    (path,) = cache.glob("index-*")
    assert (path / "data.mdb").stat().st_blocks * 512 < FIXED
    index = Index(path, 0, readonly=True)
    placed = sum(bool(index.placed(int(stem))) for stem in packs)
    index.close()
    assert placed >= len(packs) - 1


@pytest.mark.timeout(180)
async def test_under_a_load_with_evictions_descriptors_and_disk_use_are_bounded(tmp_path: Path) -> None:
    seen = await soak(tmp_path, 12, 0.0)
    for process in seen.values():
        late = process.descriptors[6:]
        assert max(late) - min(late) <= 24
        assert process.memory[-1][1] < 200 * KIB


@pytest.mark.long
@pytest.mark.timeout(8000)
async def test_two_hours_of_load_with_evictions(tmp_path: Path) -> None:
    seen = await soak(tmp_path, 7200, 0.0)
    for pid, process in seen.items():
        slope = process.slope(1800)
        print(f"{pid}: {slope:.2f} MiB/h, {max(process.descriptors)} descriptors")
        assert slope <= 1.0
        late = process.descriptors[1800:]
        assert max(late) - min(late) <= 24
