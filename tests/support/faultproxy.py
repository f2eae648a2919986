"""A proxy between an edge and its origin (HTTP/1.1, Content-Length) that harms what passes as its script says.

Each connection of the edge has one of its own to the origin. What the script does not name passes unchanged.
`down` and `up` make it vanish and come back on the same port, as an origin does that flaps.
"""

import asyncio
import contextlib
import fcntl
import re
import socket
import struct
import termios
from collections import Counter
from typing import Final, Self
from urllib.parse import urlsplit

from edge.tasks import Tasks
from tests.support.faults import (
    Drip,
    Fault,
    Flip,
    Late,
    Rate,
    Refuse,
    Reset,
    Script,
    Seen,
    Stall,
    Status,
    Surplus,
    Truncate,
    WrongRange,
    nothing,
)

CHUNK: Final = 64 * 1024
HEAD_MOST: Final = 64 * 1024
ARRIVAL: Final = 0.5
TICKS: Final = 50  # writes a second when a rate is told
RANGE: Final = re.compile(rb"(?im)^range: *bytes=(\d+)-(\d*)\r$")
LENGTH: Final = re.compile(rb"(?im)^content-length: *(\d+)\r$")
PART: Final = re.compile(rb"(?im)^(content-range: *bytes )(\d+)-(\d+)/(\d+)\r$")
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gone(Exception):
    """This connection has come to its end, by the script or by the other side."""


class FaultProxy:
    """Use it as an async context; `script` may be changed at any time and counts from the next request on."""

    def __init__(self, origin_url: str, script: Script = nothing) -> None:
        parts = urlsplit(origin_url)
        assert parts.hostname is not None
        self._origin = parts.hostname, parts.port
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks = Tasks("fault proxy")
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<FaultProxy {self.port}, {len(self._open)} open of {self.connections}, {len(self.seen)} requests>"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counter[str]:
        """Requests of each path."""
        return Counter(seen.path for seen in self.seen)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        await self._tasks.close()

    async def up(self) -> None:
        """Listen (again)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=HEAD_MOST)
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and reset those that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._open):
            _reset(writer)
        if server is not None:
            await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.transport.set_write_buffer_limits(high=0)  # so that `drain` means: the kernel has it
        self._open.add(writer)
        line = _Line(self, (reader, writer), self._origin, self.connections)
        self._tasks.spawn(self._serve(line, writer), f"connection {self.connections}")

    async def _serve(self, line: "_Line", writer: asyncio.StreamWriter) -> None:
        try:
            await line.serve()
        except (Gone, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            await line.close()


class _Line:
    """One connection of the edge and its continuation to the origin."""

    def __init__(self, proxy: FaultProxy, near: Ends, origin: tuple[str, int | None], number: int) -> None:
        self._proxy, self._origin, self._number = proxy, origin, number
        self._reader, self._writer = near
        self._far: Ends | None = None

    async def serve(self) -> None:
        """Requests until either side ends it."""
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            seen = read_seen(head, len(self._proxy.seen) + 1, self._number)
            self._proxy.seen.append(seen)
            await self._answer(seen, head, self._proxy.script(seen))

    async def close(self) -> None:
        for writer in (self._writer, self._far[1] if self._far else None):
            if writer is not None:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def _answer(self, seen: Seen, head: bytes, faults: tuple[Fault, ...]) -> None:
        for fault in faults:
            match fault:
                case Late():
                    await asyncio.sleep(fault.of(seen))
                case Refuse():
                    _reset(self._writer)
                    raise Gone
                case Status(status):
                    await self._send(f"HTTP/1.1 {status} Fault\r\nContent-Length: 6\r\n\r\nfault\n".encode())
                    return
        if self._far is None:
            self._far = await asyncio.open_connection(*self._origin, limit=HEAD_MOST)
        self._far[1].write(head)
        told = await self._far[0].readuntil(b"\r\n\r\n")
        length, start = _length_of(told, seen.method), _start_of(told)
        await self._send(_with_range(told, faults))
        await self._body(start, start + length, faults)

    async def _body(self, start: int, end: int, faults: tuple[Fault, ...]) -> None:
        """Bytes [start, end) of the object, harmed."""
        assert self._far is not None
        at = start
        while at < end:
            await self._end_at(at, faults)
            upto = _next_stop(at, min(end, at + CHUNK), faults)
            data = await self._far[0].readexactly(upto - at)
            for fault in faults:
                if isinstance(fault, Flip) and at <= fault.at < upto:
                    data = data[: fault.at - at] + bytes((data[fault.at - at] ^ 1,)) + data[fault.at - at + 1 :]
            await self._send(data)
            await asyncio.sleep(_pause(at, upto, faults))
            at = upto
        surplus = sum(fault.count for fault in faults if isinstance(fault, Surplus))
        if surplus:
            await self._send(b"?" * surplus)

    async def _end_at(self, at: int, faults: tuple[Fault, ...]) -> None:
        for fault in faults:
            match fault:
                case Reset(where) if where == at:
                    await _arrived(self._writer)
                    _reset(self._writer)
                    raise Gone
                case Truncate(where) if where == at:
                    raise Gone
                case Stall(where) if where == at:
                    while await self._reader.read(CHUNK):
                        pass  # until the edge has had enough
                    raise Gone

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


def read_seen(head: bytes, number: int, connection: int) -> Seen:
    """A request from its head."""
    method, target, _ = head.decode("latin-1").split("\r\n", 1)[0].split(" ")
    part = RANGE.search(head)
    start = int(part[1]) if part else 0
    end = int(part[2]) + 1 if part and part[2] else None
    return Seen(number, connection, method, target.partition("?")[0], start, end)


def _length_of(head: bytes, method: str) -> int:
    """Bytes of the body that follows; Gone where only a chunk or the connection's end would tell."""
    status = int(head.split(b" ", 2)[1])
    if method == "HEAD" or status in (204, 304):
        return 0
    length = LENGTH.search(head)
    if length is None:
        raise Gone
    return int(length[1])


def _start_of(head: bytes) -> int:
    part = PART.search(head)
    return int(part[2]) if part else 0


def _with_range(head: bytes, faults: tuple[Fault, ...]) -> bytes:
    part = PART.search(head)
    for fault in faults:
        if isinstance(fault, WrongRange) and part is not None:
            start, end, total = (int(part[n]) for n in (2, 3, 4))
            told = b"%b%d-%d/%d\r" % (part[1], start + fault.start, end + fault.end, total + fault.total)
            head = head[: part.start()] + told + head[part.end() :]
    return head


def _next_stop(at: int, end: int, faults: tuple[Fault, ...]) -> int:
    """Up to where bytes may go in one write: a fault waits there, or the pace allows no more."""
    for fault in faults:
        match fault:
            case Reset(where) | Stall(where) | Truncate(where) if at < where:
                end = min(end, where)
            case Drip(where, step):
                end = min(end, where if at < where else at + step)
            case Rate(rate):
                end = min(end, at + max(1, int(rate / TICKS)))
    return end


def _pause(at: int, upto: int, faults: tuple[Fault, ...]) -> float:
    """Seconds to wait behind bytes [at, upto)."""
    pause = 0.0
    for fault in faults:
        match fault:
            case Drip(where, _, seconds) if at >= where:
                pause = max(pause, seconds)
            case Rate(rate):
                pause = max(pause, (upto - at) / rate)
    return pause


async def _arrived(writer: asyncio.StreamWriter) -> None:
    """Wait until the other side's kernel has what was sent, which a reset would overtake and destroy otherwise.

    No event tells it. Who does not read within ARRIVAL seconds loses something: that is a reset, too.
    """
    sock = writer.get_extra_info("socket")
    for _ in range(int(ARRIVAL / 0.001)):
        try:
            if not struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]:
                return
        except OSError:
            return
        await asyncio.sleep(0.001)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with RST, not FIN."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
