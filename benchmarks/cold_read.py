"""What cold data costs the others: event-loop stall and hits' first byte while connections read from the disk.

One worker. Objects are stored and their pages dropped (POSIX_FADV_DONTNEED) again and again; some connections read
them while another asks for a small hot object. With D7 (residency asked, cold windows read and verified in a pool)
and, for comparison, without (every window counts as resident).

    python -m benchmarks.cold_read [--seconds 10] [--readers 8]
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.bench import edge, machine, origin, scratch_directory
from edge.demo.describing import check
from edge.words import MIB

OBJECTS, SIZE = 48, 4 * MIB


def drop_pages(packs: Path) -> None:
    for path in packs.glob("*.pack"):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


async def read_cold(url: str, seconds: float, readers: int) -> int:
    """Read the objects in turn and prove them; the bytes read. Runs in a process of its own."""
    until = time.monotonic() + seconds
    cold = 0
    async with aiohttp.ClientSession() as http:

        async def one(number: int) -> None:
            nonlocal cold
            at = number
            while time.monotonic() < until:
                path = f"/s/{SIZE}/cold-{at % OBJECTS}.ts"
                async with http.get(url + path) as got:
                    body = await got.read()
                if at < OBJECTS and (mismatch := check(path, 1, 0, body)):
                    sys.exit(f"{path}: {mismatch}")
                cold += len(body)
                at += readers

        await asyncio.gather(*(one(number) for number in range(readers)))
    return cold


async def load(url: str, packs: Path, seconds: float, readers: int) -> tuple[list[float], int]:
    """(milliseconds to a hit's first byte, cold bytes read)."""
    times: list[float] = []
    until = time.monotonic() + seconds
    command = [sys.executable, "-m", "benchmarks.cold_read", "--child", url]
    command += ["--seconds", str(seconds), "--readers", str(readers)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with aiohttp.ClientSession() as http:

        async def drop() -> None:
            while time.monotonic() < until:
                await asyncio.to_thread(drop_pages, packs)
                await asyncio.sleep(0.05)

        async def ask_hot() -> None:
            while time.monotonic() < until:
                begun = time.perf_counter()
                async with http.get(url + "/s/2000/hot.ts?cc=max-age=30") as got:
                    await got.content.readany()
                    times.append((time.perf_counter() - begun) * 1000)
                    await got.read()
                await asyncio.sleep(0.005)

        async with http.get(url + "/s/2000/hot.ts?cc=max-age=30") as got:
            await got.read()
        await asyncio.gather(drop(), ask_hot())
    out, _ = await child.communicate()
    if child.returncode != 0:
        sys.exit("a cold reader got a wrong byte")
    return times, int(out)


async def fill(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for number in range(OBJECTS):
            async with http.get(f"{url}/s/{SIZE}/cold-{number}.ts") as got:
                await got.read()


async def lag_buckets(admin: str) -> dict[float, float]:
    """Cumulative counts of the worker's loop lag."""
    async with aiohttp.ClientSession() as http, http.get(admin + "/metrics") as got:
        text = await got.text()
    found = {}
    for line in text.splitlines():
        if line.startswith("edge_event_loop_lag_seconds_bucket") and 'process="worker"' in line:
            found[float(line.partition('le="')[2].partition('"')[0])] = float(line.rpartition(" ")[2])
    return found


def bound(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The upper edge of the bucket that holds this share of the lags, in milliseconds."""
    counts = {edge_: after[edge_] - before.get(edge_, 0.0) for edge_ in after}
    total = counts[float("inf")]
    return next((edge_ * 1000 for edge_ in sorted(counts) if counts[edge_] >= share * total), float("inf"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    seconds, readers = min(args.seconds, 120.0), min(args.readers, 64)
    if args.child:
        print(asyncio.run(read_cold(args.child, seconds, readers)))
        return 0
    print(machine())
    for without in (False, True):
        os.environ["EDGE_ASSUME_RESIDENT"] = "1" if without else ""
        with scratch_directory() as directory, origin() as url, edge(directory / "e", url, core=None) as ours:
            admin: str = ours.admin  # type: ignore[attr-defined]
            asyncio.run(fill(ours.url))
            before = asyncio.run(lag_buckets(admin))
            times, cold = asyncio.run(load(ours.url, directory / "e" / "packs", seconds, readers))
            after = asyncio.run(lag_buckets(admin))
        times.sort()
        print(
            f"{'without' if without else 'with'} D7: hits' first byte p50 {statistics.median(times):.2f} ms, "
            f"p99 {times[int(len(times) * 0.99)]:.2f} ms, max {times[-1]:.2f} ms; loop stall p50 <= "
            f"{bound(before, after, 0.5):g} ms, p99 <= {bound(before, after, 0.99):g} ms, max <= "
            f"{bound(before, after, 1.0):g} ms; {cold / MIB:.0f} MiB read cold"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
