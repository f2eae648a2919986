"""Runs cases against one edge, side by side, each with a connection of its own."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tests.conformance.case import Case, Step
from tests.conformance.origin import Script, ScriptedOrigin, Seen, dated
from tests.support.cache_status import members

AT_ONCE = 24  # cases that run side by side
PATIENCE = 15.0


class Wrong(Exception):
    """A step did not come out as its case says."""


class Got:
    """The client's answer; `interim` = heads of 1xx answers before it."""

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes, interim: int) -> None:
        self.status, self.fields, self.body, self.interim = status, fields, body, interim

    def value(self, name: str) -> str | None:
        found = [value for given, value in self.fields if given.lower() == name.lower()]
        return ", ".join(found) if found else None


class Client:
    """One connection to the edge; opened again when it was closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, step: Step, path: str, now: float) -> Got:
        reader, writer = self._streams or await asyncio.open_connection(self.host, self.port)
        self._streams = reader, writer
        writer.write(self._request(step, path, now))
        await writer.drain()
        try:
            got = await read_answer(reader, step.method)
        except BaseException:
            self.close()
            raise
        if (got.value("connection") or "").lower() == "close":
            self.close()
        return got

    def _request(self, step: Step, path: str, now: float) -> bytes:
        if step.raw:
            return dated(step.raw.replace("{path}", path), now).encode("latin-1")
        lines = [f"{step.method} {path} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in step.fields):
            lines.append("Host: cache.example")
        lines += [f"{name}: {dated(value, now)}" for name, value in step.fields]
        body = step.sent.encode("latin-1")
        if step.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader, method: str) -> Got:
    """One final answer, whole."""
    interim = 0
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError as error:
            raise Wrong(f"the connection was closed after {error.partial!r}") from None
        line, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(line.split(" ")[1])
        if status >= 200:
            break
        interim += 1
    fields = [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    got = Got(status, fields, b"", interim)
    if method == "HEAD" or status in (204, 304):
        return got
    if got.value("transfer-encoding"):
        while size := int(await reader.readline(), 16):
            got.body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif length := got.value("content-length"):
        got.body = await reader.readexactly(int(length))
    else:
        got.body = await reader.read()
    return got


async def run_case(case: Case, url: str, origin: ScriptedOrigin) -> None:
    """Raises Wrong, naming the step."""
    script = origin.scripts[case.id] = Script(time.time())
    client = Client(url)
    try:
        for number, step in enumerate(case.steps, start=1):
            try:
                async with asyncio.timeout(PATIENCE):
                    await (run_until_right if step.soon else run_step)(case, step, script, client)
            except (Wrong, TimeoutError, ConnectionError, asyncio.IncompleteReadError) as wrong:
                raise Wrong(f"{case.id} ({case.section}) step {number}: {wrong or type(wrong).__name__}") from None
    finally:
        client.close()


async def run_until_right(case: Case, step: Step, script: Script, client: Client) -> None:
    for _ in range(100):
        try:
            await run_step(case, step, script, client)
            return
        except Wrong:
            await asyncio.sleep(0.05)
    await run_step(case, step, script, client)


async def run_step(case: Case, step: Step, script: Script, client: Client) -> None:
    if step.wait:
        await asyncio.sleep(step.wait)
    before = len(script.seen)
    script.answers.clear()
    script.answers.extend(answer for answer in (step.origin, step.behind) if answer is not None)
    path = f"/c/{case.id}{step.at}"
    try:
        got = await client.ask(step, path, script.now)
    except (ConnectionError, asyncio.IncompleteReadError):
        if step.broken and len(script.seen) - before == (step.origin is not None):
            return
        raise
    if step.broken:
        raise Wrong("the answer was whole")
    check_told(got)
    expected = (step.origin is not None) + (step.behind is not None)
    while step.behind is not None and len(script.seen) - before < expected:
        script.changed.clear()
        await script.changed.wait()
    asked = script.seen[before:]
    told = f"got {got.status} {got.body[:60]!r} {got.fields}"
    if len(asked) != expected:
        raise Wrong(f"the origin was asked {len(asked)} times, not {expected}; {told}")
    if step.status is not None and got.status != step.status:
        raise Wrong(f"status {got.status}, not {step.status}; {told}")
    with_body = step.method != "HEAD" and got.status not in (204, 304)
    if step.body is not None and with_body and got.body.decode("latin-1") != step.body:
        raise Wrong(f"body {got.body[:80]!r}, not {step.body[:80]!r}")
    compare("the client got", step.gets, got, script.now)
    if asked:
        compare_asked(step, asked[-1], path, script.now)


def check_told(got: Got) -> None:
    """Every answer says what this cache did for it, in one member, the last one, that another parser reads."""
    said = got.value("cache-status")
    if said is None:
        raise Wrong(f"no Cache-Status; got {got.status} {got.fields}")
    try:
        told = members(said)
    except (ValueError, AssertionError) as wrong:
        raise Wrong(f"Cache-Status {said!r}: {wrong}") from None
    if [member.cache for member in told].count("edge") != 1 or told[-1].cache != "edge":
        raise Wrong(f"Cache-Status {said!r} is not ours")


def compare_asked(step: Step, seen: Seen, path: str, now: float) -> None:
    compare("the origin saw", step.sees, seen, now)
    if seen.method != (step.sees_method or step.method):
        raise Wrong(f"the origin saw method {seen.method}")
    if step.sees_target and seen.target != step.sees_target.replace("{path}", path):
        raise Wrong(f"the origin saw target {seen.target}")
    if step.sees_body is not None and seen.body.decode("latin-1") != step.sees_body:
        raise Wrong(f"the origin saw body {seen.body!r}")


def compare(who: str, expected: Mapping[str, str | None], got: Got | Seen, now: float) -> None:
    """Each field: its value, None = absent, `~text` = contains text, `!text` = does not, `>=n` = a number."""
    for name, value in expected.items():
        found = got.value(name)
        wanted = None if value is None else dated(value, now)
        if wanted is not None and wanted.startswith(">="):
            right = found is not None and found.isdigit() and int(found) >= int(wanted[2:])
        elif wanted is not None and wanted.startswith("~"):
            right = found is not None and wanted[1:] in found
        elif wanted is not None and wanted.startswith("!"):
            right = found is None or wanted[1:] not in found
        else:
            right = found == wanted
        if not right:
            raise Wrong(f"{who} {name}: {found!r}, not {wanted!r}")


async def run_all(cases: Sequence[Case], url: str, origin: ScriptedOrigin) -> list[str]:
    """What went wrong, a line for each case."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> str:
        async with places:
            try:
                await run_case(case, url, origin)
            except Wrong as wrong:
                return str(wrong)
        return ""

    return [said for said in await asyncio.gather(*map(one, cases)) if said]
