"""The viewers of `benchmarks.far_origin`: a process of its own at the near end of the path.

Each viewer has one connection and fetches cold segments one after another. Warm-up first (small objects, then
segments: a connection's congestion window has to have met losses), then the line `warm` on stdout and a wait for a
line on stdin, then the samples as JSON. Every byte is proven; a wrong one ends the process.
Beside them a small object is asked of the origin itself ten times a second over one connection: what a round trip takes
meanwhile, the queue of the path included.
With --pieces there is no cache at all: each segment is fetched from the origin in pieces over connections of the
viewer's own. That is the least that parallel ranges can do here, and what caches are measured against.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from edge.demo.describing import check
from edge.words import KIB

SILENCE: Final = 120.0  # seconds without a byte after which a segment has failed
WARM_BYTES: Final = 256 * KIB
WARM_OBJECTS: Final = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One segment: seconds to its first and last byte; `failed` says what went wrong, "" = nothing."""

    first: float
    last: float
    size: int
    failed: str = ""


BESIDE_SECONDS: Final = 0.1  # between two small requests

FOR_EVER: Final = float("inf")

Fetch = Callable[[str], Awaitable[Sample]]


def prove(path: str, start: int, data: bytes) -> None:
    mismatch = check(path, 1, start, data)
    if mismatch is not None:
        sys.exit(f"{path}: {mismatch}")


async def through_cache(http: aiohttp.ClientSession, url: str, path: str) -> Sample:
    """One GET of the whole segment."""
    begun = time.perf_counter()
    first, parts = 0.0, []
    try:
        async with http.get(url + path) as got:
            async for data in got.content.iter_any():
                first = first or time.perf_counter() - begun
                parts.append(data)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Sample(first, time.perf_counter() - begun, 0, repr(error))
    last = time.perf_counter() - begun
    if got.status != 200:
        return Sample(first, last, 0, f"status {got.status}")
    body = b"".join(parts)
    prove(path, 0, body)
    if len(body) != int(path.split("/")[2]):
        sys.exit(f"{path}: {len(body)} bytes, and a clean end")
    return Sample(first, last, len(body))


class Pieces:
    """A segment in pieces of one size over warm connections, each piece to whichever connection is free."""

    def __init__(self, url: str, connections: int, piece: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port
        self._connections, self._piece = connections, piece
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        opening = (asyncio.open_connection(self._host, self._port) for _ in range(self._connections))
        for ends in await asyncio.gather(*opening):
            self._free.put_nowait(ends)

    async def fetch(self, path: str) -> Sample:
        begun, size = time.perf_counter(), int(path.split("/")[2])
        firsts: dict[int, float] = {}

        async def one(start: int) -> None:
            reader, writer = await self._free.get()
            end = min(size, start + self._piece)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: origin\r\nRange: bytes={start}-{end - 1}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 206"), head
            firsts[start] = time.perf_counter() - begun
            prove(path, start, await reader.readexactly(end - start))
            self._free.put_nowait((reader, writer))

        await asyncio.gather(*(one(start) for start in range(0, size, self._piece)))
        return Sample(firsts[0], time.perf_counter() - begun, size)


class Viewer:
    """Asks for one segment after another, none of them asked for before."""

    def __init__(self, fetch: Fetch, names: "itertools.count[int]") -> None:
        self._fetch, self._names = fetch, names

    async def watch(self, size: int, seconds: float, most: int) -> list[Sample]:
        """Segments until the time is over or there have been `most`; at least one, and what was begun is finished."""
        until = time.monotonic() + seconds
        samples: list[Sample] = []
        while len(samples) < most and (not samples or time.monotonic() < until):
            # The name does not end with its number: a cold segment must not have been fetched ahead.
            samples.append(await self._fetch(f"/s/{size}/far-{next(self._names)}x.ts"))
        return samples

    async def warm_up(self, size: int, seconds: float, most: int) -> None:
        begun = time.monotonic()
        await self.watch(WARM_BYTES, FOR_EVER, WARM_OBJECTS)
        left = seconds - (time.monotonic() - begun)
        if most and left > 0:  # who needs so long for little has met its losses by now
            await self.watch(size, left, most)


async def round_trips(http: aiohttp.ClientSession, url: str, found: list[float]) -> None:
    """Seconds to the first byte of a small object, each asked for after the one before; until cancelled."""
    for name in itertools.count():
        found.append((await through_cache(http, url, f"/s/1/beside-{name}.ts")).first)
        await asyncio.sleep(BESIDE_SECONDS)


async def view(args: argparse.Namespace) -> tuple[list[Sample], list[float]]:
    """What the viewers saw, and the round trips meanwhile."""
    names = itertools.count()
    beside: list[float] = []
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE)
    looker, *sessions = (aiohttp.ClientSession(timeout=timeout) for _ in range(1 + args.viewers))
    try:
        viewers = [Viewer(await _fetch_of(args, session), names) for session in sessions]
        await through_cache(looker, args.origin, "/s/1/connected.ts")
        await asyncio.gather(*(viewer.warm_up(args.size, args.warm_seconds, args.warm) for viewer in viewers))
        print("warm", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        looking = asyncio.create_task(round_trips(looker, args.origin, beside))
        found = await asyncio.gather(*(viewer.watch(args.size, args.seconds, args.segments) for viewer in viewers))
        while not beside:
            await asyncio.sleep(0.01)
        looking.cancel()
        await asyncio.wait([looking])
    finally:
        for session in (looker, *sessions):
            await session.close()
    return [sample for samples in found for sample in samples], beside


async def _fetch_of(args: argparse.Namespace, session: aiohttp.ClientSession) -> Fetch:
    if not args.pieces:
        return lambda path: through_cache(session, args.url, path)
    connections, piece = (int(word) for word in args.pieces.split("x"))
    pieces = Pieces(args.url, connections, piece * KIB)
    await pieces.open()
    return pieces.fetch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--origin", required=True, metavar="URL", help="asked directly for small objects beside it")
    parser.add_argument("--viewers", type=int, default=1)
    parser.add_argument("--size", type=int, default=4_000_000, help="bytes of a segment")
    parser.add_argument("--segments", type=int, default=10, help="of each viewer at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="after which no segment is begun")
    parser.add_argument("--warm", type=int, default=4, help="segments before the first that counts ...")
    parser.add_argument("--warm-seconds", type=float, default=15.0, help="... and after which no more of them is begun")
    parser.add_argument("--pieces", default="", metavar="CONNECTIONSxKIB", help="from the origin itself, in pieces")
    samples, beside = asyncio.run(view(parser.parse_args()))
    print(json.dumps({"samples": [asdict(sample) for sample in samples], "beside": beside}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
