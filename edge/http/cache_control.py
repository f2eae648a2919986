"""Cache-Control (RFC 9111 section 5.2, RFC 5861, RFC 8246), parsed as tolerantly as section 4.2.1 asks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_SECONDS: Final = 2**31  # RFC 9111 section 1.2.2: larger numbers mean this


@dataclass(frozen=True, slots=True)
class CacheControl:
    """Directives as given; seconds are None when a directive is absent, 0 when its number cannot be read."""

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
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


def parse_cache_control(values: Iterable[bytes]) -> CacheControl:
    """All directives of all lines. Of duplicates the first counts (section 4.2.1); unknown ones are ignored."""
    found: dict[str, object] = {}
    for name, argument in _directives(b",".join(values)):
        if (field := _SECONDS.get(name)) is not None:
            found.setdefault(field, _seconds(argument))
        elif (field := _PLAIN.get(name)) is not None:
            found[field] = True
        elif (field := _LISTS.get(name)) is not None:
            if argument:
                names = tuple(part.strip().lower() for part in argument.split(b",") if part.strip())
                found[f"{field}_fields"] = (*found.get(f"{field}_fields", ()), *names)  # type: ignore[misc]
            else:
                found[field] = True
    return CacheControl(**found)  # type: ignore[arg-type]


def _seconds(argument: bytes | None) -> int:
    """Delta-seconds; what is not a number counts as already stale (section 4.2.1)."""
    if argument is None or not argument.isdigit():
        return 0
    return MOST_SECONDS if len(argument) > 10 else min(int(argument), MOST_SECONDS)


def _directives(text: bytes) -> Iterable[tuple[bytes, bytes | None]]:
    at = 0
    while at < len(text):
        end = _end_of_directive(text, at)
        name, equals, argument = text[at:end].partition(b"=")
        name = name.strip(b" \t").lower()
        if name:
            yield name, _unquoted(argument.strip(b" \t")) if equals else None
        at = end + 1


def _end_of_directive(text: bytes, at: int) -> int:
    quoted = False
    while at < len(text):
        byte = text[at]
        if quoted and byte == 0x5C:
            at += 1
        elif byte == 0x22:
            quoted = not quoted
        elif byte == 0x2C and not quoted:
            return at
        at += 1
    return len(text)


def _unquoted(argument: bytes) -> bytes:
    if len(argument) >= 2 and argument[:1] == b'"' == argument[-1:]:
        return argument[1:-1].replace(b'\\"', b'"')
    return argument
