"""What a self-describing object's origin answers: decided here, sent by aiohttp or by the faulty origin. Pure."""

import gzip
from dataclasses import dataclass
from typing import Final

from edge.demo.describing import MOST_OFFSET, body_slice
from edge.demo.ledger import Asked
from edge.demo.selecting import Resource, select
from edge.demo.wishes import Tag, Wishes

GZIP_MOST: Final = 64 * 1024 * 1024  # it is made in memory
FIRST_MODIFIED: Final = "Thu, 01 Jan 2026 00:00:00 GMT"
EMPTY: Final = frozenset({204, 304})


class NoSuchObject(ValueError):
    """The path is not one of a self-describing object; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, fields without framing, and the body: `text`, or the object's bytes [start, end)."""

    status: int
    fields: tuple[tuple[str, str], ...]
    path: str = ""
    version: int = 0
    start: int = 0
    end: int = 0
    size: int = 0
    text: bytes | None = None

    @property
    def length(self) -> int:
        """Bytes of the body (a HEAD is told the same and sent none)."""
        return len(self.text) if self.text is not None else self.end - self.start

    def body(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the body, counted from its own beginning."""
        if self.text is not None:
            return self.text[start:end]
        return body_slice(self.path, self.version, self.start + start, self.start + end)


def size_of(path: str) -> int:
    """The size that `/s/SIZE/name` names; NoSuchObject for any other path."""
    parts = path.split("/", 3)
    if len(parts) != 4 or parts[:2] != ["", "s"] or not parts[3]:
        raise NoSuchObject("write /s/SIZE/NAME")
    size = parts[2]
    if not (size.isascii() and size.isdigit()) or len(size) > 15 or int(size) > MOST_OFFSET:
        raise NoSuchObject(f"no size: {size[:40]!r}")
    return int(size)


def decide(asked: Asked, wishes: Wishes, version: int) -> Answer:
    """The right answer to a request for a self-describing object; NoSuchObject for another path."""
    size = size_of(asked.path)
    if wishes.redirect is not None or wishes.status is not None:
        return _as_told(wishes)
    if wishes.gzip and size <= GZIP_MOST and "gzip" in asked.fields.get("accept-encoding", ""):
        return _zipped(asked, wishes, version, size)
    resource = Resource(size, _etag(wishes, version), _last_modified(version) if wishes.last_modified else "")
    # Range is defined for GET alone (RFC 9110 section 14.2).
    part = select(asked.fields, resource, ranges=wishes.ranges and asked.method == "GET")
    fields = _fields(wishes, resource)
    if wishes.ranges:
        fields.append(("Accept-Ranges", "bytes"))
    match part.status:
        case 304:
            return Answer(304, tuple(fields))
        case 412:
            return Answer(412, tuple(fields), text=b"precondition failed\n")
        case 416:
            return Answer(416, (*fields, ("Content-Range", f"bytes */{size}")), text=b"")
        case 206:
            fields.append(("Content-Range", f"bytes {part.start}-{part.end - 1}/{size}"))
    return Answer(part.status, tuple(fields), asked.path, version, part.start, part.end, size)


def _as_told(wishes: Wishes) -> Answer:
    fields = list(wishes.more)
    if wishes.cache_control is not None:
        fields.append(("Cache-Control", wishes.cache_control))
    if wishes.redirect is not None:
        fields.append(("Location", wishes.redirect))
    status = wishes.status or 302
    fields.append(("Content-Type", "text/plain"))
    return Answer(status, tuple(fields), text=b"" if status in EMPTY else b"as you asked\n")


def _zipped(asked: Asked, wishes: Wishes, version: int, size: int) -> Answer:
    """Whole only: a range of a zipped answer would be one of another representation, with a tag of its own."""
    body = gzip.compress(body_slice(asked.path, version, 0, size), 1, mtime=0)
    etag = _etag(wishes, version).replace('"', '"gz', 1)
    resource = Resource(len(body), etag)
    unchanged = select(asked.fields, resource, ranges=False).status == 304
    fields = [*_fields(wishes, resource), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    return Answer(304, tuple(fields)) if unchanged else Answer(200, tuple(fields), text=body)


def _fields(wishes: Wishes, resource: Resource) -> list[tuple[str, str]]:
    fields = [("Content-Type", wishes.content_type)]
    if resource.etag:
        fields.append(("ETag", resource.etag))
    if resource.last_modified:
        fields.append(("Last-Modified", resource.last_modified))
    if wishes.cache_control is not None:
        fields.append(("Cache-Control", wishes.cache_control))
    return fields + list(wishes.more)


def _etag(wishes: Wishes, version: int) -> str:
    match wishes.tag:
        case Tag.STRONG:
            return f'"{version}"'
        case Tag.WEAK:
            return f'W/"{version}"'
        case Tag.NONE:
            return ""


def _last_modified(version: int) -> str:
    """A date of its own for each of the first sixty versions, then they repeat."""
    return FIRST_MODIFIED.replace(":00 GMT", f":{(version - 1) % 60:02d} GMT")
