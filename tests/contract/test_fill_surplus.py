"""An answer that goes on beyond what was asked is left where that ends, and what is cut off is missing nowhere."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from edge.fill.settings import FillSettings
from edge.words import KIB, MIB
from tests.contract.test_spread import far_bench
from tests.support.fillbench import fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

BODY = os.urandom(3 * MIB + 12345)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked_head(start: int, end: int) -> bytes:
    lines = "Transfer-Encoding: chunked", 'ETag: "v1"', f"Content-Range: bytes {start}-{end - 1}/{len(BODY)}"
    return "\r\n".join(["HTTP/1.1 206 Partial", *lines]).encode() + b"\r\n\r\n"


class Generous:
    """Brings a part in chunks, and goes on with bytes of its own for as long as anybody takes them."""

    def __init__(self, *, together: bool) -> None:
        self._together = together  # the first of them in the chunk that holds the last byte
        self.going_on = 0

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(BODY))
        assert span is not None
        self.going_on += 1
        try:
            body = BODY[slice(*span)]
            last = body[-1000:] + (bytes(1000) if self._together else b"")
            await wire.send(chunked_head(*span) + chunk(body[:-1000]) + chunk(last))
            with suppress(ConnectionError):
                while not wire.reader.at_eof():
                    await wire.send(chunk(bytes(64 * KIB)))
        finally:
            self.going_on -= 1


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("path", ["near", "far"])
async def test_a_surplus_in_chunks_ends_the_exchange_and_closes_its_connection(
    tmp_path: Path, path: str, together: bool
) -> None:
    generous = Generous(together=together)
    if path == "near":
        async with RawServer(generous) as origin, fill_bench(tmp_path, origin.url) as bench:
            got = await bench.get("/a.mp4", MIB, 2 * MIB)
            assert got.bytes() == BODY[MIB : 2 * MIB]
            assert bench.stored_bytes("/a.mp4") == {MIB: BODY[MIB : 2 * MIB]}
            await has_ended(generous)
            assert bench.client.pool.counts[:2] == (0, 0)
        return
    async with far_bench(tmp_path, generous) as (_, bench):
        got = await bench.get("/a.mp4", 0, len(BODY))
        assert got.bytes() == BODY
        await has_ended(generous)
        assert bench.client.pool.counts[:2] == (0, 0)


async def has_ended(generous: Generous) -> None:
    async with asyncio.timeout(10):
        while generous.going_on:
            await asyncio.sleep(0.005)


async def test_parts_in_chunks_without_a_surplus_share_a_connection(tmp_path: Path) -> None:
    async def chunked(asked: Asked, wire: Wire) -> None:
        start, end = range_of(asked, len(BODY)) or (0, 0)
        await wire.send(chunked_head(start, end) + chunk(BODY[start:end]))
        await asyncio.sleep(0.02)
        await wire.send(b"0\r\n\r\n")

    async with RawServer(chunked) as origin, fill_bench(tmp_path, origin.url) as bench:
        for start in range(0, 3 * MIB, MIB):
            got = await bench.get("/a.mp4", start, start + MIB)
            assert got.bytes() == BODY[start : start + MIB]
        assert origin.connections == 1


async def test_who_comes_when_a_run_was_about_to_stop_gets_every_byte(tmp_path: Path) -> None:
    """1. Nobody reads any more: the run is to stop at the next slice. 2. A reader comes. 3. Bytes come from both sides
    of that border at once: those behind it were cut off, and what followed was taken for them."""
    more, rest = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(origin.asked) > 1:
            await wire.send(raw)
            return
        await wire.send(raw[: 300 * KIB])
        await more.wait()
        await wire.send(raw[300 * KIB : MIB - 5 * KIB])
        await rest.wait()
        await wire.send(raw[MIB - 5 * KIB :])

    settings = FillSettings(finish_share=0.0)
    async with RawServer(slow) as origin, fill_bench(tmp_path, origin.url, settings=settings) as bench:
        first = await bench.ask("/a.ts").headed()
        assert first.asking is not None
        first.asking.cancel()
        (flight,) = bench.desk._flights.all()
        run = flight.runs.under_way[0]
        async with asyncio.timeout(5):
            while flight.readers:
                await asyncio.sleep(0.001)
            more.set()
            while run.stop_at != MIB or run.position < MIB - 6 * KIB:
                await asyncio.sleep(0.001)
        second = bench.ask("/a.ts")
        await second.headed()
        rest.set()
        assert (await second.finish()).bytes() == BODY
        await bench.settled()
        assert b"".join(data for _, data in sorted(bench.stored_bytes("/a.ts").items())) == BODY
