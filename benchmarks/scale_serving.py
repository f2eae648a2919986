"""What players notice of a rebuild: hits, misses and how soon these are stored, during it and after it.

A whole edge is started on a volume of many objects that has no index, and answers before it knows them. While a builder
makes a new one, some connections ask for objects from memory, others for new ones; whoever has got a new one asks for
it again at once, which is a hit as soon as its commit is done. The same load once more when the index is complete; then
the edge is ended and started again with the index that it has. Starts are those of `edge serve` as a whole, beside the
same with an empty cache; memory is what a process holds for itself.

    python -m benchmarks.scale_serving [--records 2000000] [--pause 0.01] [--json FILE]
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from benchmarks.bench import Server, edge, edge_processes, fetch, machine, origin, scratch_directory
from benchmarks.scale import SEGMENT, write_journals
from edge.words import KIB

HOT = 50
HITS, MISSES = 4, 2  # connections
AFTER_SECONDS = 10.0
NEW = 64 * KIB


class Players:
    """Milliseconds of each kind of answer."""

    def __init__(self, url: str, pause: float) -> None:
        self._url, self._pause, self._number = url, pause, 0
        self.hit: list[float] = []
        self.miss: list[float] = []
        self.again: list[float] = []
        self.late = 0  # asked for again at once, and not a hit yet

    async def ask(self, http: aiohttp.ClientSession, path: str, times: list[float]) -> str:
        begun = time.perf_counter()
        async with http.get(self._url + path) as got:
            await got.read()
            got.raise_for_status()
            times.append((time.perf_counter() - begun) * 1000)
            return got.headers["X-Cache"]

    async def keep_asking(self, http: aiohttp.ClientSession, first: int) -> None:
        at = first
        while True:
            await self.ask(http, f"/s/2000/hot-{at % HOT}.ts", self.hit)
            at += 1
            await asyncio.sleep(self._pause)

    async def keep_missing(self, http: aiohttp.ClientSession, name: str) -> None:
        while True:
            self._number += 1
            path = f"/s/{NEW}/{name}-{self._number}.ts"
            await self.ask(http, path, self.miss)
            self.late += await self.ask(http, path, self.again) != "HIT"
            await asyncio.sleep(self._pause)

    def figures(self, when: str) -> dict[str, float]:
        found: dict[str, float] = {f"{when}_not_a_hit_at_once": self.late}
        for name, took in (("hit", self.hit), ("miss", self.miss), ("again", self.again)):
            cuts = statistics.quantiles(took, n=100)
            found |= {f"{when}_{name}_p50_ms": cuts[49], f"{when}_{name}_p99_ms": cuts[98]}
            found |= {f"{when}_{name}_most_ms": max(took), f"{when}_{name}_count": len(took)}
        return found


async def cold(admin: str) -> bool:
    async with aiohttp.ClientSession() as http, http.get(admin + "/metrics") as got:
        text = await got.text()
    return any(line.startswith("edge_cache_cold{") and line.endswith(" 1.0") for line in text.splitlines())


async def play(url: str, admin: str, pause: float) -> dict[str, float]:
    """During the rebuild, then after it."""
    found: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        for at in range(HOT):
            await Players(url, pause).ask(http, f"/s/2000/hot-{at}.ts", [])
        for when in ("during", "after"):
            players, begun = Players(url, pause), time.monotonic()
            tasks = [asyncio.create_task(players.keep_asking(http, at)) for at in range(HITS)]
            tasks += [asyncio.create_task(players.keep_missing(http, f"{when}-{at}")) for at in range(MISSES)]
            while (await cold(admin)) if when == "during" else (time.monotonic() - begun < AFTER_SECONDS):
                await asyncio.sleep(0.5)
            found[f"{when}_s"] = time.monotonic() - begun
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            found |= players.figures(when)
    return found


def memory(server: Server) -> dict[str, float]:
    """MiB of its processes that no file backs."""
    found: dict[str, float] = {}
    for pid in edge_processes(server.process.pid):
        status = Path(f"/proc/{pid}/status").read_text()
        kind = status.partition("Name:")[2].split()[0].split("-")[1]
        found[f"{kind}_MiB"] = found.get(f"{kind}_MiB", 0.0) + int(status.partition("RssAnon:")[2].split()[0]) / 1024
    return found


@contextmanager
def started(directory: Path, origin_url: str, size: int, found: dict[str, float], when: str) -> Iterator[Server]:
    """A running edge; notes how long it was from its command to an answer."""
    begun = time.monotonic()
    with edge(directory, origin_url, "--cache-size", str(size), core=None) as server:
        fetch(server.url + f"/s/2000/{when}.ts")
        found[f"start_{when}_s"] = time.monotonic() - begun
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two requests of a connection")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    size = args.records * SEGMENT * 2
    found: dict[str, float] = {}
    with scratch_directory() as scratch, origin(core=None) as url:
        with started(scratch / "empty", url, size, found, "empty"):
            pass
        directory = scratch / "e"
        directory.mkdir()
        write_journals(directory, args.records)
        with started(directory, url, size, found, "without_index") as server:
            found |= asyncio.run(play(server.url, server.admin, args.pause))  # type: ignore[attr-defined]
            found["rebuilt_per_s"] = args.records / found["during_s"]
            found |= {f"rebuilt_{name}": held for name, held in memory(server).items()}
        with started(directory, url, size, found, "with_index") as server:
            found |= {f"started_{name}": held for name, held in memory(server).items()}
    for key, value in found.items():
        print(f"{key:28}{value:12,.2f}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "records": args.records, "found": found}, indent=1))


if __name__ == "__main__":
    main()
