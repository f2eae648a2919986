"""The operators' HTTP."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from edge.runtime.admin import Admin
from edge.runtime.listeners import bind, spoken


class Server:
    """An admin listener whose metrics and readiness the test sets."""

    def __init__(self) -> None:
        self.metrics = b"edge_build_info 1.0\n"
        self.ready = (True, "ready")
        self.url = ""

    def render(self) -> bytes:
        if self.metrics == b"broken":
            raise RuntimeError("a cell's own fault")
        return self.metrics


@pytest.fixture
async def served() -> AsyncIterator[Server]:
    made = Server()
    sock = bind("127.0.0.1:0", "admin.listen")
    made.url = f"http://{spoken(sock)}"
    admin = Admin(made.render, lambda: made.ready)
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
