"""Hours of mixed load with evictions: memory, descriptors, files and disk use stay within their bounds."""

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import pytest

from edge.store.index import Index
from edge.store.tables import TABLES
from edge.words import KIB, MIB
from tests.support.edgeproc import describing_origin, running_edge
from tests.support.viewers import Mixture, Viewers

SIZE = 64 * MIB
PACK = 4 * MIB
INDEX = 8 * MIB  # at most, of the objects of such a volume


@dataclass
class Seen:
    """Samples of one process: (seconds, KiB that no file backs), and its descriptors."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def slope(self, since: float) -> float:
        """MiB an hour, by least squares over what was seen since then."""
        late = [(at, kib) for at, kib in self.memory if at >= since]
        return statistics.linear_regression(*zip(*late, strict=True)).slope * 3600 / 1024


def sample(pid: int, at: float, seen: Seen) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    seen.memory.append((at, sum(int(status.partition(name)[2].split()[0]) for name in ("RssAnon:", "RssShmem:"))))
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


def disk_use(cache: Path) -> int:
    """Blocks of all files of the cache; one may go while this looks."""
    total = 0
    for path in cache.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def free_pages(cache: Path) -> int:
    """Pages of the index's file that no table uses."""
    (path,) = cache.glob("index-*")
    env = lmdb.open(str(path), readonly=True, max_dbs=16)
    try:
        used = 2  # the meta pages
        for table in (None, *TABLES):
            with env.begin() as txn:
                stat = txn.stat(env.open_db(table, txn, create=False)) if table else txn.stat()
            used += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(env.info()["last_pgno"]) + 1 - used
    finally:
        env.close()


@dataclass
class Soaked:
    """What was seen: of each process by its pid, the free pages of the index by the time, requests that were right."""

    processes: dict[int, Seen] = field(default_factory=dict)
    free: list[tuple[float, int]] = field(default_factory=list)
    good: int = 0


async def soak(tmp_path: Path, seconds: float, rate: float, new: float, *, deleted_packs: int) -> Soaked:
    """`rate` requests a second, `new` of them for what is in no cache yet; each answer is proven."""
    cache = tmp_path / "c"
    soaked = Soaked()
    begun = time.monotonic()
    async with (
        describing_origin() as origin,
        running_edge(cache, origin.url, "--cache-size", str(SIZE), workers=1) as edge,
    ):
        pids = edge.family()
        assert {*edge.children("worker"), *edge.children("keeper")} < set(pids)
        viewers = Viewers(edge.url, Mixture(7, new), rate)
        watching = asyncio.create_task(viewers.watch(seconds))
        most = gone = 0
        while not watching.done():
            at = time.monotonic() - begun
            for pid in pids:
                sample(pid, at, soaked.processes.setdefault(pid, Seen()))
            most = max(most, await asyncio.to_thread(disk_use, cache))
            gone = max(gone, max(deleted(pid) for pid in pids))
            soaked.free.append((at, await asyncio.to_thread(free_pages, cache)))
            await asyncio.sleep(1)
        await watching
        soaked.good = viewers.good
        assert await edge.metric("edge_cache_evictions_total") > 0, "the load must have been more than the cache holds"
        assert most <= SIZE + 2 * PACK
        assert gone <= deleted_packs * PACK, "deleted packs that somebody still sends from"
        print(f"{viewers.good} requests, at most {most / MIB:.1f} MiB on disk and {gone / MIB:.1f} of deleted packs")
    nothing_is_left_over(cache)
    return soaked


def nothing_is_left_over(cache: Path) -> None:
    """Each pack has its journal, something in it, and is known; the index gives back what it does not need."""
    packs = {path.stem for path in (cache / "packs").glob("*.pack")}
    assert {path.stem for path in (cache / "packs").glob("*.journal")} == packs
    assert not list(cache.rglob("*.new"))
    (path,) = cache.glob("index-*")
    assert (path / "data.mdb").stat().st_blocks * 512 < INDEX
    index = Index(path, 0, readonly=True)
    placed = sum(bool(index.placed(int(stem))) for stem in packs)
    index.close()
    assert placed >= len(packs) - 1


@pytest.mark.timeout(180)
async def test_under_a_load_with_evictions_descriptors_and_disk_use_are_bounded(tmp_path: Path) -> None:
    soaked = await soak(tmp_path, 12, 600, 0.15, deleted_packs=4)  # other tests take the cores
    assert soaked.good > 0
    for process in soaked.processes.values():
        late = process.descriptors[6:]
        assert max(late) - min(late) <= 24
        assert max(late) <= 90, "16 players, some 18 packs, a pipe and a link for each process"
        assert process.memory[-1][1] < 200 * KIB
        assert process.memory[-1][1] - process.memory[6][1] < 16 * KIB
    assert max(free for _, free in soaked.free) < 500, "pages of the index that an old look at it has kept from use"


@pytest.mark.long
@pytest.mark.timeout(8000)
async def test_two_hours_of_load_with_evictions(tmp_path: Path) -> None:
    """At 2,000 requests a second; the first half hour warms up."""
    seconds, rate = 7200, 2000
    soaked = await soak(tmp_path, seconds, rate, 0.015, deleted_packs=2)
    assert soaked.good > 0.98 * seconds * rate
    for pid, process in soaked.processes.items():
        slope = process.slope(1800)
        late = process.descriptors[1800:]
        print(
            f"{pid}: {slope:.2f} MiB/h, {min(late)} to {max(late)} descriptors, {process.memory[-1][1]} KiB at the end"
        )
        assert slope <= 1.0
        assert max(late) - min(late) <= 24
    first, last = (
        max(free for at, free in soaked.free if begin <= at < begin + 900) for begin in (1800, seconds - 900)
    )
    print(f"free pages of the index: at most {first} in the third quarter of an hour, {last} in the last")
    assert last <= 1.25 * first + 64
