"""Pure: the record of an answer, before and after a validation."""

from dataclasses import dataclass, replace

from edge.fill.messages import Fetch
from edge.http import dates, fields
from edge.http.fields import Fields
from edge.media.playlists import read_manifest, read_playlist
from edge.policy.freshness import LISTS
from edge.policy.judge import Head, Verdict, judge
from edge.policy.rules import SiteRules
from edge.policy.tags import surrogate_tags
from edge.policy.upstream_fields import stored_fields
from edge.store.record import Flag, Record
from edge.words import Kind

# What says how a body is laid out belongs to the body that is stored, not to the 304 (RFC 9111 section 3.2).
RENEWED_FLAGS = Flag.NO_CACHE | Flag.MUST_REVALIDATE | Flag.IMMUTABLE | Flag.STALE
OF_THE_BODY = frozenset({b"content-length", b"content-encoding", b"content-range"})


@dataclass(frozen=True, slots=True)
class Layout:
    """How an answer's body is kept: `etag` is its strong validator or empty, `total` its length."""

    etag: bytes
    generation: int
    total: int
    slice_size: int


def record_of(
    fetch: Fetch,
    kind: Kind,
    answer: Head,
    verdict: Verdict,
    layout: Layout,
    rules: SiteRules,
    *,
    now: float,
    opaque: bool = False,
) -> Record:
    """The record of a judged answer. `opaque`: it is handed on as it is, its Content-Range too."""
    given = fields.first(answer.fields, b"etag") or b""
    modified = fields.first(answer.fields, b"last-modified")
    return Record(
        generation=layout.generation,
        kind=kind,
        status=answer.status,
        flags=(Flag.STRONG if layout.etag else Flag.WHOLE) | _flags(verdict),
        total=max(layout.total, 0),
        slice_size=layout.slice_size,
        base_time=verdict.base_time,
        fresh_until=verdict.fresh_until,
        stored_at=now,
        stale_while_revalidate=int(verdict.stale_while_revalidate),
        stale_if_error=int(verdict.stale_if_error),
        last_modified=_unix(modified),
        sequence=0,
        key=fetch.key,
        path=fetch.path[:255],
        etag=(layout.etag or given)[:255],
        vary=b"",
        tags=surrogate_tags(answer.fields) or (),
        head=stored_fields(answer.fields, now, rules, opaque=opaque or answer.status == UNSATISFIED),
        first=None,
    )


def _flags(verdict: Verdict) -> int:
    flags = 0
    if verdict.no_cache:
        flags |= Flag.NO_CACHE
    if verdict.must_revalidate:
        flags |= Flag.MUST_REVALIDATE
    if verdict.immutable:
        flags |= Flag.IMMUTABLE
    return flags


def _unix(modified: bytes | None) -> int:
    """Seconds that fit a record; 0 = no Last-Modified that can be compared."""
    found = dates.parse_date(modified) if modified else None
    return found if found is not None and 0 < found < 2**32 else 0


def without(record: Record, names: tuple[bytes, ...]) -> Record:
    """The record as others may have it: without the fields that the origin qualified as one client's own."""
    if not names:
        return record
    kept = [line for line in record.head.split(b"\r\n") if line and line.partition(b":")[0].lower() not in names]
    return replace(record, head=b"".join(line + b"\r\n" for line in kept))


def stored_lines(record: Record) -> tuple[tuple[bytes, bytes], ...]:
    """The stored head as fields."""
    lines = (line.partition(b":") for line in record.head.split(b"\r\n") if line)
    return tuple((name, value.strip()) for name, _, value in lines)


def renewed_lines(record: Record, given: Fields, now: float) -> Fields:
    """The stored fields, each one that was given anew replaced (RFC 9111 section 3.2).

    A Date is added where none was given: else the stored one would make the answer old at once.
    """
    left = OF_THE_BODY | {b"etag"} if record.flags & Flag.STRONG else OF_THE_BODY  # compared before, as bytes
    fresh = [(name, value) for name, value in fields.end_to_end(given) if name.lower() not in left]
    if not fields.first(fresh, b"date"):
        fresh.append((b"Date", dates.format_date(now)))
    names = {name.lower() for name, _ in fresh}
    kept = [(name, value) for name, value in stored_lines(record) if name.lower() not in names]
    return [*kept, *fresh]


def renewed(
    record: Record, given: Fields, rules: SiteRules, *, request_time: float, response_time: float
) -> tuple[Record, Verdict]:
    """The record after a 304, or after an answer to HEAD that describes it, and what is to be thought of it now.

    An answer whose content said how long it is good keeps that life where the origin says nothing else.
    """
    lines = renewed_lines(record, given, response_time)
    verdict = judge(
        Head(record.status, lines),
        method=b"GET",
        kind=record.kind,
        rules=rules,
        request_time=request_time,
        response_time=response_time,
    )
    fresh_until = verdict.fresh_until
    if rules.lists_by_content and not explicit_freshness(lines):
        fresh_until = verdict.base_time + record.fresh_until - record.base_time
    modified = fields.first(lines, b"last-modified")
    tag = record.etag if record.flags & Flag.STRONG else (fields.first(lines, b"etag") or b"")[:255]
    return (
        replace(
            record,
            etag=tag,
            flags=record.flags & ~RENEWED_FLAGS | _flags(verdict),
            tags=surrogate_tags(given) or record.tags,
            base_time=verdict.base_time,
            fresh_until=fresh_until,
            stored_at=response_time,
            stale_while_revalidate=int(verdict.stale_while_revalidate),
            stale_if_error=int(verdict.stale_if_error),
            last_modified=_unix(modified),
            head=stored_fields(lines, response_time, rules, withheld=verdict.withheld),
        ),
        verdict,
    )


UNSATISFIED = 416  # its Content-Range tells how long the object is
FRESHNESS = (b"cache-control", b"cdn-cache-control", b"expires")


def explicit_freshness(response_fields: Fields) -> bool:
    """Does an answer itself say how long it is good (RFC 9111 section 4.2.1)?"""
    return any(fields.values(response_fields, name) for name in FRESHNESS)


def described(record: Record, given: Fields) -> bool:
    """Is an answer to HEAD about this record: are the validators and the length that it tells its own (4.3.5)?"""
    stored = stored_lines(record)
    for name in (b"etag", b"last-modified"):
        said = fields.first(given, name)
        if said is not None and said != fields.first(stored, name):
            return False
    length = fields.first(given, b"content-length")
    return length is None or length == b"%d" % record.total


def described_by_content(record: Record, body: bytes, kind: Kind, rules: SiteRules) -> tuple[Record, bool]:
    """The record of a playlist or manifest whose content decides how long it is good (live or not, target duration).

    And whether it is live. Other records stay as they are.
    """
    if kind not in LISTS or not rules.lists_by_content or record.status != 200:
        return record, False
    facts = read_playlist(body) if kind is Kind.PLAYLIST else read_manifest(body)
    verdict = judge(
        Head(record.status, stored_lines(record)),
        method=b"GET",
        kind=kind,
        rules=rules,
        request_time=record.base_time,
        response_time=record.base_time,
        facts=facts,
    )
    return replace(
        record,
        fresh_until=verdict.fresh_until,
        stale_while_revalidate=int(verdict.stale_while_revalidate),
        stale_if_error=int(verdict.stale_if_error),
    ), facts is not None and facts.live
