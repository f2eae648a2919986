"""The film and the page: files of this package, read with aiofiles, with ranges and conditions."""

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

import aiofiles
from aiohttp import web

from edge.demo.selecting import Part, Resource, select
from edge.media.mime import content_type_for

HERE: Final = Path(__file__).parent
FILM: Final = HERE / "film"
PAGE: Final = HERE / "page"
CHUNK: Final = 256 * 1024
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


async def send_file(request: web.Request, directory: Path, name: str, cache_control: str) -> web.StreamResponse:
    """Answer a GET or HEAD with a file of `directory`, 404 if there is none of that name."""
    path = directory / name
    if "/" in name or name.startswith(".") or not path.is_file():
        return web.Response(status=404, text="no such file\n", headers={"Cache-Control": "no-store"})
    size = path.stat().st_size
    resource = Resource(size, _etag(path))
    part = select({k.lower(): v for k, v in request.headers.items()}, resource, ranges=request.method == "GET")
    headers = {
        "Content-Type": type_of(path),
        "ETag": resource.etag,
        "Cache-Control": cache_control,
        "Accept-Ranges": "bytes",
    }
    if part.status not in (200, 206):
        if part.status == 416:
            headers["Content-Range"] = f"bytes */{size}"
        return web.Response(status=part.status, headers=headers)
    if part.status == 206:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    return await _send(request, path, part, headers)


async def _send(request: web.Request, path: Path, part: Part, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=part.status, headers=headers)
    response.content_length = part.end - part.start
    await response.prepare(request)
    if request.method != "HEAD":
        async with aiofiles.open(path, "rb") as file:
            await file.seek(part.start)
            left = part.end - part.start
            while left and (data := await file.read(min(CHUNK, left))):
                await response.write(data)
                left -= len(data)
    await response.write_eof()
    return response


def type_of(path: Path) -> str:
    """The media type of a file; what players need comes from the edge's table, the page's types from ours."""
    if path.suffix in _TYPES:
        return _TYPES[path.suffix] + "; charset=utf-8"
    known = content_type_for(path.name.encode())
    return known.decode() if known else mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _etag(path: Path) -> str:
    """From name, size and time of change, as file servers make them: strong enough for files that nobody edits."""
    about = path.stat()
    facts = f"{path.name} {about.st_size} {about.st_mtime_ns}".encode()
    return f'"{hashlib.blake2b(facts, digest_size=8).hexdigest()}"'
