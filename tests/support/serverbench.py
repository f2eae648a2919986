"""A listener with a scripted handler, and raw clients for it, in one process."""

import asyncio
import os
import socket
import ssl
import struct
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edge.clock import FakeClock
from edge.server.exchange import BodyBroken, Exchange, FileWindow
from edge.server.listener import Listener
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from edge.server.tls import Certificates
from edge.words import PENDING, Pending

Window = FileWindow | bytes | memoryview | Pending | Exception


class ServedFile:
    """A file of known bytes. `viewed`: how many of them a view shows; 0: there is no view. `there`: in memory."""

    def __init__(self, data: bytes, viewed: int | None = None) -> None:
        self.data = data
        self._fd, path = tempfile.mkstemp()
        os.unlink(path)
        with open(self._fd, "wb", closefd=False) as file:
            file.write(data)
        self._view = memoryview(data)[: len(data) if viewed is None else viewed]
        self._viewed = viewed
        self.there = 1 << 60

    def __del__(self) -> None:
        os.close(self._fd)

    def fileno(self) -> int:
        return self._fd

    def view(self, offset: int, count: int) -> memoryview | None:
        return None if self._viewed == 0 else self._view[offset : offset + count]

    def is_there(self, offset: int, count: int) -> bool:
        return self.there >= offset + count


class FileSource:
    """The whole of a file, in windows as large as allowed."""

    def __init__(self, file: ServedFile, size: int | None = None) -> None:
        self.file = file
        self.at = 0
        self.size = len(file.data) if size is None else size
        self.windows: list[int] = []
        self.closed = 0

    def next_window(self, limit: int) -> FileWindow | None:
        count = min(limit, self.size - self.at)
        if count <= 0:
            return None
        self.at += count
        self.windows.append(count)
        return FileWindow(self.file, self.at - count, count)

    def take_back(self, count: int) -> None:
        raise broken()

    def close(self) -> None:
        self.closed += 1


class Script:
    """A source that gives what it is told, an exception included; at the end of the script the body ends.

    `elsewhere` brings what is taken back.
    """

    def __init__(self, windows: Sequence[Window], elsewhere: Callable[[int], Window] | None = None) -> None:
        self.windows = list(windows)
        self.elsewhere = elsewhere
        self.taken_back: list[int] = []
        self.asked = 0
        self.closed = 0

    def next_window(self, limit: int) -> FileWindow | bytes | memoryview | Pending | None:
        self.asked += 1
        if not self.windows:
            return None
        window = self.windows[0]
        if window is not PENDING or len(self.windows) > 1:
            del self.windows[0]
        if isinstance(window, Exception):
            raise window
        return window

    def take_back(self, count: int) -> None:
        self.taken_back.append(count)
        if self.elsewhere is None:
            raise broken()
        self.windows.insert(0, self.elsewhere(count))

    def close(self) -> None:
        self.closed += 1


def broken() -> BodyBroken:
    return BodyBroken("by the script")


def ok(length: int | None = None) -> bytes:
    head = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
    return head if length is None else head + b"Content-Length: %d\r\n" % length


@dataclass
class Answer:
    status: int
    version: str
    fields: dict[str, str]
    body: bytes


@dataclass
class Client:
    """A connection to the bench, in raw bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def get(self, target: str = "/", more: bytes = b"") -> Answer:
        await self.send(b"GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (target.encode(), more))
        return await self.answer()

    async def head(self) -> tuple[int, str, dict[str, str]]:
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = raw[:-4].split("\r\n")
        version, status, _ = line.split(" ", 2)
        fields: dict[str, str] = {}
        for each in lines:
            name, _, value = each.partition(": ")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        return int(status), version, fields

    async def answer(self, method: str = "GET") -> Answer:
        status, version, fields = await self.head()
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif "content-length" in fields:
            body = await self.reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = await self.reader.read()
        return Answer(status, version, fields, body)

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
            if not size:
                return body

    async def closed(self) -> bool:
        """Has the server closed, cleanly and without another byte?"""
        return await self.reader.read(1) == b""

    async def rest_or_reset(self) -> bytes | None:
        """What comes until a clean end; None: the connection was reset."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return None

    def leave(self) -> None:
        """Close without a word: the server sees an end of the stream, as of a client that still reads."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Leave so that the server is told (RST)."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, ssl.SSLError):
            pass


@dataclass
class Bench:
    """What a test holds: the listener, its clock, what was counted and what has ended."""

    listener: Listener
    clock: FakeClock
    address: tuple[str, int]
    events: Counter[Event]
    ended: list[Exchange] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None, name: str | None = None, **more: int) -> Client:
        host, port = self.address
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname=(name or "a.example") if tls else None, **more
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.listener.sweep()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so; the test's own time-out bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


@dataclass
class Scripted:
    """A handler that is a function; `exchanges` keeps what came."""

    answer: Callable[[Exchange], None]
    ended: list[Exchange]
    exchanges: list[Exchange] = field(default_factory=list)

    def handle(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_closed = self.ended.append
        self.answer(exchange)


class Counted:
    def __init__(self) -> None:
        self.events: Counter[Event] = Counter()

    def count(self, event: Event) -> None:
        self.events[event] += 1


@asynccontextmanager
async def server_bench(
    answer: Callable[[Exchange], None],
    settings: ServerSettings | None = None,
    *,
    certificates: Certificates | None = None,
    sock: socket.socket | None = None,
) -> AsyncIterator[Bench]:
    """A listener on a port of its own; everything is closed at the end, and nothing may be left over."""
    if sock is None:
        sock = socket.create_server(("127.0.0.1", 0))
    clock, counted, ended = FakeClock(), Counted(), []  # type: FakeClock, Counted, list[Exchange]
    listener = Listener(
        sock,
        Scripted(answer, ended),
        settings or ServerSettings(),
        ssl_context=certificates,
        clock=clock,
        observer=counted,
    )
    address = sock.getsockname()[:2]
    listener.start()
    bench = Bench(listener, clock, address, counted.events, ended)
    try:
        yield bench
    finally:
        for client in bench.clients:
            client.leave()
        await listener.drain(0.0)
        assert listener.connections == 0
        for client in bench.clients:
            await client.close()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
