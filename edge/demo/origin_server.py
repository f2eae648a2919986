"""The demo's origin (aiohttp): the film, the page, and the self-describing objects `/s/<bytes>/<name>`.

Options of a self-describing object stand in the query: `cc` (Cache-Control), `delay` (ms to the first byte),
`rate` (bytes a second), `weak`, `noetag`, `chunked`, `norange`, `status`. `/_counts` tells how often each path was
asked, `/_bump?path=...` begins a new version, `/_reset` forgets the counts.
"""

import argparse
import asyncio
import mimetypes
import sys
from collections import Counter
from pathlib import Path

import aiofiles
from aiohttp import web

from edge.demo.describing import body_slice
from edge.media.mime import content_type_for

HERE = Path(__file__).parent
CHUNK = 256 * 1024
MOST_BYTES = 1 << 40


class Origin:
    """Holds the counts and the versions; `app` is what aiohttp runs."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/s/{size:[0-9]+}/{name:.+}", self._describing)
        app.router.add_get("/film/{name}", self._film)
        app.router.add_get("/demo/{name:.*}", self._page)
        app.router.add_get("/_counts", self._counts)
        app.router.add_get("/_bump", self._bump)
        app.router.add_get("/_reset", self._reset)
        return app

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response(dict(self.counts))

    async def _bump(self, request: web.Request) -> web.Response:
        path = request.query.get("path", "")
        self.versions[path] += 1
        return web.json_response({"path": path, "version": self.versions[path] + 1})

    async def _reset(self, _: web.Request) -> web.Response:
        self.counts.clear()
        return web.Response(text="ok\n")

    async def _describing(self, request: web.Request) -> web.StreamResponse:
        self.counts[request.path] += 1
        size, asked = int(request.match_info["size"]), request.query
        if size > MOST_BYTES:
            return web.Response(status=400, text="too large\n")
        version = self.versions[request.path] + 1
        if "delay" in asked:
            await asyncio.sleep(float(asked["delay"]) / 1000)
        if "status" in asked:
            return web.Response(status=int(asked["status"]), text="as you asked\n")
        headers = {"Content-Type": "video/mp2t", "Accept-Ranges": "bytes"}
        if "noetag" not in asked:
            headers["ETag"] = ('W/"%d"' if "weak" in asked else '"%d"') % version
        if "cc" in asked:
            headers["Cache-Control"] = asked["cc"]
        if headers.get("ETag") and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        part = None if "norange" in asked else _range_of(request, size, headers.get("ETag"))
        if part == ():
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        start, end = part or (0, size)
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        if "chunked" in asked:
            response.enable_chunked_encoding()
        else:
            response.content_length = end - start
        await response.prepare(request)
        await _write(response, request.path, version, start, end, float(asked.get("rate", 0)))
        return response

    async def _film(self, request: web.Request) -> web.StreamResponse:
        self.counts[request.path] += 1
        return await _file(request, HERE / "film" / request.match_info["name"], "max-age=3600")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"] or "index.html"
        return await _file(request, HERE / "page" / name, "max-age=1")


async def _write(response: web.StreamResponse, path: str, version: int, start: int, end: int, rate: float) -> None:
    step = int(rate / 20) or CHUNK if rate else CHUNK
    while start < end:
        upto = min(end, start + step)
        await response.write(body_slice(path, version, start, upto))
        start = upto
        if rate:
            await asyncio.sleep(step / rate)
    await response.write_eof()


def _range_of(request: web.Request, size: int, etag: str | None) -> tuple[int, int] | tuple[()] | None:
    """The stretch that is asked for, () if there is none such, None for the whole."""
    condition = request.headers.get("If-Range")
    if "Range" not in request.headers or (condition is not None and condition != etag):
        return None
    first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else ()
    if int(first) >= size:
        return ()
    return int(first), min(size, int(last) + 1) if last else size


async def _file(request: web.Request, path: Path, cache_control: str) -> web.StreamResponse:
    if not path.resolve().is_relative_to(HERE) or not path.is_file():
        return web.Response(status=404, text="no such file\n")
    async with aiofiles.open(path, "rb") as file:
        body = await file.read()
    kind = content_type_for(path.name.encode())
    headers = {
        "Content-Type": kind.decode() if kind else mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "ETag": f'"{path.stat().st_size}-{int(path.stat().st_mtime)}"',
        "Cache-Control": cache_control,
        "Accept-Ranges": "bytes",
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    part = _range_of(request, len(body), headers["ETag"])
    if part == ():
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
    if not part:
        return web.Response(body=body, headers=headers)
    start, end = part
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:end], headers=headers)


async def serve(host: str, port: int, ready: "asyncio.Future[int] | None" = None) -> None:
    """Serve until cancelled; the chosen port is printed, or handed to `ready`."""
    runner = web.AppRunner(Origin().app(), access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    chosen: int = runner.addresses[0][1]
    if ready is not None:
        ready.set_result(chosen)
    else:
        print(f"origin on http://{host}:{chosen}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description="the demo's origin alone")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    try:
        asyncio.run(serve(host or "127.0.0.1", int(port)))
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
