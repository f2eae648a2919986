"""Cache-Control (RFC 9111 section 5.2, RFC 5861, RFC 8246), parsed as tolerantly as section 4.2.1 asks.

Its targeted kin (RFC 9213) has the same directives in a strict grammar.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from edge.http.structured import parse_dictionary

MOST_SECONDS: Final = 2**31  # RFC 9111 section 1.2.2: larger numbers mean this
REMEMBERED: Final = 1024  # an origin says the same of all its segments
REMEMBERED_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class CacheControl:
    """Directives as given; seconds are None when a directive is absent, 0 when its number cannot be read."""

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    min_fresh: int | None = None  # of requests only (section 5.2.1), as `only_if_cached` and `max_stale`
    max_stale: int | None = None
    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    no_transform: bool = False
    only_if_cached: bool = False
    no_cache_fields: tuple[bytes, ...] = ()
    private_fields: tuple[bytes, ...] = ()


_SECONDS: Final = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
    b"min-fresh": "min_fresh",
    b"max-stale": "max_stale",
}
_PLAIN: Final = {
    name.replace("_", "-").encode(): name
    for name in (
        "no_store",
        "public",
        "must_revalidate",
        "proxy_revalidate",
        "must_understand",
        "immutable",
        "no_transform",
        "only_if_cached",
    )
}
_LISTS: Final = {b"no-cache": "no_cache", b"private": "private"}
# One directive up to its comma: with quoted strings where every quote has its partner, else without.
_QUOTABLE: Final = re.compile(rb'(?s)[^,"]*+(?:"(?:[^"\\]|\\.)*+"[^,"]*+)*+(?=,|\Z)')
_PLAINLY: Final = re.compile(rb"[^,]*")
_ESCAPED: Final = re.compile(rb"(?s)\\(.)")


def parse_cache_control(values: Iterable[bytes]) -> CacheControl:
    """All directives of all lines. Of duplicates the first counts (section 4.2.1), unknown ones do not."""
    lines = tuple(values)
    return _known(lines) if sum(map(len, lines)) <= REMEMBERED_BYTES else _parsed(lines)


def _parsed(lines: tuple[bytes, ...]) -> CacheControl:
    found: dict[str, Any] = {}
    for line in lines:
        for name, argument in _directives(line):
            if (field := _SECONDS.get(name)) is not None:
                any_age = argument is None and name == b"max-stale"  # section 5.2.1.2: stale by however much
                found.setdefault(field, MOST_SECONDS if any_age else _seconds(argument))
            elif (field := _PLAIN.get(name)) is not None:
                found[field] = True
            elif (field := _LISTS.get(name)) is not None:
                _qualified(found, field, argument)
    return CacheControl(**found)


_known = lru_cache(REMEMBERED)(_parsed)


def parse_targeted(values: Iterable[bytes]) -> CacheControl | None:
    """A targeted field (RFC 9213 section 2.1), a structured dictionary; None when it is empty or malformed.

    A number of another type than the integer it has to be counts as already stale; parameters are ignored.
    """
    members = parse_dictionary(values)
    if not members:
        return None
    found: dict[str, Any] = {}
    for name, value in members.items():
        if (field := _SECONDS.get(name)) is not None:
            counts = isinstance(value, int) and not isinstance(value, bool)
            found[field] = min(max(int(value), 0), MOST_SECONDS) if counts else 0  # type: ignore[arg-type]
        elif (field := _PLAIN.get(name)) is not None:
            found[field] = value is not False
        elif (field := _LISTS.get(name)) is not None and value is not False:
            _qualified(found, field, value if isinstance(value, bytes) else None)
    return CacheControl(**found)


def _qualified(found: dict[str, Any], field: str, argument: bytes | None) -> None:
    """no-cache and private, of the whole answer or of the fields that the argument names."""
    names = tuple(part.strip(b' \t"').lower() for part in (argument or b"").split(b","))
    names = tuple(name for name in names if name)
    if names:
        found[f"{field}_fields"] = (*found.get(f"{field}_fields", ()), *names)
    else:
        found[field] = True


def _seconds(argument: bytes | None) -> int:
    """Delta-seconds; what is not a number counts as already stale (section 4.2.1)."""
    if argument is None or not argument.isdigit():
        return 0
    digits = argument.lstrip(b"0")
    return MOST_SECONDS if len(digits) > 10 else min(int(digits or b"0"), MOST_SECONDS)


def _directives(text: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """(name in lower case, argument without quotes), a comma within quotes being part of the argument.

    A quote that is never closed means nothing: it must not hide the directives behind it.
    """
    at = 0
    pattern = _QUOTABLE
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            pattern = _PLAINLY
            continue
        end = match.end()
        name, equals, argument = text[at:end].partition(b"=")
        name = name.strip(b" \t").lower()
        if name:
            yield name, _unquoted(argument.strip(b" \t")) if equals else None
        at = end + 1


def _unquoted(argument: bytes) -> bytes:
    if len(argument) >= 2 and argument[:1] == b'"' == argument[-1:]:
        return _ESCAPED.sub(rb"\1", argument[1:-1])
    return argument
