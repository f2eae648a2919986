"""A shield near its origin, asked for a segment in pieces by an edge of ours: one request to the origin for all."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from edge.access.passes import NOBODY, Context
from edge.fill.messages import Fetch, Mode
from edge.media.kinds import kind_of
from edge.words import KIB, MIB
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(4 * MIB + 777)
FROM_AN_EDGE = Context("192.0.2.1", b"films.example", 2)


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


def piece(bench: FillBench, path: str, start: int, end: int, context: Context = FROM_AN_EDGE) -> Got:
    raw = path.encode()
    number, kind = bench.asker.next_id(), kind_of(raw)
    fetch = Fetch(number, Mode.FILL, "default", b"GET", raw, b"default" + raw, raw, kind, (), start, end, ranged=True)
    got = Got(bench, replace(fetch, context=context))
    got.asking = bench.asker.ask(got.want, got)
    return got


async def test_all_of_a_segment_comes_in_one_request_whichever_piece_is_asked_for_first(tmp_path: Path) -> None:
    async with RawServer(correct) as server, fill_bench(tmp_path, server.url) as bench:
        for number, order in enumerate(([0, 1, 2, 3], [3, 2, 1, 0], [2])):
            path = f"/{number}.ts"
            asked = [(at * MIB, min((at + 1) * MIB, len(BODY))) for at in order]
            for got, (start, end) in [(piece(bench, path, *span), span) for span in asked]:
                assert (await got.finish()).bytes() == BODY[start:end]
            await bench.settled()
            assert b"".join(data for _, data in sorted(bench.stored_bytes(path).items())) == BODY
        assert [asked.target for asked in server.asked] == ["/0.ts", "/1.ts", "/2.ts"]


async def test_pieces_that_come_while_the_rest_is_on_its_way_join_it(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def halves(asked: Asked, wire: Wire) -> None:
        whole = answer(asked, BODY)
        await wire.send(whole[: MIB + 100 * KIB])
        await gate.wait()
        await wire.send(whole[MIB + 100 * KIB :])

    async with RawServer(halves) as server, fill_bench(tmp_path, server.url) as bench:
        first = await piece(bench, "/a.ts", 0, 64 * KIB).finish()
        assert first.bytes() == BODY[: 64 * KIB]
        later = piece(bench, "/a.ts", 3 * MIB, 3 * MIB + 64 * KIB)
        await later.headed()
        gate.set()
        assert (await later.finish()).bytes() == BODY[3 * MIB : 3 * MIB + 64 * KIB]
        await bench.settled()
        assert len(server.asked) == 1


async def test_for_a_range_of_a_player_and_for_a_part_of_a_film_only_its_slices_are_fetched(tmp_path: Path) -> None:
    async with RawServer(correct) as server, fill_bench(tmp_path, server.url) as bench:
        for path, context in (("/a.ts", NOBODY), ("/b.ts", Context(hops=1)), ("/c.mp4", FROM_AN_EDGE)):
            assert (await piece(bench, path, 0, 64 * KIB, context).finish()).bytes() == BODY[: 64 * KIB]
            await bench.settled()
        assert [asked.fields["range"] for asked in server.asked] == [f"bytes=0-{MIB - 1}"] * 3
