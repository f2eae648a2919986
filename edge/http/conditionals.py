"""Conditional requests (RFC 9110 section 13)."""

from dataclasses import dataclass
from enum import StrEnum

from edge.http import fields as header
from edge.http.dates import parse_date
from edge.http.etags import ANY, AnyTag, ETag, parse_etag, parse_etag_list, strong_equal, weak_equal
from edge.http.fields import Fields


class Outcome(StrEnum):
    PROCEED = "proceed"
    NOT_MODIFIED = "not_modified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of a request, those that cannot be read left out."""

    if_match: tuple[ETag, ...] | AnyTag | None = None
    if_none_match: tuple[ETag, ...] | AnyTag | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None


def parse_preconditions(fields: Fields) -> Preconditions | None:
    """None when there are none."""
    match = header.values(fields, b"if-match")
    none_match = header.values(fields, b"if-none-match")
    modified = _one_date(header.values(fields, b"if-modified-since"))
    unmodified = _one_date(header.values(fields, b"if-unmodified-since"))
    if not match and not none_match and modified is None and unmodified is None:
        return None
    return Preconditions(
        parse_etag_list(match) if match else None,
        parse_etag_list(none_match) if none_match else None,
        modified,
        unmodified,
    )


def _one_date(values: list[bytes]) -> int | None:
    """A date condition with another value than one date is ignored (section 13.1.3)."""
    return parse_date(values[0]) if len(values) == 1 else None


def evaluate(
    conditions: Preconditions, etag: ETag | None, last_modified: int | None, method: bytes
) -> Outcome:
    """The order of section 13.2.2 for a representation that exists."""
    if conditions.if_match is not None:
        if not _any_matches(conditions.if_match, etag, strong=True):
            return Outcome.FAILED
    elif conditions.if_unmodified_since is not None and last_modified is not None:
        if last_modified > conditions.if_unmodified_since:
            return Outcome.FAILED
    if conditions.if_none_match is not None:
        if _any_matches(conditions.if_none_match, etag, strong=False):
            return Outcome.NOT_MODIFIED if method in (b"GET", b"HEAD") else Outcome.FAILED
    elif (
        conditions.if_modified_since is not None and last_modified is not None and method in (b"GET", b"HEAD")
    ):
        if last_modified <= conditions.if_modified_since:
            return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def _any_matches(tags: tuple[ETag, ...] | AnyTag, etag: ETag | None, *, strong: bool) -> bool:
    if tags is ANY:
        return True
    assert not isinstance(tags, AnyTag)
    same = strong_equal if strong else weak_equal
    return etag is not None and any(same(tag, etag) for tag in tags)


def if_range_passes(value: bytes, etag: ETag | None, last_modified: int | None, date: int | None) -> bool:
    """Section 13.1.5: by strong comparison; a date only if it is exactly the stored one and strong itself.

    A Last-Modified is strong when Date is at least a second later (section 8.8.2.2); `date` None = not known: weak.
    """
    asked = parse_etag(value)
    if asked is not None:
        return etag is not None and strong_equal(asked, etag)
    since = parse_date(value.strip(b" \t"))
    if since is None or last_modified is None or date is None:
        return False
    return since == last_modified and date > last_modified
