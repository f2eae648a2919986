"""Content-Range (RFC 9110 section 14.4)."""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(rb"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED: Final = re.compile(rb"bytes \*/([0-9]{1,18})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """[start, end_exclusive) of `total` bytes; total None = `*`."""

    start: int
    end_exclusive: int
    total: int | None


def parse_content_range(value: bytes) -> ContentRange | None:
    """None for what is malformed, another unit, or contradicts itself."""
    match = _RANGE.fullmatch(value.strip(b" \t"))
    if match is None:
        return None
    start, last = int(match[1]), int(match[2])
    total = None if match[3] == b"*" else int(match[3])
    if last < start or (total is not None and last >= total):
        return None
    return ContentRange(start, last + 1, total)


def parse_unsatisfied(value: bytes) -> int | None:
    """The length in `bytes */N`."""
    match = _UNSATISFIED.fullmatch(value.strip(b" \t"))
    return int(match[1]) if match else None


def format_content_range(start: int, end_exclusive: int, total: int) -> bytes:
    """The value for [start, end_exclusive), which must not be empty: that cannot be written."""
    return b"bytes %d-%d/%d" % (start, end_exclusive - 1, total)


def format_unsatisfied(total: int) -> bytes:
    """The value in a 416 (section 15.5.17)."""
    return b"bytes */%d" % total
