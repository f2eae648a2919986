"""Both origins over real sockets: the right one answers rightly, the other breaks the wire as it is asked to."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from tests.support.selforigin import FaultyOrigin, Ledger, Origin, body_slice, check, raw_answer

SIZE = 300_000
PATH = f"/s/{SIZE}/a.ts"


@dataclass
class Running:
    url: str
    ledger: Ledger
    port: int


@asynccontextmanager
async def right_origin() -> AsyncIterator[Running]:
    origin = Origin()
    runner = web.AppRunner(origin.app(), access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        yield Running(f"http://127.0.0.1:{port}", origin.ledger, port)
    finally:
        origin.ledger.release_all()
        await runner.cleanup()


@asynccontextmanager
async def faulty_origin() -> AsyncIterator[Running]:
    async with FaultyOrigin() as origin:
        yield Running(origin.url, origin.ledger, origin.port)


@pytest.fixture(params=["aiohttp", "raw"])
async def origin(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with right_origin() if request.param == "aiohttp" else faulty_origin() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield session
    await asyncio.sleep(0)


async def test_a_whole_object_comes_with_its_length_and_its_proof(origin: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(origin.url + PATH) as got:
        body = await got.read()
    assert got.status == 200
    assert got.headers["Content-Length"] == str(SIZE) == str(len(body))
    assert got.headers["ETag"] == '"1"'
    assert check(PATH, 1, 0, body) is None


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=64-127", 64, 128),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        ("bytes=1000-99999999", 1000, SIZE),
    ],
)
async def test_a_range_is_exact(origin: Running, http: aiohttp.ClientSession, text: str, start: int, end: int) -> None:
    async with http.get(origin.url + PATH, headers={"Range": text}) as got:
        body = await got.read()
    assert got.status == 206
    assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert got.headers["Content-Length"] == str(end - start)
    assert body == body_slice(PATH, 1, start, end)


async def test_what_cannot_be_satisfied_tells_the_total(origin: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(origin.url + PATH, headers={"Range": f"bytes={SIZE}-"}) as got:
        assert await got.read() == b""
    assert got.status == 416
    assert got.headers["Content-Range"] == f"bytes */{SIZE}"


async def test_conditions_are_answered_with_the_version_in_mind(origin: Running, http: aiohttp.ClientSession) -> None:
    async def ask(**fields: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        async with http.get(origin.url + PATH, headers=headers) as got:
            body = await got.read()
        if got.status in (200, 206):
            assert check(PATH, origin.ledger.version(PATH), 0, body) is None
        return got.status

    assert await ask(If_None_Match='"1"') == 304
    assert await ask(Range="bytes=0-99", If_Range='"1"') == 206
    async with http.get(origin.url + f"/_bump?path={PATH}") as got:
        assert json.loads(await got.read()) == {"path": PATH, "version": 2}
    assert await ask(If_None_Match='"1"') == 200
    assert await ask(Range="bytes=0-99", If_Range='"1"') == 200
    assert await ask(Range="bytes=0-99", If_Range='"2"') == 206
    assert await ask(If_Match='"1"') == 412


async def test_a_head_is_told_what_a_get_would_be_and_gets_no_body(origin: Running) -> None:
    answer = await raw_answer(origin.port, PATH, "Range: bytes=0-9", method="HEAD")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {SIZE}".encode() in head
    assert body == b""


async def test_connections_are_kept_for_the_next_request(origin: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
    for _ in range(3):
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-63\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(64) == body_slice(PATH, 1, 0, 64)
    writer.close()
    await writer.wait_closed()


async def test_chunked_zipped_and_rangeless_bodies_are_the_same_content(
    origin: Running, http: aiohttp.ClientSession
) -> None:
    async with http.get(origin.url + PATH + "?chunked") as got:
        body = await got.read()
        assert got.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in got.headers
    assert check(PATH, 1, 0, body) is None
    assert len(body) == SIZE
    async with http.get(origin.url + PATH + "?gzip", headers={"Accept-Encoding": "gzip"}) as got:
        assert check(PATH, 1, 0, gzip.decompress(await got.read())) is None
    async with http.get(origin.url + PATH + "?norange", headers={"Range": "bytes=0-9"}) as got:
        assert got.status == 200
        assert len(await got.read()) == SIZE


async def test_statuses_and_redirects_are_as_asked(origin: Running, http: aiohttp.ClientSession) -> None:
    for status in (204, 404, 503):
        async with http.get(origin.url + PATH + f"?status={status}&cc=max-age%3D3") as got:
            assert got.status == status
            assert got.headers["Cache-Control"] == "max-age=3"
    async with http.get(origin.url + PATH + "?redirect=/else&status=307", allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (307, "/else")
    for path, expected in (("/s/x/a", 404), (PATH + "?delay=soon", 400), ("/_bump", 400), ("/_hold?path=/a&at=x", 400)):
        async with http.get(origin.url + path) as got:
            assert got.status == expected, path


async def test_requests_are_counted_by_path_and_range_and_listed_with_their_fields(
    origin: Running, http: aiohttp.ClientSession
) -> None:
    async def told(path: str) -> object:
        async with http.get(origin.url + path) as got:
            return await got.json()

    for text in ("bytes=0-9", "bytes=0-9", "bytes=10-19"):
        async with http.get(origin.url + PATH + "?token=1", headers={"Range": text, "X-Mine": "yes"}) as got:
            await got.read()
    assert await told("/_counts") == {PATH: 3}
    assert await told("/_counts?by=range") == {PATH: {"bytes=0-9": 2, "bytes=10-19": 1}}
    listed = await told(f"/_requests?path={PATH}")
    assert isinstance(listed, list)
    assert [(one["method"], one["query"], one["fields"]["x-mine"]) for one in listed] == [("GET", "token=1", "yes")] * 3
    assert await told("/_reset") == "ok"
    assert await told("/_counts") == {}


async def test_an_answer_is_held_before_its_head_and_in_its_body(origin: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(origin.url + f"/_hold?path={PATH}") as got:
        assert got.status == 200
    task = asyncio.create_task(http.get(origin.url + PATH))
    await origin.ledger.held(PATH)
    assert not task.done()
    origin.ledger.hold(PATH, 100_001)
    async with await task as got:
        assert got.status == 200
        body = await got.content.readexactly(100_001)
        await origin.ledger.held(PATH)
        async with http.get(origin.url + f"/_waiting?path={PATH}") as waiting:
            assert (await waiting.json())["waiting"] == 1
        async with http.get(origin.url + f"/_release?path={PATH}") as released:
            assert (await released.json())["released"] is True
        body += await got.read()
    assert check(PATH, 1, 0, body) is None
    assert len(body) == SIZE


async def test_a_rate_and_a_delay_slow_an_answer_down(origin: Running, http: aiohttp.ClientSession) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with http.get(origin.url + "/s/20000/slow.ts?rate=100000&delay=50") as got:
        body = await got.read()
    assert loop.time() - begun >= 0.05 + 3 * 5000 / 100_000 - 0.02  # four pieces, three waits
    assert check("/s/20000/slow.ts", 1, 0, body) is None


async def test_a_client_that_leaves_in_the_middle_is_no_error(
    origin: Running, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/s/50000000/long.ts"
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    await reader.readexactly(100_000)
    writer.transport.abort()
    async with http.get(origin.url + PATH) as got:
        assert check(PATH, 1, 0, await got.read()) is None
    assert not caplog.records


async def test_the_right_origin_refuses_to_break_the_wire(http: aiohttp.ClientSession) -> None:
    async with right_origin() as origin, http.get(origin.url + PATH + "?fault=short") as got:
        assert got.status == 501
        assert "faulty_origin" in await got.text()
