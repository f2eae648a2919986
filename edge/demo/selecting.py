"""Which part of a resource a GET asks for, and whether it needs to be sent at all (RFC 9110 sections 13 and 14). Pure.

Written apart from the edge's own readers on purpose: an origin that shared them would agree with their mistakes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_TAGS: Final = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Resource:
    """What is there: its length in bytes and its validators as they are written in fields ("" = none)."""

    size: int
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The status that the conditions lead to (200, 206, 304, 412, 416) and the bytes [start, end) to send."""

    status: int
    start: int = 0
    end: int = 0


def select(fields: Mapping[str, str], resource: Resource, *, ranges: bool = True) -> Part:
    """What to send to a GET or HEAD with these fields (names in lower case); without `ranges` Range is ignored."""
    if _failed(fields, resource):
        return Part(412)
    if _unchanged(fields, resource):
        return Part(304)
    text = fields.get("range")
    if text is None or not ranges or not _if_range_holds(fields.get("if-range"), resource):
        return Part(200, 0, resource.size)
    return _part_of(text, resource.size)


def _failed(fields: Mapping[str, str], resource: Resource) -> bool:
    """If-Match: strong comparison, so that a weak tag never matches (section 13.1.1)."""
    wanted = fields.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return False
    return resource.etag.startswith("W/") or not resource.etag or resource.etag not in _TAGS.findall(wanted)


def _unchanged(fields: Mapping[str, str], resource: Resource) -> bool:
    """If-None-Match, weakly compared; only without it If-Modified-Since (section 13.2.2)."""
    wanted = fields.get("if-none-match")
    if wanted is not None:
        tags = {tag.removeprefix("W/") for tag in _TAGS.findall(wanted)}
        return wanted.strip() == "*" or resource.etag.removeprefix("W/") in tags
    since = fields.get("if-modified-since")
    # Equality, not order: what a cache sends back is what it was given, and an origin may go back to an old file.
    return since is not None and since == resource.last_modified


def _if_range_holds(condition: str | None, resource: Resource) -> bool:
    """Strong comparison for tags, equality for dates (section 13.1.5)."""
    if condition is None:
        return True
    if condition.startswith("W/"):
        return False
    return condition != "" and condition in (resource.etag, resource.last_modified)


def _part_of(text: str, size: int) -> Part:
    """One range. What is not one valid range is ignored, several too: an origin may (section 14.2)."""
    whole = Part(200, 0, size)
    match = _RANGE.fullmatch(text.strip())
    if match is None or match[0].endswith("=-") or (not match[1] and not match[2]):
        return whole
    if not match[1]:
        last = int(match[2])
        return Part(206, max(0, size - last), size) if last and size else Part(416)
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return whole
    if first >= size:
        return Part(416)
    return Part(206, first, min(size, int(match[2]) + 1) if match[2] else size)
