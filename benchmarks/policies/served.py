"""A trace over HTTP: an origin that has its objects, and a player that asks a real server for them in order.

On short traces the model itself moves by a point when the cache has a hundredth more or less: which of two nearly equal
extents goes is decided by a byte, and what follows from it grows. A real server evicts a moment earlier or later than
the model, so it is compared with what the model says of caches that have up to 3 % more or less.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import numpy as np
from aiohttp import web

from benchmarks.policies import model
from benchmarks.policies.workload import Trace, key_of
from edge.demo.describing import body_slice, check

NEAR = (0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03)
FIELDS = {"ETag": '"1"', "Cache-Control": "max-age=86400", "Content-Type": "video/iso.segment"}


def sizes_of(trace: Trace) -> dict[str, int]:
    """Path to bytes, in order of the trace's objects."""
    return {key_of(trace, entry): size for entry, size in enumerate(trace.sizes.tolist())}


@asynccontextmanager
async def origin(sizes: Mapping[str, int]) -> AsyncIterator[str]:
    """Its URL; every object describes itself."""

    async def answer(request: web.Request) -> web.Response:
        size = sizes.get(request.path)
        if size is None:
            raise web.HTTPNotFound
        return web.Response(body=body_slice(request.path, 1, 0, size), headers=FIELDS)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Bytes:
    """What was asked for, and how much of it the cache had."""

    asked: int = 0
    hit: int = 0

    def __add__(self, other: "Bytes") -> "Bytes":
        return Bytes(self.asked + other.asked, self.hit + other.hit)

    @property
    def ratio(self) -> float:
        return self.hit / self.asked


async def play(url: str, trace: Trace, paths: list[str], start: int, end: int) -> Bytes:
    """Ask for requests [start, end), one after the other, and prove every byte."""
    counted = Bytes()
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        for entry in trace.objects[start:end].tolist():
            path = paths[entry]
            async with http.get(url + path) as got:
                data = await got.read()
                found = got.headers.get("X-Cache")
            if got.status != 200 or len(data) != trace.sizes[entry] or (wrong := check(path, 1, 0, data)) is not None:
                raise SystemExit(f"{path}: {got.status}, {len(data)} bytes; {wrong if got.status == 200 else ''}")
            counted.asked += len(data)
            counted.hit += len(data) * (found == "HIT")
    return counted


def expected(trace: Trace, capacity: int, *, from_half: bool) -> list[float]:
    """The model's byte hit ratios for caches of about that size, of all requests or of the second half."""
    end = len(trace.objects)
    marks = np.array([0, end // 2, end] if from_half else [0, end])
    return [float(model.run(trace, int(share * capacity), marks).ratios[-1]) for share in NEAR]
