"""The operators' HTTP."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from edge.observe.overview import Reading
from edge.runtime.admin import Admin
from edge.runtime.listeners import bind, spoken


class Server:
    """An admin listener whose metrics and readiness the test sets."""

    def __init__(self) -> None:
        self.metrics = b"edge_build_info 1.0\n"
        self.ready = (True, "ready")
        self.url = ""
        self.hits = 0

    def render(self) -> bytes:
        if self.metrics == b"broken":
            raise RuntimeError("a cell's own fault")
        return self.metrics

    def reading(self) -> Reading:
        self.hits += 1000
        return {"edge_cache_requests_total": {("films", "hit", "volume"): self.hits}}


@pytest.fixture
async def served() -> AsyncIterator[Server]:
    made = Server()
    sock = bind("127.0.0.1:0", "admin.listen")
    made.url = f"http://{spoken(sock)}"
    admin = Admin(made, lambda: made.ready)
    await admin.start(sock)
    yield made
    await admin.stop()
    await admin.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_metrics_are_what_render_gives(served: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(served.url + "/metrics") as got:
        assert got.status == 200
        assert got.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert got.headers["Cache-Control"] == "no-store"
        assert await got.read() == served.metrics


async def test_readiness_is_503_with_the_reason_and_health_is_not(served: Server, http: aiohttp.ClientSession) -> None:
    for state, status in (((True, "ready"), 200), ((False, "draining"), 503)):
        served.ready = state
        async with http.get(served.url + "/readyz") as got:
            assert (got.status, await got.text()) == (status, state[1] + "\n")
        async with http.get(served.url + "/healthz") as got:
            assert (got.status, await got.text()) == (200, "ok\n")


async def test_the_index_leads_everywhere(served: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(served.url + "/") as got:
        text = await got.text()
        assert got.headers["Content-Type"].startswith("text/html")
    for path in ("/metrics", "/healthz", "/readyz"):
        assert f'href="{path}"' in text
        async with http.get(served.url + path) as got:
            assert got.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(served: Server, http: aiohttp.ClientSession, method: str) -> None:
    for path in ("/", "/metrics", "/healthz", "/readyz"):
        async with http.request(method, served.url + path) as got:
            assert got.status == 405
            assert got.headers["Allow"] == "GET,HEAD"


async def test_head_is_as_get_without_a_body(served: Server, http: aiohttp.ClientSession) -> None:
    async with http.head(served.url + "/readyz") as got:
        assert got.status == 200
        assert await got.read() == b""


async def test_other_paths_are_404_and_a_failing_scrape_ends_nothing(
    served: Server, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get(served.url + "/purge") as got:
        assert got.status == 404
    served.metrics = b"broken"
    async with http.get(served.url + "/metrics") as got:
        assert got.status == 500
    assert "a cell's own fault" in caplog.text
    served.metrics = b"again"
    async with http.get(served.url + "/metrics") as got:
        assert got.status == 200


async def next_event(got: aiohttp.ClientResponse) -> dict[str, Any]:
    line = await got.content.readline()
    assert line.startswith(b"data: ")
    assert await got.content.readline() == b"\n"
    found: dict[str, Any] = json.loads(line[6:])
    return found


async def test_who_watches_is_told_again_and_again_and_all_hear_the_same(
    served: Server, http: aiohttp.ClientSession
) -> None:
    async with http.get(served.url + "/events") as one, http.get(served.url + "/events") as other:
        assert one.headers["Content-Type"] == "text/event-stream"
        assert one.headers["Cache-Control"] == "no-store"
        heard = await next_event(one)
        assert (heard["state"], heard["hit_ratio"], heard["sites"]) == ("ready", 1.0, [])
        assert await next_event(other) == heard
        served.ready = (False, "draining")
        while (await next_event(one))["state"] != "draining":
            pass
    readings = served.hits
    async with asyncio.timeout(10):
        while True:  # nobody watches: a last reading or two, and no more
            await asyncio.sleep(1.5)
            if served.hits == readings:
                break
            readings = served.hits


async def test_a_reading_that_fails_ends_the_events_and_browsers_may_come_again(
    served: Server, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = served.reading

    def broken() -> Reading:
        raise RuntimeError("a cell's own fault")

    monkeypatch.setattr(served, "reading", lambda: reading() if served.hits < 2000 else broken())
    async with http.get(served.url + "/events") as got:
        await next_event(got)
        assert await got.content.read() == b""
    assert "a cell's own fault" in caplog.text


async def test_the_page_is_all_our_own(served: Server, http: aiohttp.ClientSession) -> None:
    for path, kind in (("/", "text/html"), ("/status.js", "text/javascript"), ("/status.css", "text/css")):
        async with http.get(served.url + path) as got:
            assert got.headers["Content-Type"] == f"{kind}; charset=utf-8"
            assert "default-src 'none'" in got.headers["Content-Security-Policy"]
            text = await got.text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|innerHTML|eval\(", text), path
