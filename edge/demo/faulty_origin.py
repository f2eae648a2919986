"""The same self-describing objects, from a server that breaks the wire when it is asked to: `?fault=KIND`.

Raw asyncio streams: aiohttp cannot send broken framing. Without a fault it answers as rightly as `origin_server`.
`python -m edge.demo.faulty_origin --listen HOST:PORT` runs it alone and prints the chosen port.
"""

import asyncio
import socket
import struct
import sys
from typing import Final, Self
from urllib.parse import parse_qs, unquote

from edge.demo import control
from edge.demo.alone import run_alone
from edge.demo.answers import Answer, NoSuchObject, decide
from edge.demo.faults import Body, End, Pause, Script, Send, broken, right
from edge.demo.ledger import Asked, Ledger
from edge.demo.wishes import Wishes, WrongWish, wishes_of
from edge.errors import BadRequest
from edge.tasks import Tasks

HEAD_MOST: Final = 64 * 1024  # bytes of a request head
CHUNK: Final = 64 * 1024  # bytes between two looks at the gates
TICKS: Final = 20  # writes a second when a rate is asked for


class FaultyOrigin:
    """One listening socket; use it as an async context."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.connections = 0  # how many were ever accepted
        self.port = port
        self._host = host
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks = Tasks("faulty origin")

    def __repr__(self) -> str:
        return f"<FaultyOrigin {self._host}:{self.port}, {len(self._writers)} open of {self.connections}>"

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, self.port, limit=HEAD_MOST)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.ledger.release_all()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._tasks.close()
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        self._tasks.spawn(self._serve(reader, writer), f"connection {self.connections}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await _read_head(reader)) is not None:
                if not await self._answer(read_request(head), reader, writer):
                    break
        except BadRequest as error:
            writer.write(f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{error.detail}\n".encode())
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send one answer; False if the connection ends with it."""
        answer, script, wishes = self._decide(asked)
        if wishes.delay:
            await asyncio.sleep(wishes.delay)
        await self.ledger.gate(asked.path, None)
        await self._play(script, answer, wishes.rate, writer)
        match script.end:
            case End.KEEP:
                return asked.fields.get("connection", "").lower() != "close"
            case End.STALL:
                while await reader.read(CHUNK):
                    pass  # until the client leaves
            case End.RESET:
                _reset(writer)
            case End.CLOSE:
                pass
        return False

    def _decide(self, asked: Asked) -> tuple[Answer, Script, Wishes]:
        wishes = Wishes()
        try:
            told = control.command(self.ledger, asked.path, parse_qs(asked.query, keep_blank_values=True))
            if told is not None:
                answer = Answer(200, control.FIELDS, text=told)
            else:
                number = self.ledger.note(asked)
                wishes = wishes_of(asked.query)
                answer = decide(asked, wishes, self.ledger.version(asked.path))
                if wishes.fault is not None and (not wishes.times or number <= wishes.times):
                    return answer, broken(answer, asked.method, wishes.fault, wishes.at, number), wishes
        except (NoSuchObject, WrongWish) as wrong:
            status = 404 if isinstance(wrong, NoSuchObject) else 400
            answer, wishes = Answer(status, control.PLAIN, text=f"{wrong}\n".encode()), Wishes()
        return answer, right(answer, asked.method, chunked=wishes.chunked), wishes

    async def _play(self, script: Script, answer: Answer, rate: float, writer: asyncio.StreamWriter) -> None:
        for step in script.steps:
            match step:
                case Send(data):
                    writer.write(data)
                case Pause(seconds):
                    await writer.drain()
                    await asyncio.sleep(seconds)
                case Body():
                    await self._send_body(step, answer, rate, writer)
        await writer.drain()

    async def _send_body(self, body: Body, answer: Answer, rate: float, writer: asyncio.StreamWriter) -> None:
        step = max(1, int(rate / TICKS)) if rate else CHUNK
        at = body.start
        while at < body.end:
            await self.ledger.gate(answer.path, at)
            stop = self.ledger.stop_at(answer.path, at + 1)
            upto = min(body.end, at + step, body.end if stop is None else stop)
            writer.write(_framed(body, answer.body(at, upto), at))
            await writer.drain()
            if rate:
                await asyncio.sleep((upto - at) / rate)
            at = upto
        await self.ledger.gate(answer.path, at)


def read_request(head: bytes) -> Asked:
    """A request from its head; BadRequest if it is none."""
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    try:
        method, target, version = line.split(" ")
    except ValueError:
        raise BadRequest(f"no request line: {line[:80]!r}") from None
    if not version.startswith("HTTP/1.") or not target.startswith("/"):
        raise BadRequest(f"no request line: {line[:80]!r}")
    path, _, query = target.partition("?")
    fields: dict[str, str] = {}
    for text in lines:
        name, colon, value = text.partition(":")
        if not colon:
            raise BadRequest(f"no field: {text[:80]!r}")
        name, value = name.lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return Asked(method, unquote(path), query, fields)


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    """The next request's head, None when the client has ended."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise BadRequest("a head of more than 64 KiB") from None


def _framed(body: Body, data: bytes, at: int) -> bytes:
    if body.flip is not None and at <= body.flip < at + len(data):
        wrong = bytearray(data)
        wrong[body.flip - at] ^= 1
        data = bytes(wrong)
    return b"%x\r\n%b\r\n" % (len(data), data) if body.chunked else data


def _reset(writer: asyncio.StreamWriter) -> None:
    """End with RST, not FIN; what has been written and not yet sent is lost with it."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(host: str, port: int) -> None:
    """Serve until cancelled; the chosen port is printed."""
    async with FaultyOrigin(host, port) as origin:
        print(f"origin on {origin.url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(run_alone("an origin that breaks the wire when asked to", serve))
