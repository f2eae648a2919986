"""What the page's counters are made of."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web

from edge.demo.counters import Counters, counters_of, listening_socket
from edge.demo.edge_process import reachable

METRICS = """\
# HELP edge_cache_requests_total Requests
# TYPE edge_cache_requests_total counter
edge_cache_requests_total{site="a",status="hit",tier="volume"} 6
edge_cache_requests_total{site="b",status="hit",tier="volume"} 2
edge_cache_requests_total{site="a",status="miss",tier="origin"} 2
edge_cache_requests_total{site="a",status="bypass",tier="origin"} 5
# TYPE edge_cache_response_bytes_total counter
edge_cache_response_bytes_total{site="a",status="hit",tier="volume"} 1000.0
edge_cache_response_bytes_total{site="a",status="miss",tier="origin"} 24
# TYPE edge_upstream_bytes_total counter
edge_upstream_bytes_total{direction="received",member="m",upstream="o"} 500
edge_upstream_bytes_total{direction="sent",member="m",upstream="o"} 7
# TYPE edge_upstream_requests_total counter
edge_upstream_requests_total{code="200",member="m",upstream="o"} 3
edge_upstream_requests_total{code="404",member="m",upstream="o"} 1
# TYPE edge_cache_objects gauge
edge_cache_objects{volume="cache"} 3
"""


def test_samples_are_summed_over_their_labels() -> None:
    told = counters_of(METRICS)
    assert (told["requests"], told["hits"], told["misses"]) == (15, 8, 2)
    assert told["by_status"] == {"hit": 8, "miss": 2, "bypass": 5}
    assert (told["egress_bytes"], told["origin_bytes"], told["origin_requests"]) == (1024, 500, 4)
    assert told["objects"] == 3


def test_what_may_not_be_cached_does_not_lower_the_hit_ratio() -> None:
    assert counters_of(METRICS)["hit_ratio"] == 0.8
    assert counters_of("")["hit_ratio"] is None


async def ask(counters: Counters) -> tuple[int, dict[str, object], str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{counters.port}/") as got:
        answer = got.status, await got.json(), got.headers["Access-Control-Allow-Origin"]
    await asyncio.sleep(0)
    return answer


async def test_the_endpoint_tells_figures_to_any_page() -> None:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Counters("127.0.0.1") as counters:
        assert await ask(counters) == (503, {"error": "the edge is starting"}, "*")
        counters.metrics = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        status, told, _ = await ask(counters)
        assert (status, told["requests"]) == (200, 15)
        counters.metrics = f"http://127.0.0.1:{runner.addresses[0][1]}/none"
        status, told, _ = await ask(counters)
        assert status == 503
        assert "404" in str(told["error"])
    await runner.cleanup()


async def test_an_edge_that_is_gone_is_told_and_not_hidden() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Counters("127.0.0.1") as counters:
        counters.metrics = f"http://127.0.0.1:{port}/metrics"
        status, told, _ = await ask(counters)
    assert status == 503
    assert str(told["error"]).startswith("the edge's metrics do not answer: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "0.0.0.0"])
def test_the_endpoint_listens_where_the_page_is_reached(host: str) -> None:
    with listening_socket(host) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("::1" if host == "::1" else "127.0.0.1", port), 2):
            pass


def test_an_edge_on_all_addresses_is_opened_at_localhost() -> None:
    assert reachable("http://[::]:8080") == "http://localhost:8080"
    assert reachable("http://0.0.0.0:8080") == "http://localhost:8080"
    assert reachable("http://127.0.0.1:8080") == "http://127.0.0.1:8080"
