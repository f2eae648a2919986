"""The operators' HTTP: metrics and health, on a listener of its own (aiohttp)."""

import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from edge.control.api import BODY_MOST
from edge.runtime.status import Metrics, Status

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
GOODBYE_SECONDS: Final = 0.2  # for answers under way at a stop: a scrape is repeated anyway


class Admin:
    """`metrics` are what there is to scrape, `readiness` says whether players are served now, and why not.

    These are GET only (and HEAD, RFC 9110 section 9.1); `add_more` adds the admin API.
    """

    def __init__(
        self,
        metrics: Metrics,
        readiness: Callable[[], tuple[bool, str]],
        add_more: Callable[[web.Application], None] | None = None,
    ) -> None:
        self._metrics_now = metrics
        self._status = Status(metrics, lambda: readiness()[1])
        self._readiness = readiness
        self._add_more = add_more
        self._runner: web.AppRunner | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serve on a listening socket."""
        app = web.Application(middlewares=[_uncached], client_max_size=BODY_MOST)
        self._status.add_to(app)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        if self._add_more is not None:
            self._add_more(app)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=GOODBYE_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics_now.render(), headers={"Content-Type": METRICS_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, why = self._readiness()
        return web.Response(text=why + "\n", status=200 if ready else 503)


@web.middleware
async def _uncached(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What is true now is no copy's business."""
    response = await handler(request)
    response.headers["Cache-Control"] = "no-store"
    return response
