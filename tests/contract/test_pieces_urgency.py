"""Whose turn pieces of a far body have in a full line: that of who waits for it, and the last one if nobody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.fill.messages import Mode, Pin
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.words import MIB
from tests.contract.test_spread import FILM, far_bench, film
from tests.support.fillbench import FillBench
from tests.support.rawserver import Asked, Wire, answer

LIVE = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"


async def origin(asked: Asked, wire: Wire) -> None:
    if asked.target.endswith(".m3u8"):
        await wire.send(answer(asked, LIVE, etag=""))
    else:
        await film(asked, wire)


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[FillBench, list[Urgency]]]:
    """A bench, and with what urgency pieces were asked for: what has If-Range is none of a first answer."""
    seen: list[Urgency] = []
    async with far_bench(directory, origin) as (_, bench):
        fetch = bench.client.fetch

        @asynccontextmanager
        async def noted(request: UpstreamRequest, *rest: float, **more: object) -> AsyncIterator[UpstreamResponse]:
            if any(name == b"If-Range" for name, _ in request.fields):
                seen.append(request.urgency)
            async with fetch(request, *rest, **more) as response:  # type: ignore[arg-type]
                yield response

        bench.client.fetch = noted  # type: ignore[method-assign,assignment]
        yield bench, seen


@pytest.mark.parametrize(
    ("path", "start", "urgency"),
    [
        ("/film/1.ts", 0, Urgency.SEGMENT),
        ("/live/1.ts", 0, Urgency.LIVE),
        ("/film.mp4", 0, Urgency.START),
        ("/film.mp4", 4 * MIB, Urgency.SEGMENT),
    ],
)
async def test_pieces_have_the_turn_of_their_players(tmp_path: Path, path: str, start: int, urgency: Urgency) -> None:
    async with watched(tmp_path) as (bench, seen):
        await bench.get("/live/x.m3u8")
        await bench.get(path, start, start + 3 * MIB)
        assert len(seen) > 8
        assert set(seen) == {urgency}


async def test_what_is_read_ahead_waits_for_all_others(tmp_path: Path) -> None:
    async with watched(tmp_path) as (bench, seen):
        await bench.get("/film.mp4", 0, MIB)
        seen.clear()
        bench.ask("/film.mp4", MIB, 4 * MIB, mode=Mode.AHEAD, pin=Pin(0, len(FILM), b'"v1"'))
        async with asyncio.timeout(10):
            while sum(map(len, bench.stored_bytes("/film.mp4").values())) < 4 * MIB:
                await asyncio.sleep(0.005)
        assert len(seen) > 8
        assert set(seen) == {Urgency.AHEAD}
