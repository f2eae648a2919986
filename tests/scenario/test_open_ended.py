"""A player that asks for a film from somewhere on "to its end", reads a little of it and stays: the rest stays away.

Browsers ask so for each film and each seek (`Range: bytes=N-`). What is fetched is bounded by how much the player has
read, however long the film is (DESIGN section 15): a fill is at most `ahead`, or twice what was read, past its furthest
reader, and a run that begins within that goes on to its end. What the kernels on the way to a player have taken counts
as read.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.demo.describing import body_slice, check
from edge.fill.settings import FillSettings
from edge.fill.shop import TWICE_MOST, TWICE_SHARE
from edge.origin.connection import HIGH_WATER
from edge.words import KIB
from tests.support.edgeproc import running_edge
from tests.support.farbench import MODES
from tests.support.rawserver import Asked, RawServer, Wire, range_of

SIZE = 2_000_000_000
START, READ = 1_000_000, 1_000_000
CHUNK = 256 * KIB
QUIET = 1.0  # seconds without a byte after which nothing more is expected
CONFIG = "[origin]\nfar = {far}\n"


@dataclass
class Film:
    """An origin that has 2 GB and stores nothing; `sent` counts what its kernel was given of bodies."""

    ranges: bool
    sent: int = 0
    answering: int = 0
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, asked: Asked, wire: Wire) -> None:
        self.asked.append(asked)
        part = range_of(asked, SIZE) if self.ranges else None
        start, end = part or (0, SIZE)
        head = f'HTTP/1.1 {206 if part else 200} OK\r\nETag: "v1"\r\nCache-Control: max-age=600\r\n'
        if part:
            head += f"Content-Range: bytes {start}-{end - 1}/{SIZE}\r\n"
        await wire.send(f"{head}Content-Length: {end - start}\r\n\r\n".encode())
        self.answering += 1
        try:
            for at in range(start, end, CHUNK):
                data = body_slice(asked.target, 1, at, min(end, at + CHUNK))
                await wire.send(data)
                self.sent += len(data)
        finally:
            self.answering -= 1

    async def stops(self, most: int) -> int:
        """Wait until no more is sent, and return how much that was; not for ever if it is more than `most`."""
        before = -1
        async with asyncio.timeout(60):
            while before < self.sent <= most:
                before = self.sent
                await asyncio.sleep(QUIET)
        return self.sent


def kernel_most(direction: str) -> int:
    """What a socket that nobody has set otherwise holds at most: "r" received, "w" to be sent."""
    return int(Path(f"/proc/sys/net/ipv4/tcp_{direction}mem").read_text().split()[2])


@asynccontextmanager
async def player(url: str, path: str) -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """Its answer's body from START on, and how many bytes this end may hold that were not read."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * KIB)
    holds = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) + 2 * 64 * KIB
    reader, writer = await asyncio.open_connection(sock=sock, limit=64 * KIB)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nRange: bytes={START}-\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206"), head
        assert f"bytes {START}-{SIZE - 1}/{SIZE}".encode() in head
        yield reader, holds
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("way", [*MODES, "no ranges"])
async def test_what_a_player_does_not_read_of_an_open_range_is_not_fetched(tmp_path: Path, way: str) -> None:
    film, path, fill = Film(ranges=way != "no ranges"), "/film.mp4", FillSettings()
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG.format(far=MODES.get(way, MODES["one-stream"])))
    async with (
        RawServer(film.serve) as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config), workers=1) as edge,
    ):
        async with player(edge.url, path) as (reader, holds):
            assert check(path, 1, START, await reader.readexactly(READ)) is None
            read_most = READ + holds + kernel_most("w")
            most = START + read_most + max(fill.ahead, min(2 * read_most, fill.ahead_most))
            if film.ranges:  # asked for in runs, so that nothing is on its way that was not asked for
                most = int((most + fill.run_max) * (1 + TWICE_SHARE) + TWICE_MOST)
            else:  # what comes in one answer is held up by what the sockets hold
                most += kernel_most("r") + HIGH_WATER + kernel_most("w") + CHUNK
            staying = await film.stops(most)
            assert READ <= staying <= most
        assert await film.stops(most) <= most
        assert film.answering == 0, "it goes on for nobody"
