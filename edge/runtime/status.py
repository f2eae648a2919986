"""The status page: what the node does now, told to browsers by server-sent events. All of it is our own.

One reading a second for all who watch, none while nobody does.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from aiohttp import web

from edge.observe.overview import Reading, overview
from edge.tasks import Tasks

PAGE: Final = Path(__file__).parent / "status_page"
FILES: Final = {
    "/": ("index.html", "text/html"),
    "/status.js": ("status.js", "text/javascript"),
    "/status.css": ("status.css", "text/css"),
}
SECONDS: Final = 1.0
WATCHERS_MOST: Final = 32  # browsers; each costs a socket and a line a second
POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


class Metrics(Protocol):
    """What there is to scrape: as text for Prometheus, as values for the status page."""

    def render(self) -> bytes: ...

    def reading(self) -> Reading: ...


class Status:
    """`state` says in a word what the server is at."""

    def __init__(self, metrics: Metrics, state: Callable[[], str], seconds: float = SECONDS) -> None:
        self._metrics = metrics
        self._state = state
        self._seconds = seconds
        self._tasks = Tasks("status")
        self._watchers: set[asyncio.Queue[str]] = set()
        self._telling: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Status watched by {len(self._watchers)}>"

    def add_to(self, app: web.Application) -> None:
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/events", self._events)
        app.on_shutdown.append(self._stop)

    async def _stop(self, _: web.Application) -> None:
        await self._tasks.close()
        self._dismiss()

    def _dismiss(self) -> None:
        """End what browsers hear; they will ask again."""
        for watcher in self._watchers:
            _put(watcher, "")

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = FILES[request.path]
        body = await asyncio.to_thread((PAGE / name).read_bytes)
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._watchers) >= WATCHERS_MOST:
            raise web.HTTPServiceUnavailable(text="too many watch already\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        mine: asyncio.Queue[str] = asyncio.Queue(1)
        self._watchers.add(mine)
        if self._telling is None or self._telling.done():
            self._telling = self._tasks.spawn(self._tell(), "status")
        try:
            await response.prepare(request)
            while event := await mine.get():
                await response.write(event.encode())
        except ConnectionError:
            pass  # the browser has closed the page
        finally:
            self._watchers.discard(mine)
        return response

    async def _tell(self) -> None:
        try:
            before, at = self._metrics.reading(), time.monotonic()
            while self._watchers:
                await asyncio.sleep(self._seconds)
                after, now = self._metrics.reading(), time.monotonic()
                told = {"state": self._state(), **overview(before, after, now - at).to_json()}
                for watcher in self._watchers:
                    _put(watcher, f"data: {json.dumps(told)}\n\n")
                before, at = after, now
        finally:
            self._dismiss()


def _put(watcher: "asyncio.Queue[str]", event: str) -> None:
    """The newest event takes the place of one that a slow reader has not taken yet."""
    if watcher.full():
        watcher.get_nowait()
    watcher.put_nowait(event)
