"""The demo's origin (aiohttp): the film, the page, and the self-describing objects `/s/SIZE/NAME`.

It answers rightly: ranges, If-Range, conditions, HEAD. What an object's answer looks like is asked for in its query
(`edge.demo.wishes`); `/_counts`, `/_bump`, `/_hold` and their like are in `edge.demo.control`. Whoever wants a broken
wire takes `edge.demo.faulty_origin`. `python -m edge.demo.origin_server --listen HOST:PORT` runs it alone.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from edge.demo import control
from edge.demo.alone import run_alone
from edge.demo.answers import Answer, NoSuchObject, decide
from edge.demo.files import FILM, PAGE, send_file
from edge.demo.ledger import Asked, Ledger
from edge.demo.wishes import Wishes, WrongWish, wishes_of

CHUNK: Final = 256 * 1024
TICKS: Final = 20  # writes a second when a rate is asked for
FILM_LIVES: Final = "max-age=3600"
PAGE_LIVES: Final = "max-age=1"  # whoever edits the page sees it at once


class Origin:
    """One origin: its ledger, and `app` for aiohttp. `film_delay`: seconds before each answer of the film.

    `where` is told by `/demo/where.json`: the page learns from it where the counters are.
    """

    def __init__(self, ledger: Ledger | None = None, *, film_delay: float = 0.0) -> None:
        self.ledger = ledger or Ledger()
        self.film_delay = film_delay
        self.where: Mapping[str, object] = {}

    def __repr__(self) -> str:
        return f"<Origin {self.ledger!r}>"

    @property
    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return self.ledger.counts

    @property
    def versions(self) -> Counter[str]:
        """How often each object was bumped; its version is one more."""
        return self.ledger.versions

    def app(self) -> web.Application:
        """The application; its routes share this origin's ledger."""
        app = web.Application()
        app.router.add_get("/s/{rest:.*}", self._describing)
        app.router.add_get("/film/{name}", self._film)
        app.router.add_get("/demo", self._to_page)
        app.router.add_get("/demo/where.json", self._where)
        app.router.add_get("/demo/{name:.*}", self._page)
        app.router.add_get("/", self._to_page)
        for path in control.PATHS:
            app.router.add_get(path, self._control)
        return app

    async def _control(self, request: web.Request) -> web.Response:
        try:
            told = control.command(self.ledger, request.path, _query(request))
        except WrongWish as wrong:
            return _plain(400, str(wrong))
        return web.Response(body=told, headers=dict(control.FIELDS))

    async def _describing(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        self.ledger.note(asked)
        try:
            wishes = wishes_of(asked.query)
            answer = decide(asked, wishes, self.ledger.version(asked.path))
        except NoSuchObject as wrong:
            return _plain(404, str(wrong))
        except WrongWish as wrong:
            return _plain(400, str(wrong))
        if wishes.fault is not None:
            return _plain(501, "this origin breaks nothing: ask python -m edge.demo.faulty_origin")
        if wishes.delay:
            await asyncio.sleep(wishes.delay)
        await self.ledger.gate(asked.path, None)
        try:
            return await self._send(request, answer, wishes)
        except ConnectionError:
            return web.Response(status=499)  # the client has left: nobody reads this

    async def _send(self, request: web.Request, answer: Answer, wishes: Wishes) -> web.StreamResponse:
        fields = CIMultiDict(answer.fields)
        if self._simple(answer, wishes):
            return web.Response(status=answer.status, headers=fields, body=answer.body(0, answer.length))
        response = web.StreamResponse(status=answer.status, headers=fields)
        if answer.status not in (204, 304):
            if wishes.chunked:
                response.enable_chunked_encoding()
            else:
                response.content_length = answer.length
        await response.prepare(request)
        if request.method != "HEAD":
            await self._write(response, answer, wishes.rate)
        await response.write_eof()
        return response

    def _simple(self, answer: Answer, wishes: Wishes) -> bool:
        """Head and body go in one write: half the cost, and most of a benchmark's requests."""
        whole = answer.status not in (204, 304) and answer.length <= CHUNK
        return whole and not wishes.rate and not wishes.chunked and not self.ledger.holds(answer.path)

    async def _write(self, response: web.StreamResponse, answer: Answer, rate: float) -> None:
        step = max(1, int(rate / TICKS)) if rate else CHUNK
        at, end = 0, answer.length
        while at < end:
            await self.ledger.gate(answer.path, at)
            stop = self.ledger.stop_at(answer.path, at + 1)
            upto = min(end, at + step, end if stop is None else stop)
            await response.write(answer.body(at, upto))
            if rate:
                await asyncio.sleep((upto - at) / rate)
            at = upto
        await self.ledger.gate(answer.path, at)

    async def _film(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        self.ledger.note(asked)
        if self.film_delay:
            await asyncio.sleep(self.film_delay)
        await self.ledger.gate(asked.path, None)
        return await send_file(request, FILM, request.match_info["name"], FILM_LIVES)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return await send_file(request, PAGE, request.match_info["name"] or "index.html", PAGE_LIVES)

    async def _to_page(self, _: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/demo/", "Cache-Control": "no-store"})

    async def _where(self, _: web.Request) -> web.Response:
        return web.json_response(dict(self.where), headers=dict((control.NO_STORE,)))


def _asked(request: web.Request) -> Asked:
    fields: dict[str, str] = {}
    for name, value in request.headers.items():
        name = name.lower()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return Asked(request.method, request.path, request.query_string, fields)


def _query(request: web.Request) -> dict[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=dict((control.NO_STORE,)))


async def serve(host: str, port: int, ready: "asyncio.Future[int] | None" = None, origin: Origin | None = None) -> None:
    """Serve until cancelled; the chosen port is printed, or handed to `ready`."""
    app = (origin or Origin()).app()
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        chosen: int = runner.addresses[0][1]
        if ready is not None:
            ready.set_result(chosen)
        else:
            print(f"origin on http://{f'[{host}]' if ':' in host else host}:{chosen}", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(run_alone("the demo's origin alone", serve))
