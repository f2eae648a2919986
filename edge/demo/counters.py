"""The cache's counters for the page: the edge's metrics, read and summed, as JSON with CORS.

    {"requests": 120, "hits": 80, "misses": 40, "by_status": {"hit": 80, ...}, "hit_ratio": 0.667, "egress_bytes": ...,
     "origin_requests": ..., "origin_bytes": ..., "objects": ..., "cached_bytes": ..., "connections": ...}

503 with {"error": text} says that the edge's admin side does not answer: the page shows that and not old figures.
"""

from collections import Counter
from contextlib import suppress
from socket import AF_INET, AF_INET6, create_server, has_dualstack_ipv6, socket
from typing import Any, Final, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS: Final = 2.0
ALL_ADDRESSES: Final = ("::", "0.0.0.0")
OPEN: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}


def counters_of(metrics: str) -> dict[str, Any]:
    """What the page shows, from the text of `/metrics`. ValueError: it is no such text."""
    sums: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "edge_upstream_bytes_total" and sample.labels.get("direction") != "received":
                continue
            if sample.name == "edge_cache_requests_total":
                statuses[sample.labels.get("status", "")] += int(sample.value)
            if not sample.name.endswith(("_bucket", "_created")):
                sums[sample.name] += int(sample.value)
    requests = sums["edge_cache_requests_total"]
    cacheable = requests - statuses["bypass"]  # what may not be kept can be no hit
    return {
        "requests": requests,
        "hits": statuses["hit"],
        "misses": statuses["miss"],
        "by_status": dict(statuses),
        "hit_ratio": statuses["hit"] / cacheable if cacheable else None,
        "egress_bytes": sums["edge_cache_response_bytes_total"],
        "origin_requests": sums["edge_upstream_requests_total"],
        "origin_bytes": sums["edge_upstream_bytes_total"],
        "objects": sums["edge_cache_objects"],
        "cached_bytes": sums["edge_cache_size_bytes"],
        "connections": sums["edge_http_connections"],
        "restarts": sums["edge_worker_restarts_total"] + sums["edge_keeper_restarts_total"],
    }


class Counters:
    """The endpoint: `async with Counters(host) as counters`, then `counters.port`; `metrics` is set when known."""

    def __init__(self, host: str) -> None:
        self.metrics = ""
        self.port = 0
        self._host = host

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        self._session = ClientSession(timeout=ClientTimeout(total=SCRAPE_SECONDS))
        await self._runner.setup()
        listening = listening_socket(self._host)
        self.port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        if not self.metrics:
            return _failed("the edge is starting")
        try:
            async with self._session.get(self.metrics) as got:
                text = await got.text()
            if got.status != 200:
                return _failed(f"{self.metrics} answers {got.status}")
            return web.json_response(counters_of(text), headers=OPEN)
        except (ClientError, TimeoutError, ValueError) as error:
            return _failed(
                f"the edge's metrics do not answer: {str(error) or f'nothing within {SCRAPE_SECONDS:.0f} s'}"
            )


def _failed(why: str) -> web.Response:
    return web.json_response({"error": why}, status=503, headers=OPEN)


def listening_socket(host: str) -> socket:
    """A socket on any free port of `host`, where the page's viewers can reach it; "::" takes IPv4 too."""
    if host not in ALL_ADDRESSES:
        return create_server((host, 0), family=AF_INET6 if ":" in host else AF_INET)
    if host == "::" and has_dualstack_ipv6():
        with suppress(OSError):  # a kernel without IPv6
            return create_server(("::", 0), family=AF_INET6, dualstack_ipv6=True)
    return create_server(("0.0.0.0", 0))
