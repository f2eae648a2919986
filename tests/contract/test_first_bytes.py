"""First bytes that somebody waits for do not wait for the disk; who comes later is told where they lie."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.fill.asking import InlineBytes
from edge.fill.pieces import InlinePiece
from edge.words import KIB, MIB
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

SEGMENT = os.urandom(4 * MIB)


async def whole(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, SEGMENT))


@asynccontextmanager
async def held_disk(directory: Path) -> AsyncIterator[tuple[FillBench, threading.Event]]:
    """Nothing is written until the event is set."""
    gate = threading.Event()
    async with RawServer(whole) as server, fill_bench(directory, server.url) as bench:
        bench.store.post(gate.wait, 20)
        try:
            yield bench, gate
        finally:
            gate.set()


def inline(bench: FillBench) -> list[InlinePiece]:
    return [piece for flight in bench.desk._flights.all() for piece in flight.pieces if isinstance(piece, InlinePiece)]


async def beginning(got: Got) -> bytes:
    """The first bytes that it is told of, which are in a message."""
    await got.headed()
    while not got.body:
        got.moved.clear()
        await got.moved.wait()
    return got.body[min(got.body)]


async def test_first_bytes_come_while_nothing_is_written_and_all_of_it_once_it_is(tmp_path: Path) -> None:
    async with held_disk(tmp_path) as (bench, gate):
        got = bench.ask("/a.ts")
        first = await beginning(got)
        assert first == SEGMENT[: len(first)]
        assert got.position == len(first) <= 64 * KIB
        gate.set()
        assert (await got.finish()).bytes() == SEGMENT
        await bench.settled()
        assert b"".join(data for _, data in sorted(bench.stored_bytes("/a.ts").items())) == SEGMENT


async def test_who_wants_bytes_from_the_middle_of_a_slice_has_those_first(tmp_path: Path) -> None:
    start, end = MIB + 1001, MIB + 900_000
    async with held_disk(tmp_path) as (bench, gate):
        got = bench.ask("/a.ts", start, end)
        first = await beginning(got)
        assert first == SEGMENT[start : start + len(first)]
        assert [(piece.start, piece.data) for piece in inline(bench)] == [(start, first)]
        gate.set()
        assert (await got.finish()).bytes() == SEGMENT[start:end]


async def test_who_comes_before_they_are_written_has_them_too(tmp_path: Path) -> None:
    async with held_disk(tmp_path) as (bench, gate):
        one = bench.ask("/a.ts")
        first = await beginning(one)
        assert len(inline(bench)) == 1
        other = bench.ask("/a.ts")
        assert await beginning(other) == first
        gate.set()
        assert (await one.finish()).bytes() == (await other.finish()).bytes() == SEGMENT


async def test_what_lies_in_a_pack_is_not_kept_in_memory_for_those_who_come_later(tmp_path: Path) -> None:
    rest = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        said = answer(asked, SEGMENT)
        await wire.send(said[:MIB])
        await rest.wait()
        await wire.send(said[MIB:])

    async with RawServer(slow) as server, fill_bench(tmp_path, server.url) as bench:
        one = bench.ask("/a.ts")
        await beginning(one)
        async with asyncio.timeout(5):
            while inline(bench):
                await asyncio.sleep(0.001)
        other = bench.ask("/a.ts")
        await beginning(other)
        assert other.asking is not None
        assert not any(isinstance(piece, InlineBytes) for piece in other.asking._pieces.values())
        rest.set()
        assert (await other.finish()).bytes() == (await one.finish()).bytes() == SEGMENT


async def test_who_would_have_all_of_it_waits_until_it_is_written(tmp_path: Path) -> None:
    async with held_disk(tmp_path) as (bench, gate):
        got = bench.ask("/a.ts", 0, 1000)
        await got.headed()
        await asyncio.sleep(0.05)
        assert not inline(bench)
        assert not got.body
        gate.set()
        assert (await got.finish()).bytes() == SEGMENT[:1000]
