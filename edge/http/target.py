"""The target of a request (RFC 9112 section 3.2) and its Host (RFC 9110 section 7.2)."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from edge.errors import BadRequest

_HOST: Final = re.compile(
    rb"(\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_BAD: Final = re.compile(rb"[\x00-\x20\x7f#]")


@dataclass(frozen=True, slots=True)
class Target:
    """`host` in lower case, without port and root dot; `path` and `query` byte for byte as asked.

    `port` None = none was written; `query` None = there is no question mark. The path `*` is the server
    itself.
    """

    host: bytes
    port: int | None
    path: bytes
    query: bytes | None


def parse_target(target: bytes, host: bytes | None) -> Target:
    """Origin-form, absolute-form (its authority wins, RFC 9112 section 3.2.2) or `*`; else BadRequest."""
    if match := _ABSOLUTE.fullmatch(target):
        host = match[2]
        if not host:
            raise BadRequest("an http URI has no host")  # RFC 9110 section 4.2.1
        target = match[3] if match[3].startswith(b"/") else b"/" + match[3]
    elif target != b"*" and not target.startswith(b"/"):
        raise BadRequest("the request target is neither a path nor an http URI")
    if _BAD.search(target):
        raise BadRequest("the request target has a space, a control character or a fragment")
    name, port = _split_host(host or b"")
    path, mark, query = target.partition(b"?")
    return Target(name, port, path, query if mark else None)


def authority_of(target: bytes, host: bytes | None) -> bytes:
    """The authority that a request asks: of its absolute-form, else its Host."""
    match = _ABSOLUTE.fullmatch(target)
    return match[2] if match else host or b""


def _split_host(host: bytes) -> tuple[bytes, int | None]:
    match = _HOST.fullmatch(host)
    if match is None or (match[1].startswith(b"[") and not _is_ipv6(match[1])):
        raise BadRequest("the Host is not a valid authority")
    port = int(match[2]) if match[2] else None
    if port is not None and port > 65535:
        raise BadRequest("the Host has a port beyond 65535")
    name = match[1].lower()
    # `example.org.` is `example.org` said in full (RFC 1034 section 3.1): the same site.
    return name[:-1] if name.endswith(b".") else name, port


def _is_ipv6(bracketed: bytes) -> bool:
    try:
        IPv6Address(bracketed[1:-1].decode())
    except ValueError:
        return False
    return True


def valid_host(host: bytes) -> bool:
    """Is this a Host field value that RFC 9110 section 7.2 allows? Empty is: a target without authority."""
    try:
        _split_host(host)
    except BadRequest:
        return False
    return True
