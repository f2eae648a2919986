"""What a fill counts on among what is stored, and that goes while it lasts."""

import asyncio
import os
from pathlib import Path

from edge.fill.settings import FillSettings
from edge.store.names import name_of
from edge.words import KIB, MIB, Eviction
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(8 * MIB)
PATH = "/f.mp4"


async def origin(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


async def drop(bench: FillBench, start: int) -> None:
    """As when its pack is evicted, or it was found to be damaged."""
    name = name_of(b"default" + PATH.encode(), bench.volume.hello.secret)
    record = bench.volume.lookup(name)
    assert record is not None
    extent = next(one for one in bench.volume.extents(record) if one.start == start)
    args = name, record.generation, extent.pack, extent.offset, Eviction.CAPACITY
    assert await bench.store.call(bench.volume.mending.drop_extent, *args)


async def reaches(got: Got, position: int) -> None:
    async with asyncio.timeout(20):
        while got.position < position:
            got.moved.clear()
            await got.moved.wait()


async def test_who_waits_for_what_was_stored_when_its_fill_began_has_it_brought_when_it_has_gone(
    tmp_path: Path,
) -> None:
    settings = FillSettings(ahead=256 * KIB, ahead_most=256 * KIB)
    async with RawServer(origin) as server, fill_bench(tmp_path, server.url, settings=settings) as bench:
        for start in (0, 2 * MIB):
            await bench.get(PATH, start, start + MIB)
        got = bench.ask(PATH, MIB, 8 * MIB)
        await reaches(got, 2 * MIB)
        asked = len(server.asked)
        await drop(bench, 2 * MIB)
        assert got.asking is not None
        got.asking.waits(got.position)
        got.asking.waits(got.position)
        await got.finish()
        assert got.bytes() == BODY[MIB:]
        assert server.asked[asked].fields["range"].startswith(f"bytes={2 * MIB}-")


async def test_who_waits_for_what_has_not_come_yet_has_nothing_brought_twice(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        half = len(raw) // 2
        await wire.send(raw[:half])
        if asked.fields.get("range") != f"bytes=0-{MIB - 1}":
            await gate.wait()
        await wire.send(raw[half:])

    async with RawServer(slow) as server, fill_bench(tmp_path, server.url) as bench:
        await bench.get(PATH, 0, MIB)
        got = bench.ask(PATH, MIB, 8 * MIB)
        await reaches(got, 2 * MIB)
        assert got.asking is not None
        for _ in range(3):
            got.asking.waits(got.position)
        gate.set()
        await got.finish()
        assert got.bytes() == BODY[MIB:]
        assert len(server.asked) == 2


async def test_who_comes_for_what_has_gone_while_a_fill_that_counts_on_it_lasts_has_it_brought(tmp_path: Path) -> None:
    """He was told at once that all of it is there, asked three times more, and his player's connection was reset."""
    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("range", "").startswith(f"bytes={MIB}-"):
            await gate.wait()
        await wire.send(answer(asked, BODY))

    async with RawServer(slow) as server, fill_bench(tmp_path, server.url) as bench:
        await bench.get(PATH, 0, MIB)
        other = bench.ask(PATH, MIB, 2 * MIB)
        async with asyncio.timeout(20):
            while len(server.asked) < 2:
                await asyncio.sleep(0.001)
        await drop(bench, 0)
        for end in (1000, MIB):
            got = await bench.ask(PATH, 0, end).finish()
            assert (got.failed, got.bytes()) == (None, BODY[:end])
        got = await bench.ask(PATH, suffix=8 * MIB - 1000).headed()
        assert got.asking is not None
        gate.set()
        assert (await got.finish()).bytes() == BODY[1000:]
        assert (await other.finish()).bytes() == BODY[MIB : 2 * MIB]
        assert [asked.fields["range"].partition("-")[0] for asked in server.asked].count("bytes=0") == 2
