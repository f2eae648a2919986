"""An origin that says what a case's steps want, and remembers what it was asked."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from edge.http.dates import format_date
from edge.http.status import reason
from tests.conformance.case import Answer

UNEXPECTED = 597
_WHEN = re.compile(r"<now([+-]\d+)?>")


def dated(text: str, now: float) -> str:
    """`<now-60>` as an HTTP date."""
    return _WHEN.sub(lambda match: format_date(now + int(match[1] or 0)).decode(), text)


@dataclass
class Seen:
    """A request that came to the origin."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    def value(self, name: str) -> str | None:
        found = [value for given, value in self.fields if given.lower() == name.lower()]
        return ", ".join(found) if found else None


@dataclass
class Script:
    """What one case's path answers next, and what was asked of it. `otherwise`: when nothing is next."""

    now: float
    otherwise: Callable[[Seen], Answer] | None = None
    answers: deque[Answer] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self, seen: Seen) -> Answer:
        if self.answers:
            return self.answers.popleft()
        return Answer(UNEXPECTED, body="the origin was asked") if self.otherwise is None else self.otherwise(seen)


class ScriptedOrigin:
    """Scripts by case id; anything else is answered with 597."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen = await read_request(reader)
        match = re.match(r"/c/([^/?]+)", seen.target)
        script = self.scripts.get(match[1]) if match else None
        if script is None:
            writer.write(worded(Answer(UNEXPECTED, body="no such case"), "GET", 0.0))
            return True
        script.seen.append(seen)
        answer = script.next(seen)
        script.changed.set()
        if answer.hang_up:
            return False
        if answer.delay:
            await asyncio.sleep(answer.delay)
        writer.write(worded(answer, seen.method, script.now))
        await writer.drain()
        return answer.cut is None and answer.length

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Seen:
    """One request with its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    fields = [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    seen = Seen(method, target, fields, b"")
    if seen.value("transfer-encoding"):
        while size := int(await reader.readline(), 16):
            seen.body += await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass
    elif length := seen.value("content-length"):
        seen.body = await reader.readexactly(int(length))
    return seen


def worded(answer: Answer, method: str, now: float) -> bytes:
    """The bytes of an answer."""
    if answer.raw:
        return dated(answer.raw, now).encode("latin-1")
    lines = [f"HTTP/1.1 {answer.status} {reason(answer.status).decode() or 'Unnamed'}"]
    lines += [f"{name}: {dated(value, now)}" for name, value in answer.fields]
    if answer.date is not None and not any(name.lower() == "date" for name, _ in answer.fields):
        lines.append(f"Date: {dated(answer.date, now)}")
    body = answer.body.encode("latin-1")
    bodiless = answer.status in (204, 304)
    if answer.chunked:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, answer.trailers.encode())
    elif not bodiless and answer.length and not any(name.lower() == "content-length" for name, _ in answer.fields):
        lines.append(f"Content-Length: {len(body)}")
    elif not answer.length:
        lines.append("Connection: close")
    if method == "HEAD" or bodiless:
        body = b""
    if answer.cut is not None:
        body = body[: answer.cut]
    interim = dated(answer.interim, now).encode("latin-1")
    return interim + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def scripted_origin() -> AsyncIterator[ScriptedOrigin]:
    origin = ScriptedOrigin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield origin
    finally:
        server.close()
        await origin.close()
        await server.wait_closed()
