"""Requests with bodies on their way to the origin: what it gets, and what comes of every way to go wrong.

A real edge before an origin that reads raw bytes. Each case has a path of its own; after each the connection is used
again, or was closed, and the origin has seen as many requests as it should.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.support.edgeproc import running_edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOUND = 65536
CONFIG = f"[origin]\nhedge = false\n[server]\nmax_body = {BOUND}\n"
LARGE = b"0123456789" * 6000  # within the bound
HOST = b"Host: any.example\r\n"


@dataclass
class Got:
    """One request as the origin got it. `whole`: its body came to its end."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = False
    connection: int = 0

    def value(self, name: str) -> str | None:
        found = [value for given, value in self.fields if given.lower() == name]
        return ", ".join(found) if found else None


@dataclass
class RawOrigin:
    """Answers by the path's last segment; `got` by path."""

    got: dict[str, list[Got]] = field(default_factory=dict)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.rstrip("\r\n").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
        got = Got(line, fields, connection=number)
        path = line.split(" ")[1]
        self.got.setdefault(path, []).append(got)
        behaviour = path.rpartition("/")[2]
        if behaviour == "early":
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            await writer.drain()
        if behaviour == "close":
            await reader.readexactly(1)
            return False
        await self._read_body(reader, got)
        if behaviour == "early":
            return True
        if behaviour == "silent":
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(got.body), got.body))
        await writer.drain()
        return True

    async def _read_body(self, reader: asyncio.StreamReader, got: Got) -> None:
        if got.value("transfer-encoding"):
            while size := int(await reader.readline(), 16):
                got.body += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readexactly(2) == b"\r\n"
        elif length := got.value("content-length"):
            left = int(length)
            while left:
                data = await reader.read(left)
                if not data:
                    raise asyncio.IncompleteReadError(got.body, None)
                got.body += data
                left -= len(data)
        got.whole = True


class Client:
    """One raw connection to the edge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, fields, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.rstrip("\r\n").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        status = int(line.split(" ")[1])
        length = int(fields.get("content-length", 0)) if status >= 200 else 0
        return status, fields, await self.reader.readexactly(length)

    async def closed(self) -> bool:
        """Does the edge close it, whatever else it sends?"""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        return True

    async def stays(self) -> bool:
        """Is the next request understood for what it is?"""
        await self.send(b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
        return (await self.answer())[0] == 200


@dataclass
class Bench:
    url: str
    origin: RawOrigin

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            async with asyncio.timeout(20):
                yield Client(reader, writer)
        finally:
            writer.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def table(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One edge for all of them: what one leaves behind is the next one's to find."""
    directory, origin = tmp_path_factory.mktemp("bodies"), RawOrigin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    origin.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    (directory / "edge.toml").write_text(CONFIG)
    flags = ("--profile", "rfc9111", "--config", str(directory / "edge.toml"))
    async with running_edge(directory / "cache", origin.url, *flags, workers=1) as edge:
        try:
            yield Bench(edge.url, origin)
        finally:
            server.close()


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def post(path: str, *lines: bytes, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    return (
        b"%b %b HTTP/%b\r\n" % (method, path.encode(), version) + HOST + b"".join(x + b"\r\n" for x in lines) + b"\r\n"
    )


EVIL = b"GET /evil HTTP/1.1\r\nX: y"
CHUNKED, LENGTH = b"Transfer-Encoding: chunked", b"Content-Length: %d"
# Each body as it is sent, what the origin is to get of it, and how that is framed.
PASSED = {
    "length": ((b"Content-Length: 5",), b"hello", b"hello", "5"),
    "length-zeros": ((b"Content-Length: 005",), b"hello", b"hello", "5"),
    "length-blanks": ((b"Content-Length:  \t 5 \t",), b"hello", b"hello", "5"),
    "length-large": ((LENGTH % len(LARGE),), LARGE, LARGE, str(len(LARGE))),
    "length-bound": ((LENGTH % BOUND,), b"x" * BOUND, b"x" * BOUND, str(BOUND)),
    "length-0": ((b"Content-Length: 0",), b"", b"", "0"),
    "none": ((), b"", b"", "0"),
    "chunked": ((CHUNKED,), b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", None),
    "chunked-case": ((b"transfer-ENCODING: CHUNKED",), b"5\r\nhello\r\n0\r\n\r\n", b"hello", None),
    "chunked-empty": ((CHUNKED,), b"0\r\n\r\n", b"", None),
    "chunked-hex": ((CHUNKED,), b"00A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", None),
    "chunked-last-zeros": ((CHUNKED,), b"1\r\nx\r\n000\r\n\r\n", b"x", None),
    "chunked-extension": ((CHUNKED,), b'5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n', b"hello", None),
    "chunked-trailers": ((CHUNKED,), b"5\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 99\r\n\r\n", b"hello", None),
    "chunked-looks-like-a-request": ((CHUNKED,), b"18\r\n%b\r\n0\r\n\r\n" % EVIL, EVIL, None),
    "length-looks-like-a-request": ((b"Content-Length: 24",), EVIL, EVIL, "24"),
    "expect-sent-at-once": ((b"Content-Length: 5", b"Expect: 100-continue"), b"hello", b"hello", "5"),
}  # fmt: skip


async def test_every_framing_reaches_the_origin_as_one_body_and_the_next_request_begins_behind_it(table: Bench) -> None:
    for name, (lines, sent, expected, length) in PASSED.items():
        async with table.client() as client:
            await client.send(post(f"/{name}", *lines) + sent)
            status, _, body = await client.answer()
            if status == 100:
                status, _, body = await client.answer()
            assert (status, body) == (200, expected), name
            assert await client.stays(), name
        (got,) = table.origin.got[f"/{name}"]
        assert (got.body, got.whole, got.value("content-length")) == (expected, True, length), name
        assert got.value("transfer-encoding") == ("chunked" if length is None else None), name
        assert got.value("expect") is None, name
        assert got.value("x-t") is None, name
        assert got.value("trailer") is None, name
    assert "/evil" not in table.origin.got


REFUSED = {
    "length-and-chunked": post("/x", b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
    "chunked-and-length": post("/x", CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n",
    "two-lengths": post("/x", b"Content-Length: 5", b"Content-Length: 6") + b"hello!",
    "length-list": post("/x", b"Content-Length: 5, 5") + b"hello",
    "length-plus": post("/x", b"Content-Length: +5") + b"hello",
    "length-minus": post("/x", b"Content-Length: -5") + b"hello",
    "length-hex": post("/x", b"Content-Length: 0x5") + b"hello",
    "length-fraction": post("/x", b"Content-Length: 5.0") + b"hello",
    "length-inner-blank": post("/x", b"Content-Length: 1 5") + b"hello",
    "length-endless": post("/x", b"Content-Length: " + b"9" * 40) + b"hello",
    "length-name-blank": post("/x", b"Content-Length : 5") + b"hello",
    "length-folded": post("/x", b"Content-Length:\r\n 5") + b"hello",
    "coding-other": post("/x", b"Transfer-Encoding: gzip") + b"0\r\n\r\n",
    "coding-unknown": post("/x", b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "coding-identity": post("/x", b"Transfer-Encoding: identity", b"Content-Length: 5") + b"hello",
    "coding-list": post("/x", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "coding-not-last": post("/x", b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
    "coding-twice": post("/x", b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "coding-lines": post("/x", CHUNKED, CHUNKED) + b"0\r\n\r\n",
    "coding-second-line": post("/x", CHUNKED, b"Transfer-Encoding: identity") + b"0\r\n\r\n",
    "coding-parameter": post("/x", b"Transfer-Encoding: chunked;q=1") + b"0\r\n\r\n",
    "coding-quoted": post("/x", b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "coding-vertical-tab": post("/x", b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "coding-name-blank": post("/x", b"Transfer-Encoding : chunked") + b"0\r\n\r\n",
    "coding-folded": post("/x", b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n",
    "coding-folded-away": post("/x", b"X: y\r\n Transfer-Encoding: chunked", b"Content-Length: 5") + b"hello",
    "coding-in-1.0": post("/x", CHUNKED, version=b"1.0") + b"0\r\n\r\n",
    "coding-null": post("/x", b"Transfer-Encoding: chunked\0") + b"0\r\n\r\n",
    "bare-lf-in-head": b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 5\n\r\nhello",
    "bare-lf-hides-field": post("/x", b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 5") + b"hello",
    "bare-cr-hides-field": post("/x", b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 5") + b"hello",
    "bare-lf-ends-head": b"POST /x HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
}  # fmt: skip
# Chunked bodies that go wrong when the request's head is good already: it may have gone to the origin, no more.
BROKEN = {
    "chunk-bare-lf": b"5\nhello\r\n0\r\n\r\n",
    "chunk-hex-sign": b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk-plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk-minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk-blank-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "chunk-blank-behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk-empty-size": b"\r\nhello\r\n0\r\n\r\n",
    "chunk-only-extension": b";x\r\nhello\r\n0\r\n\r\n",
    "chunk-word": b"five\r\nhello\r\n0\r\n\r\n",
    "chunk-overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk-too-short": b"4\r\nhello\r\n0\r\n\r\n",
    "chunk-no-end": b"5\r\nhello0\r\n\r\n",
    "chunk-data-lf": b"5\r\nhello\n0\r\n\r\n",
    "chunk-extension-lf": b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "chunk-extension-cr": b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
    "chunk-extension-long": b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
    "last-chunk-bare-lf": b"5\r\nhello\r\n0\n\n",
    "trailer-no-colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "trailer-folded": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer-lf": b"5\r\nhello\r\n0\r\nX: y\n\r\n\r\n",
    "trailers-endless": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
}


async def test_what_could_be_read_in_two_ways_never_reaches_the_origin(table: Bench) -> None:
    for name, sent in REFUSED.items():
        async with table.client() as client:
            await client.send(sent + post("/smuggled"))
            status, fields, _ = await client.answer()
            assert (status in (400, 413), fields["connection"]) == (True, "close"), name
            assert await client.closed(), name
    assert table.origin.got.keys().isdisjoint({"/x", "/smuggled"})
    async with table.client() as client:
        assert await client.stays()


async def test_a_chunked_body_that_goes_wrong_is_never_whole_at_the_origin(table: Bench) -> None:
    for name, sent in BROKEN.items():
        for at_once in (True, False):
            path = f"/{name}/{at_once}"
            async with table.client() as client:
                await client.send(post(path, CHUNKED) + (sent + post("/smuggled") if at_once else b""))
                if not at_once:
                    await until(lambda path=path: path in table.origin.got)
                    await client.send(sent + post("/smuggled"))
                status, fields, _ = await client.answer()
                assert (status, fields["connection"]) == (400, "close"), name
                assert await client.closed(), name
            assert not any(got.whole for got in table.origin.got.get(path, [])), name
            assert len(table.origin.got.get(path, [])) == (0 if at_once else 1), name
    assert "/smuggled" not in table.origin.got


async def test_who_waits_for_leave_gets_it_when_the_body_is_wanted_and_else_his_answer(table: Bench) -> None:
    async with table.client() as client:
        await client.send(post("/waits", b"Content-Length: 5", b"Expect: 100-continue"))
        assert (await client.answer())[0] == 100
        await client.send(b"hello")
        assert (await client.answer())[2] == b"hello"
        assert await client.stays()
    refused = {
        "too-large": (post("/no", LENGTH % (BOUND + 1), b"Expect: 100-continue"), 413),
        "method": (post("/no", b"Content-Length: 5", b"Expect: 100-continue", method=b"TRACE"), 405),
        "loop": (post("/no", b"Content-Length: 5", b"Expect: 100-continue", b"CDN-Loop: edge"), 508),
    }
    for name, (sent, expected) in refused.items():
        async with table.client() as client:
            await client.send(sent)
            status, fields, _ = await client.answer()
            assert (status, fields["connection"]) == (expected, "close"), name
            assert await client.closed(), name
    assert "/no" not in table.origin.got


async def test_an_origin_that_answers_early_is_heard_and_the_rest_of_the_body_is_no_request(table: Bench) -> None:
    for name, lines, first, rest in (
        ("length", (LENGTH % len(LARGE),), LARGE[:100], LARGE[100:]),
        ("chunked", (CHUNKED,), b"5\r\nhello\r\n", b"5\r\nworld\r\n0\r\n\r\n"),
        ("looks-like-a-request", (b"Content-Length: 500",), b"GET /evil HTTP/1.1\r\n", b"Host: a\r\n\r\n" * 44),
    ):
        async with table.client() as client:
            await client.send(post(f"/{name}/early", *lines) + first)
            status, fields, body = await client.answer()
            assert (status, body, fields["connection"]) == (403, b"no", "close"), name
            try:
                await client.send(rest + post("/evil"))
            except ConnectionError:
                pass
            assert await client.closed(), name
        (got,) = table.origin.got[f"/{name}/early"]
        assert not got.whole, name
    assert "/evil" not in table.origin.got
    async with table.client() as client:  # and nobody else gets the connection of which half is missing
        assert await client.stays()
    broken = {table.origin.got[path][0].connection for path in table.origin.got if path.endswith("/early")}
    assert len(broken) == 3
    assert table.origin.got["/next"][-1].connection not in broken


async def test_an_origin_that_breaks_off_is_not_asked_twice(table: Bench) -> None:
    for path, lines, sent in (
        ("/length/close", (LENGTH % len(LARGE),), LARGE),
        ("/chunked/close", (CHUNKED,), b"%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE)),
        ("/none/silent", (), b""),
        ("/whole/silent", (b"Content-Length: 5",), b"hello"),
    ):
        async with table.client() as client:
            await client.send(post(path, *lines) + sent)
            status, fields, _ = await client.answer()
            assert status == 502, path
            assert "fwd=method; detail=" in fields["cache-status"], path
        assert len(table.origin.got[path]) == 1, path
    async with table.client() as client:
        assert await client.stays()


async def test_a_body_beyond_the_bound_is_refused_and_never_whole_at_the_origin(table: Bench) -> None:
    async with table.client() as client:
        await client.send(post("/told", LENGTH % (BOUND + 1)) + b"x" * 1000)
        status, fields, _ = await client.answer()
        assert (status, fields["connection"]) == (413, "close")
        assert await client.closed()
    assert "/told" not in table.origin.got
    async with table.client() as client:
        await client.send(post("/untold", CHUNKED))
        for _ in range(BOUND // 4096):
            await client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await until(lambda: [len(got.body) for got in table.origin.got.get("/untold", [])] == [BOUND])
        await client.send(b"1\r\nx\r\n0\r\n\r\n")
        status, fields, _ = await client.answer()
        assert (status, fields["connection"]) == (413, "close")
        assert await client.closed()
    (got,) = table.origin.got["/untold"]
    assert not got.whole


async def test_a_client_that_leaves_amid_its_body_has_sent_no_request(table: Bench) -> None:
    for path, lines, sent in (
        ("/left/length", (b"Content-Length: 50",), b"hello"),
        ("/left/chunked", (CHUNKED,), b"5\r\nhello\r\n"),
    ):
        async with table.client() as client:
            await client.send(post(path, *lines) + sent)
            await until(lambda path=path: table.origin.got.get(path) and table.origin.got[path][0].body == b"hello")
        async with table.client() as client:
            assert await client.stays()
        (got,) = table.origin.got[path]
        assert not got.whole
        assert table.origin.got["/next"][-1].connection != got.connection


async def test_the_names_of_trailers_and_codings_stay_on_their_connection(table: Bench) -> None:
    async with table.client() as client:
        named = (CHUNKED, b"TE: trailers", b"Trailer: X-T", b"Connection: TE, X-Mine", b"X-Mine: 1", b"X-Yours: 2")
        await client.send(post("/hops", *named) + b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
        assert (await client.answer())[2] == b"hello"
        (got,) = table.origin.got["/hops"]
        names = {name.lower() for name, _ in got.fields}
        assert names.isdisjoint({"te", "trailer", "connection", "x-mine", "x-t"})
        assert got.value("x-yours") == "2"
        assert re.fullmatch(r"POST /hops HTTP/1\.1", got.line)
