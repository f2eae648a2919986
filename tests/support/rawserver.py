"""A scripted origin: raw bytes on a socket, so that it can break every rule."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    fields: dict[str, str]
    connection: int


@dataclass
class Wire:
    """A connection's two ends, with the verbs of a script."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Script = Callable[[Asked, Wire], Awaitable[None]]


@dataclass
class RawServer:
    """Answers each request with `script`; `asked` keeps what came. Use it as an async context."""

    script: Script
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        wire = Wire(reader, writer, self.connections)
        try:
            while True:
                asked = await self._read(reader, wire.number)
                self.asked.append(asked)
                await self.script(asked, wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Asked:
        raw = await reader.readuntil(b"\r\n\r\n")
        line, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = line.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        return Asked(method, target, fields, number)


def range_of(asked: Asked, total: int) -> tuple[int, int] | None:
    """The half-open stretch that a request's Range asks for, None without one."""
    text = asked.fields.get("range")
    if text is None:
        return None
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, total - int(last)), total
    return int(first), min(total, int(last) + 1) if last else total


def answer(asked: Asked, body: bytes, *more: str, etag: str = '"v1"', status: int | None = None) -> bytes:
    """A correct answer to a request, ranges and If-Range included."""
    part = range_of(asked, len(body))
    if "if-range" in asked.fields and asked.fields["if-range"] != etag:
        part = None
    lines = [f"ETag: {etag}"] if etag else []
    lines += more
    if part is not None and part[0] >= len(body):
        return f"HTTP/1.1 416 No\r\nContent-Range: bytes */{len(body)}\r\nContent-Length: 0\r\n\r\n".encode()
    if part is None:
        head, sent = f"HTTP/1.1 {status or 200} OK", body
    else:
        head, sent = "HTTP/1.1 206 Partial", body[part[0] : part[1]]
        lines.append(f"Content-Range: bytes {part[0]}-{part[1] - 1}/{len(body)}")
    lines.append(f"Content-Length: {len(sent)}")
    text = "\r\n".join([head, *lines])
    return f"{text}\r\n\r\n".encode() + (b"" if asked.method == "HEAD" else sent)
