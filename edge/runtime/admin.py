"""The operators' HTTP: metrics and health, on a listener of its own (aiohttp)."""

import socket
from collections.abc import Callable

from aiohttp import web

INDEX = """<!doctype html><html lang="en"><meta charset="utf-8"><title>edge</title>
<h1>edge</h1><ul><li><a href="/metrics">/metrics</a> for Prometheus<li><a href="/healthz">/healthz</a> alive
<li><a href="/readyz">/readyz</a> serving</ul></html>
"""


class Admin:
    """`ready` says whether players are served now."""

    def __init__(self, render: Callable[[], bytes], ready: Callable[[], tuple[bool, str]]) -> None:
        self._render = render
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, sock: socket.socket) -> None:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=INDEX, content_type="text/html")

    async def _metrics(self, _: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._render(), headers=headers)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, why = self._ready()
        return web.Response(text=why + "\n", status=200 if ready else 503)
