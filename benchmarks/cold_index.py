"""What a cold index costs the others: event-loop stall and hits from memory while names are looked up on a slow disk.

One worker. The index lies on a disk that takes some milliseconds for each read (`tests.support.crashdisk`; needs root),
the bodies on the machine's. The server is started with none of the index in memory; connections ask for stored objects
at random, another one for a hot object. With D7 (who would wait for the disk is looked up in a thread first) and, for
comparison, without (the index counts as being in memory).

    python -m benchmarks.cold_index [--seconds 5] [--readers 8] [--read-ms 10] [--objects 6000]
"""

import argparse
import asyncio
import os
import random
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.bench import edge, machine, origin, scratch_directory
from benchmarks.cold_read import bound, lag_buckets
from edge.words import MIB
from tests.support.crashdisk import Crashdisk, crashdisk, missing

FILLERS = 16
HOT_PAUSE = 0.005


def path_of(number: int) -> str:
    return f"/s/2000/name-{number}.ts"


async def fill(url: str, objects: int) -> None:
    numbers = iter(range(objects))
    async with aiohttp.ClientSession() as http:

        async def one() -> None:
            for number in numbers:
                async with http.get(url + path_of(number)) as got:
                    await got.read()

        await asyncio.gather(*(one() for _ in range(FILLERS)))


async def load(url: str, seconds: float, readers: int, objects: int) -> tuple[list[float], list[float]]:
    """(milliseconds of hits from memory, of stored objects that are asked for at random)."""
    hot: list[float] = []
    cold: list[float] = []
    until, rng = time.monotonic() + seconds, random.Random(1)
    async with aiohttp.ClientSession() as http:

        async def ask(path: str, times: list[float]) -> None:
            begun = time.perf_counter()
            async with http.get(url + path) as got:
                await got.read()
                if got.headers["X-Cache"] != "HIT":
                    sys.exit(f"{path} is not stored")
            times.append((time.perf_counter() - begun) * 1000)

        async def read() -> None:
            while time.monotonic() < until:
                await ask(path_of(rng.randrange(objects)), cold)

        async def ask_hot() -> None:
            while time.monotonic() < until:
                await ask(path_of(0), hot)
                await asyncio.sleep(HOT_PAUSE)

        await ask(path_of(0), [])
        await asyncio.gather(ask_hot(), *(read() for _ in range(readers)))
    return sorted(hot), sorted(cold)


def measure(directory: Path, disk: Crashdisk, url: str, args: argparse.Namespace, *, without: bool) -> None:
    """Fill, stop, forget the index, start, ask."""
    os.environ["EDGE_ASSUME_RESIDENT"] = "1" if without else ""
    config = directory / "edge.toml"
    config.write_text(f'[cache]\nindex_dir = "{disk.mounted}"\n')
    more = ("--config", str(config))
    with edge(directory / "e", url, *more, core=None) as ours:
        asyncio.run(fill(ours.url, args.objects))
    disk.forget(next(disk.mounted.rglob("data.mdb")))
    disk.slow(args.read_ms / 1000, "read")
    try:
        with edge(directory / "e", url, *more, core=None) as ours:
            admin: str = ours.admin  # type: ignore[attr-defined]
            before = asyncio.run(lag_buckets(admin))
            hot, cold = asyncio.run(load(ours.url, args.seconds, args.readers, args.objects))
            after = asyncio.run(lag_buckets(admin))
    finally:
        disk.slow(0.0)
    print(
        f"{'without' if without else 'with'} D7, {args.read_ms:g} ms a read: hits from memory p50 "
        f"{hot[len(hot) // 2]:.2f} ms, p99 {hot[int(len(hot) * 0.99)]:.2f} ms, max {hot[-1]:.2f} ms; loop stall "
        f"p99 <= {bound(before, after, 0.99):g} ms, max <= {bound(before, after, 1.0):g} ms; {len(cold)} others, p50 "
        f"{cold[len(cold) // 2]:.2f} ms, p99 {cold[int(len(cold) * 0.99)]:.2f} ms"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--read-ms", type=float, default=10.0)
    parser.add_argument("--objects", type=int, default=6000)
    args = parser.parse_args()
    if (why := missing()) is not None:
        sys.exit(why)
    print(machine())
    for without in (False, True):
        with scratch_directory() as directory, origin() as url, crashdisk(directory, 512 * MIB) as disk:
            measure(directory, disk, url, args, without=without)
    return 0


if __name__ == "__main__":
    sys.exit(main())
