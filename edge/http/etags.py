"""Entity tags (RFC 9110 section 8.8.3)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# A member of a list: a tag, or whatever else stands between two commas (then without groups).
_MEMBER: Final = re.compile(rb'[ \t,]*+(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*+(?=,|\Z)|[^,]*+)')


class AnyTag(Enum):
    """`*` in If-Match and If-None-Match."""

    ANY = "*"


ANY: Final = AnyTag.ANY


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag; `value` includes the quotes."""

    value: bytes
    weak: bool = False


def parse_etag(value: bytes) -> ETag | None:
    """One entity tag, None for anything else (`w/` in lower case is none)."""
    match = _TAG.fullmatch(value.strip(b" \t"))
    return ETag(match[2], match[1] is not None) if match else None


def parse_etag_list(values: Iterable[bytes]) -> tuple[ETag, ...] | AnyTag:
    """The tags of a condition, those that are none skipped. They may hold commas, so they are scanned."""
    text = b",".join(values)
    if text.strip(b" \t") == b"*":
        return ANY
    members = _MEMBER.finditer(text)
    return tuple(ETag(match[2], match[1] is not None) for match in members if match[2] is not None)


def strong_equal(one: ETag, other: ETag) -> bool:
    """Section 8.8.3.2: both strong and the same."""
    return not one.weak and not other.weak and one.value == other.value


def weak_equal(one: ETag, other: ETag) -> bool:
    """Section 8.8.3.2: the same, weak or not."""
    return one.value == other.value
