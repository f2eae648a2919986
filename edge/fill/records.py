"""Pure: the record of an answer, and the short-lived or lasting place that suits it."""

from dataclasses import replace

from edge.fill.messages import Fetch
from edge.http import dates, fields
from edge.http.fields import Fields
from edge.policy.judge import Verdict
from edge.policy.upstream_fields import stored_fields
from edge.store.record import Flag, Record
from edge.words import Kind


def record_of(
    fetch: Fetch,
    kind: Kind,
    status: int,
    response_fields: Fields,
    verdict: Verdict,
    *,
    etag: bytes,
    generation: int,
    total: int,
    slice_size: int,
    now: float,
) -> Record:
    """The record of a judged answer; `etag` is its strong validator or empty, `total` its body's length."""
    given = fields.first(response_fields, b"etag") or b""
    modified = fields.first(response_fields, b"last-modified")
    flags = Flag.STRONG if etag else Flag.WHOLE
    if verdict.no_cache:
        flags |= Flag.NO_CACHE
    if verdict.must_revalidate:
        flags |= Flag.MUST_REVALIDATE
    if verdict.immutable:
        flags |= Flag.IMMUTABLE
    return Record(
        generation=generation,
        kind=kind,
        status=status,
        flags=flags,
        total=max(total, 0),
        slice_size=slice_size,
        base_time=verdict.base_time,
        fresh_until=verdict.fresh_until,
        stored_at=now,
        stale_while_revalidate=int(verdict.stale_while_revalidate),
        stale_if_error=int(verdict.stale_if_error),
        last_modified=(dates.parse_date(modified) or 0) if modified else 0,
        sequence=0,
        key=fetch.key,
        path=fetch.path[:255],
        etag=(etag or given)[:255],
        vary=b"",
        tags=(),
        head=stored_fields(response_fields, now),
        first=None,
    )


def refreshed(record: Record, response_fields: Fields, verdict: Verdict, now: float) -> Record:
    """The record after a 304 (RFC 9111 section 4.3.4): new freshness, and stored fields replaced by those given.

    Content-* fields of a 304 describe nothing that is sent and never replace the stored ones.
    """
    given = [
        (name, value)
        for name, value in fields.end_to_end(response_fields)
        if not name.lower().startswith(b"content-") and name.lower() != b"etag"
    ]
    names = {name.lower() for name, _ in given}
    kept = [
        line for line in record.head.split(b"\r\n") if line and line.partition(b":")[0].strip().lower() not in names
    ]
    head = b"".join(line + b"\r\n" for line in kept) + stored_fields(given, now)
    flags = record.flags & ~(Flag.NO_CACHE | Flag.MUST_REVALIDATE | Flag.IMMUTABLE)
    if verdict.no_cache:
        flags |= Flag.NO_CACHE
    if verdict.must_revalidate:
        flags |= Flag.MUST_REVALIDATE
    if verdict.immutable:
        flags |= Flag.IMMUTABLE
    return replace(
        record,
        flags=flags,
        base_time=verdict.base_time,
        fresh_until=verdict.fresh_until,
        stored_at=now,
        stale_while_revalidate=int(verdict.stale_while_revalidate),
        stale_if_error=int(verdict.stale_if_error),
        head=head,
    )
