"""Misses beside nginx with proxy_cache_lock: added first-byte time, and origin requests per cold object in a crowd.

first byte   1,000 cold 64 KiB objects one after another: edge, nginx and the origin itself, p50 and p95
crowd        200 clients over 4 workers ask at the same moment for one cold object and ranges of it

  python -m benchmarks.miss [--objects 1000] [--clients 200] [--json FILE]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.bench import edge, machine, nginx, origin, scratch_directory
from edge.demo.describing import check
from edge.words import KIB, MIB

BUDGET_MS = 2.0


async def first_bytes(urls: dict[str, str], objects: int) -> dict[str, list[float]]:
    """Milliseconds to the first body byte of cold objects, the targets in turn."""
    times: dict[str, list[float]] = {name: [] for name in urls}
    async with aiohttp.ClientSession() as http:
        for number in range(objects + 20):
            for name, url in urls.items():
                path = f"/s/{64 * KIB}/{name}-{number}x.ts"  # no number at the end: nothing is fetched ahead
                begun = time.perf_counter()
                async with http.get(url + path) as got:
                    first = await got.content.readany()
                    took = time.perf_counter() - begun
                    rest = await got.read()
                prove(path, first + rest, 0)
                if number >= 20:  # the first ones open connections
                    times[name].append(took * 1000)
    return times


def prove(path: str, data: bytes, start: int) -> None:
    mismatch = check(path, 1, start, data)
    if mismatch is not None:
        sys.exit(f"{path}: {mismatch}")


async def crowd(url: str, origin_url: str, path: str, clients: int) -> tuple[int, float]:
    """(origin requests, seconds until all have what they asked) for one cold object of 2 MiB."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def one(number: int) -> None:
            start = number * 5000
            headers = {} if number % 2 else {"Range": f"bytes={start}-{start + 4999}"}
            async with http.get(f"{url}{path}?delay=200", headers=headers) as got:
                body = await got.read()
                prove(path, body, 0 if number % 2 else start)

        begun = time.perf_counter()
        whole = asyncio.create_task(one(1))
        await asyncio.sleep(0.05)
        await asyncio.gather(whole, *(one(number) for number in range(clients)))
        took = time.perf_counter() - begun
        async with http.get(origin_url + "/_counts") as got:
            counts = await got.json()
    return int(counts[path]), took


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    objects, clients = min(args.objects, 20_000), min(args.clients, 400)
    print(machine())
    found: dict[str, object] = {"machine": machine()}
    with scratch_directory() as directory, origin() as url:
        with (
            edge(directory / "e", url, workers=4, core=None) as ours,
            nginx(directory / "n", url, workers=4, core=None) as theirs,
        ):
            times = asyncio.run(first_bytes({"origin": url, "edge": ours.url, "nginx": theirs.url}, objects))
            base = statistics.median(times["origin"])
            for name, values in times.items():
                added = statistics.median(values) - base
                found[name] = {
                    "p50_ms": statistics.median(values),
                    "p95_ms": quantile(values, 0.95),
                    "added_ms": added,
                }
                print(f"first byte of a miss, {name:6}: p50 {statistics.median(values):.2f} ms, "
                      f"p95 {quantile(values, 0.95):.2f} ms, added {added:.2f} ms (budget {BUDGET_MS})")  # fmt: skip
            for server in (ours, theirs):
                requests, took = asyncio.run(crowd(server.url, url, f"/s/{2 * MIB}/crowd-{server.name}.ts", clients))
                found[f"crowd_{server.name}"] = {"origin_requests": requests, "seconds": took}
                print(f"{clients} clients, one cold object, {server.name:6}: {requests} origin requests, {took:.2f} s")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
