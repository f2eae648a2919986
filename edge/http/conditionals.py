"""Conditional requests (RFC 9110 section 13)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.http.dates import parse_date
from edge.http.etags import AnyTag, ETag, parse_etag, parse_etag_list, strong_equal, weak_equal
from edge.http.fields import Fields


class Outcome(StrEnum):
    """What a request's conditions come to."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not_modified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of a request; dates that cannot be read are left out (sections 13.1.3, 13.1.4)."""

    if_match: tuple[ETag, ...] | AnyTag | None = None
    if_none_match: tuple[ETag, ...] | AnyTag | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None


_NAMES: Final = (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since")


def parse_preconditions(fields: Fields) -> Preconditions | None:
    """None when there are none."""
    given: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if (low := name.lower()) in _NAMES:
            given.setdefault(low, []).append(value)
    if not given:
        return None
    match, none_match, modified, unmodified = map(given.get, _NAMES)
    return Preconditions(
        parse_etag_list(match) if match else None,
        parse_etag_list(none_match) if none_match else None,
        _one_date(modified),
        _one_date(unmodified),
    )


def _one_date(values: list[bytes] | None) -> int | None:
    """A date condition whose value is not one date is ignored (section 13.1.3)."""
    return parse_date(values[0]) if values is not None and len(values) == 1 else None


def evaluate(
    conditions: Preconditions,
    etag: ETag | None,
    last_modified: int | None,
    method: bytes,
    date: int | None = None,
) -> Outcome:
    """The order of section 13.2.2 for a representation that exists.

    `date` = the answer's Date, which a cache takes where there is no Last-Modified (RFC 9111 section 4.3.2).
    """
    if conditions.if_match is not None:
        if not _any_matches(conditions.if_match, etag, strong=True):
            return Outcome.FAILED
    elif _later(last_modified, conditions.if_unmodified_since):
        return Outcome.FAILED
    reads = method in (b"GET", b"HEAD")
    if conditions.if_none_match is not None:
        if _any_matches(conditions.if_none_match, etag, strong=False):
            return Outcome.NOT_MODIFIED if reads else Outcome.FAILED
        return Outcome.PROCEED
    changed = date if last_modified is None else last_modified
    if reads and conditions.if_modified_since is not None and changed is not None:
        return Outcome.PROCEED if _later(changed, conditions.if_modified_since) else Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def _later(changed: int | None, than: int | None) -> bool:
    """Is it known that the change came after the time? Without both there is nothing to compare."""
    return changed is not None and than is not None and changed > than


def _any_matches(tags: tuple[ETag, ...] | AnyTag, etag: ETag | None, *, strong: bool) -> bool:
    if isinstance(tags, AnyTag):
        return True
    same = strong_equal if strong else weak_equal
    return etag is not None and any(same(tag, etag) for tag in tags)


def if_range_passes(value: bytes, etag: ETag | None, last_modified: int | None, date: int | None) -> bool:
    """Section 13.1.5: by strong comparison; a date only if it is exactly the stored one and strong itself.

    A Last-Modified is strong when the answer's Date is at least a second later (section 8.8.2.2); `date` None
    = not known, so it is weak.
    """
    asked = parse_etag(value)
    if asked is not None:
        return etag is not None and strong_equal(asked, etag)
    since = parse_date(value.strip(b" \t"))
    if since is None or last_modified is None or date is None:
        return False
    return since == last_modified and date > last_modified
