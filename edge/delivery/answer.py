"""How answers are worded: heads of hits, parts, conditionals, errors. Pure; bytes in, bytes out.

A stored answer's head is prepared once and remembered; what changes with every second (Age, ttl) is put
together once a second.
"""

import random
from dataclasses import dataclass
from typing import Any

from edge.http.cache_status import format_member
from edge.http.content_range import format_content_range, format_unsatisfied
from edge.http.dates import format_date, parse_date
from edge.http.status import reason, status_line
from edge.policy.cors import cors_lines, preflight_lines
from edge.policy.rules import SiteRules
from edge.store.record import Record
from edge.words import CacheStatus, Forward

MUST_BE_IN_304 = (b"cache-control:", b"content-location:", b"date:", b"etag:", b"expires:", b"vary:")
FORWARDED_BECAUSE = {
    CacheStatus.MISS: Forward.URI_MISS,
    CacheStatus.EXPIRED: Forward.STALE,
    CacheStatus.REVALIDATED: Forward.STALE,
    CacheStatus.BYPASS: Forward.URI_MISS,
}
FROM_CACHE = frozenset({CacheStatus.HIT, CacheStatus.STALE, CacheStatus.UPDATING})
WITHOUT_LENGTH = (204, 304)  # RFC 9110 section 8.6: 204 must not have one; that of a 304 would be the whole's


@dataclass(frozen=True, slots=True)
class Wording:
    """What every answer of this node says of itself."""

    node: str = "edge"

    @property
    def via(self) -> bytes:
        return b"Via: 1.1 " + self.node.encode() + b"\r\n"


@dataclass(frozen=True, slots=True)
class How:
    """How an answer came about: the input of Cache-Status and X-Cache."""

    status: CacheStatus
    collapsed: bool = False
    stored: bool = False
    aged: bool = False  # it was made before it was asked for
    fwd_status: int | None = None
    detail: str | None = None
    fwd: Forward | None = None  # why it went on, where `status` does not tell enough
    judged: bool = False  # the origin got the request's conditions: its answer is to them
    member: str = ""  # of the upstream that was asked, if one was
    upstream_seconds: float = 0.0  # from asking it to its answer's head
    fetched: int = 0  # bytes of the body that were missing in what was stored, and had to be asked for


HIT = How(CacheStatus.HIT)


class Prepared:
    """The parts of a stored answer's head that do not change while its record does not."""

    __slots__ = (
        "_common",
        "_for_304",
        "_ranges",
        "_second",
        "_timed",
        "_whole",
        "_whole_of",
        "_wording",
        "counted",
        "record",
        "rules",
    )

    def __init__(self, record: Record, rules: SiteRules, mime: bytes | None, wording: Wording) -> None:
        self.record = record
        self.rules = rules
        self.counted: tuple[int, Any] | None = None  # for who counts: the status of the last hit, and where it counts
        stored = record.head
        lowered = stored.lower()
        if mime is not None and record.status == 200 and not _has(lowered, b"content-type:"):
            stored += b"Content-Type: " + mime + b"\r\n"
        own = cors_lines(rules) + wording.via
        self._ranges = b"Accept-Ranges: bytes\r\n" if rules.cors_origin else b""
        self._common = stored + self._ranges + own
        wanted = MUST_BE_IN_304 if record.etag else (*MUST_BE_IN_304, b"last-modified:")
        kept = [line + b"\r\n" for line in stored.split(b"\r\n") if line.lower().startswith(wanted)]
        self._for_304 = b"".join(kept) + own
        self._wording = wording
        self._second = -1
        self._timed = b""
        self._whole_of = -1
        self._whole = b""

    def timed(self, now: float) -> bytes:
        """Age, Cache-Status and X-Cache of a hit, as they are in this second."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._timed = timing_lines(self.record, HIT, now, self._wording, self.rules)
        return self._timed

    def whole(self, how: How, now: float) -> bytes:
        """The head of the whole answer with its own status."""
        record = self.record
        if how is HIT:
            if self._whole_of != int(now):
                self.timed(now)
                self._whole_of = self._second
                self._whole = b"".join((status_line(record.status), self._length(), self._common, self._timed))
            return self._whole
        return b"%s%s%s%s" % (
            status_line(record.status),
            self._length(),
            self._common,
            timing_lines(record, how, now, self._wording, self.rules),
        )

    def _length(self) -> bytes:
        if self.record.status in WITHOUT_LENGTH:
            return b""
        return b"Content-Length: %d\r\n" % self.record.total

    def date(self) -> int | None:
        """The stored Date: when the answer was made."""
        for line in self.record.head.split(b"\r\n"):
            if line[:5].lower() == b"date:":
                return parse_date(line[5:].strip())
        return None

    def unknown_length(self, how: How, now: float) -> bytes:
        """The head of a body whose length nobody knows yet."""
        common = self._common.replace(self._ranges, b"") if self._ranges else self._common
        return status_line(self.record.status) + common + timing_lines(self.record, how, now, self._wording, self.rules)

    def part(self, start: int, end: int, how: How, now: float) -> bytes:
        """206 with one part (RFC 9110 section 15.3.7.1)."""
        record = self.record
        return b"%sContent-Range: %s\r\nContent-Length: %d\r\n%s%s" % (
            status_line(206),
            format_content_range(start, end, record.total),
            end - start,
            self._common,
            self.timed(now) if how is HIT else timing_lines(record, how, now, self._wording, self.rules),
        )

    def parts(self, boundary: bytes, length: int, how: How, now: float) -> bytes:
        """206 multipart/byteranges (section 15.3.7.2): the parts carry Content-Type and Content-Range."""
        lines = self._common.split(b"\r\n")
        kept = b"\r\n".join(line for line in lines if not line.lower().startswith(b"content-type:"))
        return b"%sContent-Type: multipart/byteranges; boundary=%s\r\nContent-Length: %d\r\n%s%s" % (
            status_line(206),
            boundary,
            length,
            kept,
            timing_lines(self.record, how, now, self._wording, self.rules),
        )

    def content_type(self) -> bytes:
        """The media type of the whole, for the parts of a multipart answer."""
        for line in self._common.split(b"\r\n"):
            if line.lower().startswith(b"content-type:"):
                return line.partition(b":")[2].strip()
        return b"application/octet-stream"

    def not_modified(self, how: How, now: float) -> bytes:
        """304 with the fields that section 15.4.5 names, and Last-Modified where there is no entity tag to go by."""
        timed = timing_lines(self.record, how, now, self._wording, self.rules)
        return status_line(304) + self._for_304 + timed

    def precondition_failed(self, now: float) -> bytes:
        return self._refusal(412, b"", now)

    def unsatisfied(self, now: float) -> bytes:
        """416 with the length that there is (section 15.5.17)."""
        content_range = b"Content-Range: " + format_unsatisfied(self.record.total) + b"\r\n"
        return self._refusal(416, content_range, now)

    def _refusal(self, code: int, more: bytes, now: float) -> bytes:
        own = cors_lines(self.rules) + self._wording.via + b"Accept-Ranges: bytes\r\nCache-Control: no-store\r\n"
        date = b"Date: " + format_date(now) + b"\r\n"
        timed = timing_lines(self.record, HIT, now, self._wording, self.rules)
        return status_line(code) + more + b"Content-Length: 0\r\n" + date + own + timed


def timing_lines(record: Record, how: How, now: float, wording: Wording, rules: SiteRules) -> bytes:
    """Age (RFC 9111 section 5.1), Cache-Status (RFC 9211), X-Cache and, if it is wanted, Server-Timing.

    Age would say that the origin was not asked; an answer that it gave just now has one only if it came with one.
    Players read it always.
    """
    age = max(0, int(now - record.base_time))
    from_cache = how.status in FROM_CACHE
    kept = from_cache or how.stored
    member = format_member(
        wording.node,
        hit=from_cache,
        fwd=how.fwd or FORWARDED_BECAUSE.get(how.status),
        fwd_status=how.fwd_status,
        ttl=int(record.fresh_until - now) if kept else None,
        stored=how.stored and not from_cache,
        collapsed=how.collapsed,
        key=record.key.decode("latin-1") if rules.cache_status_key else None,
        detail=how.detail,
    )
    status = how.status.value
    lines = b"Age: %d\r\n" % age if from_cache or how.aged or how.collapsed or rules.cors_origin else b""
    lines += b"Cache-Status: %s\r\nX-Cache: %s\r\n" % (member, status.upper().encode())
    if rules.server_timing > random.random():  # a share of them; a hit's lines serve an object for a second
        lines += b"Server-Timing: cdn-cache;desc=%s\r\n" % status.upper().encode()
    return lines


def error(
    code: int,
    detail: str,
    rules: SiteRules,
    now: float,
    wording: Wording,
    more: bytes = b"",
    fwd: Forward | None = None,
) -> tuple[bytes, bytes]:
    """Head and body of an answer of our own making; CORS is on it, so that a player's script can read it.

    `fwd`: why the request went on, None if it did not (RFC 9211 section 2.2).
    """
    body = f"{code} {reason(code).decode()}: {detail}\n".encode()
    member = format_member(
        wording.node,
        hit=False,
        fwd=fwd,
        fwd_status=None,
        ttl=None,
        stored=False,
        collapsed=False,
        key=None,
        detail=detail,
    )
    head = b"%sDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n" % (
        status_line(code),
        format_date(now),
        len(body),
    )
    head += b"Cache-Control: no-store\r\nCache-Status: %s\r\n" % member + more
    return head + cors_lines(rules) + wording.via, body


def preflight(rules: SiteRules, now: float, wording: Wording) -> bytes:
    """The answer to OPTIONS (Fetch standard, CORS preflight), made here, never forwarded."""
    date = b"Date: " + format_date(now) + b"\r\n"
    allow = b"Allow: %s\r\n" % ", ".join(rules.methods).encode()
    member = format_member(wording.node, hit=False, detail="preflight")
    return b"".join(
        (status_line(204), date, allow, preflight_lines(rules), wording.via, b"Cache-Status: ", member, b"\r\n")
    )


def _has(lowered: bytes, name: bytes) -> bool:
    return lowered.startswith(name) or b"\n" + name in lowered
