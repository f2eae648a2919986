"""A player reads a far film in ranges, and then it does not: what was to be fetched ahead of it stays at the origin."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.delivery.sequels import EARNED
from edge.words import KIB, MIB
from tests.support.edgeproc import running_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

PATH = "/film.mp4"
FILM = os.urandom(40 * MIB)
READ = 5 * MIB  # by the player, in order
LATE = 6 * MIB  # asked for until it is seen that the player is gone: a fraction of what it has earned
ELSEWHERE = 32 * MIB
CONFIG = """
[origin]
far = 0.000001
parallel_max = 4
stall_timeout = "20s"
[[site]]
name = "default"
prefetch = 0
"""
STEP, PAUSE = 16 * KIB, 0.1  # of what nobody has read: fetching it takes so long that it is seen to stop
QUIET = 2.5  # seconds without a request after which nothing more is expected; a piece takes less


@dataclass
class Origin:
    """It is slow with what lies behind `READ`."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        start, end = range_of(asked, len(FILM)) or (0, len(FILM))
        self.asked.append((start, end))
        body = answer(asked, FILM)
        if not READ <= start < ELSEWHERE:
            await wire.send(body)
            return
        for at in range(0, len(body), STEP):
            await wire.send(body[at : at + STEP])
            await asyncio.sleep(PAUSE)

    @property
    def bytes_asked(self) -> int:
        return sum(end - start for start, end in self.asked if start < ELSEWHERE)

    async def stops(self) -> int:
        """Wait until nothing more is asked for."""
        before = -1
        async with asyncio.timeout(60):
            while before < self.bytes_asked:
                before = self.bytes_asked
                await asyncio.sleep(QUIET)
        return self.bytes_asked


class Player:
    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)

    async def __aenter__(self) -> "Player":
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port, limit=MIB)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def read(self, start: int, end: int, most: int | None = None) -> None:
        """A range, to its end or `most` bytes of it; every one proven."""
        line = f"GET {PATH} HTTP/1.1\r\nHost: {self.url.netloc}\r\nRange: bytes={start}-{end - 1}\r\n\r\n"
        self.writer.write(line.encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206"), head
        count = end - start if most is None else most
        assert await self.reader.readexactly(count) == FILM[start : start + count]


async def leaves(player: Player) -> None:
    player.writer.close()


async def seeks(player: Player) -> None:
    await player.read(ELSEWHERE, ELSEWHERE + 1)


async def breaks_off(player: Player) -> None:
    await player.read(READ, READ + MIB, 1)
    player.writer.transport.abort()


async def falls_silent(player: Player) -> None:
    pass


async def has_film(edge_url: str, origin: Origin) -> None:
    """The edge knows how far the origin is."""
    async with Player(edge_url) as player:
        await player.read(ELSEWHERE, ELSEWHERE + 1)
    origin.asked.clear()


@asynccontextmanager
async def player_of_a_far_film(directory: Path) -> AsyncIterator[tuple[Player, Origin]]:
    origin = Origin()
    config = directory / "edge.toml"
    config.write_text(CONFIG)
    async with (
        RawServer(origin) as server,
        running_edge(directory / "c", server.url, "--config", str(config), workers=1) as edge,
    ):
        await has_film(edge.url, origin)
        async with Player(edge.url) as player:
            yield player, origin


@pytest.mark.parametrize(
    "ends",
    [leaves, seeks, *(pytest.param(end, marks=pytest.mark.long) for end in (breaks_off, falls_silent))],
)
async def test_fetching_ahead_ends_when_the_player(tmp_path: Path, ends: object) -> None:
    async with player_of_a_far_film(tmp_path) as (player, origin):
        for start in range(0, READ, MIB):
            await player.read(start, start + MIB)
        await ends(player)  # type: ignore[operator]
        asked = await origin.stops()
    assert READ < asked < READ + LATE < EARNED * READ, f"{asked / MIB} MiB"


async def test_two_ranges_of_a_byte_cost_the_slice_that_they_lie_in(tmp_path: Path) -> None:
    async with player_of_a_far_film(tmp_path) as (player, origin):
        for start in range(MIB, MIB + 8):
            await player.read(start, start + 1)
        assert await origin.stops() == MIB
