"""Cache-Status (RFC 9211), written as structured fields (RFC 9651)."""

import re
from typing import Final

from edge.http import fields

_TOKEN: Final = re.compile(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def item(text: str) -> str:
    """An sf-token where the text is one, else an sf-string."""
    return text if _TOKEN.fullmatch(text) else string(text)


def string(text: str) -> str:
    """An sf-string; what it cannot hold (controls, anything but ASCII) becomes `?`."""
    clean = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def format_member(
    cache: str,
    *,
    hit: bool,
    fwd: str | None = None,
    fwd_status: int | None = None,
    ttl: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    key: str | None = None,
    detail: str | None = None,
) -> bytes:
    """One cache's member. `hit` and `fwd` exclude each other (section 2.1).

    `fwd-status`, `stored` and `collapsed` mean something only beside `fwd` (sections 2.3, 2.5, 2.6); `ttl` is
    negative for what is stale.
    """
    parts = [item(cache)]
    if hit:
        parts.append("hit")
    elif fwd is not None:
        parts.append(f"fwd={item(fwd)}")
        if fwd_status is not None:
            parts.append(f"fwd-status={fwd_status}")
        if stored:
            parts.append("stored")
        if collapsed:
            parts.append("collapsed")
    if ttl is not None:
        parts.append(f"ttl={ttl}")
    if key is not None:
        parts.append(f"key={string(key)}")
    if detail is not None:
        parts.append(f"detail={item(detail)}")
    return "; ".join(parts).encode()


def relays(given: fields.Fields) -> bool:
    """Was an answer handed on, from upstream or from the cache, by the cache that wrote the last member?

    One of a cache's own making has neither `fwd-status` nor `hit` (sections 2.1 and 2.3).
    """
    said = _STRING.sub(b'""', fields.combined(given, b"cache-status") or b"").rpartition(b",")[2]
    parameters = [parameter.partition(b"=")[0].strip(b" \t") for parameter in said.split(b";")[1:]]
    return b"fwd-status" in parameters or b"hit" in parameters
