"""A far film: one viewer reads a large cold MP4 in order through the edge, over the emulated path.

As one answer (`bytes=0-`), and in ranges one after another, as players do. Printed: megabits a second, and what share
that is of the path's rate. The aim is 60 % of it at 0.1 % loss.

    python -m benchmarks.far_film [--megabytes 256] [--ranges 0,1024,4096] [--loss 0.1] [--edge-config FILE]
"""

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final
from urllib.parse import urlsplit

from benchmarks import bench
from benchmarks.path import Path, add_flags, settings_of, unavailable
from edge.demo.describing import check
from edge.words import KIB

BLOCK: Final = 256 * KIB
MBIT: Final = 1e6 / 8


async def read_range(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, start: int, end: int
) -> None:
    """One range, every byte proven."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: film\r\nRange: bytes={start}-{end - 1}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 206 "):
        sys.exit(f"{path}: {head!r}")
    while start < end:
        data = await reader.readexactly(min(BLOCK, end - start))
        wrong = check(path, 1, start, data)
        if wrong is not None:
            sys.exit(f"{path}: {wrong}")
        start += len(data)


async def view(url: str, path: str, total: int, step: int) -> None:
    """Prints the seconds that the whole took."""
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port, limit=4 * BLOCK)
    warm = f"/s/{BLOCK}/warm.mp4"
    await read_range(reader, writer, warm, 0, BLOCK)
    await asyncio.sleep(4.0)  # connections are opened ahead
    begun = time.perf_counter()
    for start in range(0, total, step or total):
        await read_range(reader, writer, path, start, min(total, start + (step or total)))
    print(time.perf_counter() - begun)
    writer.close()


def measure(args: argparse.Namespace, loss: float, step: int) -> str:
    """One film on a path of its own."""
    total = args.megabytes * 10**6
    with (
        Path(replace(settings_of(args), loss=loss / 100)) as path,
        bench.scratch_directory() as directory,
        bench.origin(path.server.address, core=None, inside=path.server.prefix) as origin_url,
        bench.edge(
            directory / "c",
            origin_url,
            *(("--config", str(args.edge_config)) if args.edge_config else ()),
            core=None,
            inside=path.client.prefix,
        ) as ours,
    ):
        command = [sys.executable, "-m", "benchmarks.far_film", "--view", ours.url, "--total", str(total)]
        before = path.crossed()
        told = path.client.run(*command, "--step", str(step), stdout=subprocess.PIPE)
        crossed = path.crossed().body_bytes - before.body_bytes
    if told.returncode:
        sys.exit(f"the viewer ended with {told.returncode}")
    rate = total / float(told.stdout) / MBIT
    how = f"ranges of {step // KIB} KiB" if step else "one answer"
    share = f"{rate / args.mbit:.0%} of the path" if args.mbit else ""
    return f"{loss:g} % loss  {how:20} {rate:6.1f} Mbit/s  {share}  origin bytes per viewer byte {crossed / total:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--ranges", default="0,1024,4096", help="KiB of each request; 0 = one answer")
    parser.add_argument("--loss", default="0.1", metavar="PERCENT,...")
    parser.add_argument("--edge-config", type=FilePath, metavar="FILE", help="a configuration of the edge")
    parser.add_argument("--view", help=argparse.SUPPRESS)
    parser.add_argument("--total", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    add_flags(parser)
    args = parser.parse_args()
    if args.view:
        asyncio.run(view(args.view, f"/s/{args.total}/film.mp4", args.total, args.step))
        return 0
    why = unavailable()
    if why:
        sys.exit(why)
    print(bench.machine())
    for loss in args.loss.split(","):
        for step in args.ranges.split(","):
            print(measure(args, float(loss), int(step) * KIB), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
