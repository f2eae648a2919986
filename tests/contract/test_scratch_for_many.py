"""Scratch is shared by all bodies that are not kept: what has been read of it is there for others."""

import asyncio
import os
from pathlib import Path

from edge.fill.messages import Mode
from edge.fill.settings import FillSettings
from edge.words import KIB, MIB
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(MIB + 12345)
FEW = FillSettings(scratch_window=64 * KIB, scratch_per_request=256 * KIB, scratch_total=256 * KIB)


async def test_more_bodies_than_there_are_windows_all_come_to_their_ends(tmp_path: Path) -> None:
    """Each held the window that it had read until its next one came. With all of them held none ever did."""

    going_on = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY, "Cache-Control: no-store")
        first = raw.index(b"\r\n\r\n") + 4 + 64 * KIB
        await wire.send(raw[:first])
        await going_on.wait()
        await wire.send(raw[first:])

    async def read(bench: FillBench, path: str) -> None:
        got = await bench.ask(path, mode=Mode.PASS).finish()
        assert got.failed is None
        assert got.bytes() == BODY
        assert got.asking is not None
        got.asking.cancel()

    async with RawServer(script) as server, fill_bench(tmp_path, server.url, settings=FEW) as bench:
        reading = [asyncio.create_task(read(bench, f"/{number}.ts")) for number in range(12)]
        async with asyncio.timeout(20):
            while bench.shop.scratch._free:
                await asyncio.sleep(0.001)
        going_on.set()
        await asyncio.gather(*reading)
        await bench.settled()
        async with asyncio.timeout(20):
            while bench.shop.scratch._free < 4:
                await asyncio.sleep(0.001)
