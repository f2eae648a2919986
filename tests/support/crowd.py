"""Players on kept connections at a paced rate, who count every way in which a request can fail."""

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

from edge.demo.describing import body_slice

SIZE = 2000


@dataclass
class Crowd:
    """`rate` requests a second in all, by a schedule: who is late catches up. `new_each`: so many requests apart is
    one for what nobody has asked for yet; 0: never."""

    urls: list[str]
    rate: float
    clients: int = 20
    new_each: int = 0
    done: int = 0
    refused: list[str] = field(default_factory=list)  # connections
    resets: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)  # closed before, or within, an answer
    wrong: list[str] = field(default_factory=list)  # another status than 200
    closes: int = 0  # answers after which the server closes, as it has said
    by_url: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._players: list[_Player] = []
        self.began = 0.0
        self.over = False

    @property
    def failures(self) -> list[str]:
        return [*self.refused, *self.resets, *self.cut, *self.wrong]

    def start(self) -> None:
        self.began = asyncio.get_running_loop().time()
        self._players = [_Player(self, number) for number in range(self.clients)]
        for player in self._players:
            player.connect()

    async def catches_up(self, seconds: float) -> None:
        """Until the schedule is kept to, but not for longer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.done < 0.99 * self.rate * (loop.time() - self.began) and loop.time() < until:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Each finishes the answer that it waits for."""
        self.over = True
        self.seconds = asyncio.get_running_loop().time() - self.began
        await asyncio.gather(*(player.ended for player in self._players))

    def __str__(self) -> str:
        return (
            f"{self.done} answers in {self.seconds:.1f} s ({self.done / max(self.seconds, 0.001):.0f} a second), "
            f"{len(self.refused)} refused, {len(self.resets)} resets, {len(self.cut)} cut, {len(self.wrong)} wrong, "
            f"{self.closes} connections ended by the server"
        )


@cache
def _expected(path: str) -> bytes:
    return body_slice(path, 1, 0, SIZE)


class _Player(asyncio.Protocol):
    """One connection after the other, one request at a time; no task, so that a thousand a second cost little."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd, self._number = crowd, number
        self._url = crowd.urls[number % len(crowd.urls)]
        self._turn, self._count = number / crowd.rate, 0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._connecting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._path, self._data = "", b""
        self._waits = self._closing = False

    def connect(self) -> None:
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        scheme, _, authority = self._url.partition("://")
        host, _, port = authority.rpartition(":")
        context = None
        if scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            await self._loop.create_connection(lambda: self, host, int(port), ssl=context)
        except OSError as error:
            self._crowd.refused.append(f"{self._url}: {error!r}")
            self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._data, self._closing = transport, b"", False
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._crowd.over:
            self._transport.close()
        else:
            self._loop.call_at(self._crowd.began + self._turn, self._ask, self._transport)

    def _ask(self, transport: asyncio.Transport) -> None:
        if transport is not self._transport:
            return  # this one has ended meanwhile
        crowd = self._crowd
        self._turn += crowd.clients / crowd.rate
        self._count += 1
        if crowd.new_each and self._count % crowd.new_each == 0:
            self._path = f"/s/{SIZE}/new-{self._number}-{self._count}.ts"
        else:
            self._path = f"/s/{SIZE}/{self._number % 7}-{self._count % 20}.ts"
        self._waits, self._data = True, b""
        transport.write(f"GET {self._path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        if not blank or (len(body) < SIZE and head.startswith(b"HTTP/1.1 200")):
            return
        assert self._transport is not None
        crowd, self._waits = self._crowd, False
        if not head.startswith(b"HTTP/1.1 200"):
            crowd.wrong.append(head.decode())
            self._closing = True
            self._transport.close()
            return
        if body != _expected(self._path):
            crowd.wrong.append(f"{self._path}: other bytes")
        crowd.done += 1
        crowd.by_url[self._url] += 1
        self._closing = b"Connection: close" in head
        crowd.closes += self._closing
        if not self._closing:
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport, crowd = None, self._crowd
        if self._waits or not (self._closing or crowd.over):
            self._waits = False
            told = crowd.cut if error is None else crowd.resets
            told.append(f"{self._path} after {len(self._data)} bytes: {error!r}")
        if crowd.over:
            self._end()
        else:
            self.connect()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
