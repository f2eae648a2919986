"""Pure: what to ask the origin for, and whether its partial answer is what was asked."""

from dataclasses import dataclass

from edge.errors import OriginError
from edge.fill.messages import UNKNOWN, Fetch, Mode
from edge.fill.records import stored_lines
from edge.http import content_range, etags, fields
from edge.http.fields import Fields
from edge.origin.settings import Urgency
from edge.policy.demands import Demands, parse_demands
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import CONDITIONS
from edge.store.record import Flag, Record
from edge.words import Kind, Reason

FieldList = tuple[tuple[bytes, bytes], ...]

SHARED_METHODS = frozenset({b"GET", b"HEAD"})  # the others change something: they go straight up


@dataclass(frozen=True, slots=True)
class Ask:
    """A stretch of an object to ask for: [start, end), or its last `suffix` bytes; `whole` = no Range field."""

    start: int = 0
    end: int = UNKNOWN
    suffix: int = 0
    whole: bool = True

    def field(self) -> FieldList:
        """The Range field of this stretch (RFC 9110 section 14.2), none for a whole."""
        if self.whole:
            return ()
        if self.suffix:
            return ((b"Range", b"bytes=-%d" % self.suffix),)
        last = b"" if self.end == UNKNOWN else b"%d" % (self.end - 1)
        return ((b"Range", b"bytes=%d-%s" % (self.start, last)),)


WHOLE = Ask()


def first_ask(fetch: Fetch, *, slice_size: int, run_max: int, rangeless: bool) -> Ask:
    """What the first request for a cold object asks: the slices that `fetch` touches, at most a run of them.

    A whole is asked for without Range, but for large kinds a bounded run: nobody knows yet whether it is 2 GB.
    """
    if rangeless:
        return WHOLE
    if not fetch.ranged:
        return Ask(0, run_max, whole=False) if fetch.kind is Kind.MP4 else WHOLE
    if fetch.suffix:
        # so many more that the first grid line at or before the wanted bytes is among them
        return Ask(suffix=fetch.suffix + slice_size - 1, whole=False)
    start = fetch.start - fetch.start % slice_size
    end = start + run_max
    if fetch.end != UNKNOWN:
        end = min(end, fetch.end + -fetch.end % slice_size)
    return Ask(start, end, whole=False)


def is_edges_piece(fetch: Fetch, *, run_max: int) -> bool:
    """Is it a part of a segment that an edge of ours brings in pieces, so that it wants the rest in a moment?"""
    in_run = fetch.ranged and not fetch.suffix and fetch.end != UNKNOWN and fetch.end <= run_max
    return in_run and fetch.kind is Kind.SEGMENT and fetch.pin is None and fetch.context.hops > 1


_URGENCY = {
    Kind.PLAYLIST: Urgency.LIST,
    Kind.MANIFEST: Urgency.LIST,
    Kind.PART: Urgency.LIVE,
    Kind.INIT: Urgency.START,
    Kind.KEY: Urgency.START,
}


def urgency(fetch: Fetch, *, live: bool = False) -> Urgency:
    """Whose turn comes first when all connections to the upstream are in use. `live`: a live playlist lists it."""
    if fetch.mode is Mode.REFRESH:
        return Urgency.RENEWAL
    if fetch.mode is Mode.AHEAD:
        return Urgency.AHEAD
    if fetch.kind is Kind.MP4 and fetch.start == 0:
        return Urgency.START
    if live and fetch.kind is Kind.SEGMENT:
        return Urgency.LIVE
    return _URGENCY.get(fetch.kind, Urgency.SEGMENT)


def may_hedge(fetch: Fetch, *, live: bool = False) -> bool:
    """Segments and what a start waits for; lists and parts are late on purpose, until they are there.

    A live segment is listed when it is there; a range of it may be a part that a playlist only hints at
    (EXT-X-PRELOAD-HINT with BYTERANGE-START), which the origin holds back like any other part.
    """
    if live and fetch.ranged and fetch.kind is Kind.SEGMENT:
        return False
    return fetch.method == b"GET" and urgency(fetch) in (Urgency.START, Urgency.SEGMENT)


SPREAD = frozenset({Kind.SEGMENT, Kind.PART, Kind.MP4})  # large, with validators: worth several requests


def first_piece(ask: Ask, fetch: Fetch, size: int) -> Ask:
    """On a far path: only the beginning of what would be asked; the rest is asked for in pieces of its own."""
    if ask.suffix or fetch.kind not in SPREAD or (not ask.whole and ask.end != UNKNOWN and ask.end - ask.start <= size):
        return ask
    return Ask(ask.start, ask.start + size, whole=False)


def conditional(record: Record | None) -> FieldList:
    """Validators of a stored answer for a revalidation (RFC 9110 section 13.1)."""
    if record is None:
        return ()
    asked: list[tuple[bytes, bytes]] = []
    if record.etag:
        asked.append((b"If-None-Match", record.etag))
    modified = fields.first(stored_lines(record), b"last-modified")
    if modified:
        asked.append((b"If-Modified-Since", modified))
    return tuple(asked)


def client_conditions(fetch: Fetch) -> bool:
    """Do conditions of the client's own go to the origin, whose answer to them is the client's?"""
    return any(name.lower() in CONDITIONS for name, _ in fetch.fields)


def may_know_by_now(fetch: Fetch) -> bool:
    """Does a client's own condition go on only because the worker found nothing to compare it with?"""
    return fetch.mode is Mode.SOLO and fetch.method in SHARED_METHODS and client_conditions(fetch)


def is_by_itself(fetch: Fetch) -> bool:
    """Is it a request that no other may share?"""
    return fetch.mode in (Mode.PASS, Mode.SOLO) or fetch.method != b"GET"


def demands(fetch: Fetch, rules: SiteRules) -> Demands | None:
    """What the client demands of a cache, where a site lets it."""
    return parse_demands(fetch.fields) if rules.honour_client_cache_control else None


def stale_if_error(fetch: Fetch, rules: SiteRules) -> int:
    """Seconds for which the client takes a stale answer in place of an error (RFC 5861 section 4), if it may say so."""
    said = demands(fetch, rules)
    return (said.stale_if_error or 0) if said is not None else 0


def base_fields(fetch: Fetch, rules: SiteRules) -> FieldList:
    """The fields of every request for an object: the client's that pass, and that slices must not be encoded."""
    return fetch.fields if rules.forwards_all else (*fetch.fields, (b"Accept-Encoding", b"identity"))


@dataclass(frozen=True, slots=True)
class Partial:
    """A verified 206: it carries [start, end) of `total` bytes."""

    start: int
    end: int
    total: int


def verify_partial(ask: Ask, response_fields: Fields, content_length: int | None) -> Partial:
    """Check a 206 against what was asked; OriginError(BAD_RESPONSE) if it does not fit (RFC 9110 section 15.3.7).

    A shorter end than asked is right only where the object ends; a later start or another unit never is.
    """
    if ask.whole:
        raise _bad("206 to a request without Range")
    if fields.values(response_fields, b"content-encoding"):
        raise _bad("partial answer with Content-Encoding")
    if (fields.first(response_fields, b"content-type") or b"").lower().startswith(b"multipart/byteranges"):
        raise _bad("several parts for one")
    given = fields.values(response_fields, b"content-range")
    found = content_range.parse_content_range(given[0]) if len(given) == 1 else None
    if found is None or found.total is None:
        raise _bad("Content-Range missing, repeated, malformed or without a total")
    if content_length is not None and content_length != found.end_exclusive - found.start:
        raise _bad("Content-Length does not fit Content-Range")
    if ask.suffix:
        wanted = max(0, found.total - ask.suffix), found.total
    else:
        wanted = ask.start, found.total if ask.end == UNKNOWN else min(ask.end, found.total)
    if (found.start, found.end_exclusive) != wanted:
        raise _bad(f"Content-Range {found.start}-{found.end_exclusive} is not what was asked")
    return Partial(found.start, found.end_exclusive, found.total)


def fits(ask: Ask, response_fields: Fields, content_length: int | None) -> bool:
    """Is a 206 what was asked for?"""
    try:
        verify_partial(ask, response_fields, content_length)
    except OriginError:
        return False
    return True


def falls_short(fetch: Fetch, ask: Ask, end: int, total: int) -> bool:
    """Does a part that ends there bring less than the client wants?"""
    wanted = total if fetch.end == UNKNOWN or fetch.suffix else min(fetch.end, total)
    return end < wanted or (fetch.suffix > 0 and ask.suffix < fetch.suffix)


def strong_etag(response_fields: Fields) -> bytes:
    """The strong entity tag of an answer, b"" when there is none that can be relied upon (several, weak, malformed)."""
    given = fields.values(response_fields, b"etag")
    tag = etags.parse_etag(given[0]) if len(given) == 1 else None
    return tag.value if tag is not None and not tag.weak else b""


def same_version(record: Record, etag: bytes, total: int) -> bool:
    """Do bytes of an answer with this validator and length belong to the record's generation?"""
    return bool(record.flags & Flag.STRONG) and record.etag == etag and record.total == total


class Refused(OriginError):
    """A member does not bring the part that it was asked for, but says something else. Another one may bring it."""


PASSING = frozenset({408, 425, 429})  # statuses below 500 that the same member may think better of


def refused(status: int, what: str, *, relayed: bool) -> Refused:
    """A status in place of a part of what has begun to come. `relayed`: the member only hands it on."""
    error = Refused(Reason.BAD_RESPONSE, f"{status} to {what}", retryable=status >= 500 or status in PASSING)
    error.relayed = relayed
    return error


def _bad(detail: str) -> Refused:
    return Refused(Reason.BAD_RESPONSE, detail, retryable=False)
