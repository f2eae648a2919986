"""What an answer to an unsafe request makes invalid (RFC 9111 section 4.4)."""

from dataclasses import replace
from typing import Final

from edge.errors import BadRequest
from edge.http import fields as header
from edge.http.fields import Fields
from edge.http.target import Target, parse_target

# RFC 9110 section 9.2.1, and those that are registered as safe (RFC 4918, RFC 3253, RFC 5323).
SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"SEARCH"})
NAMING: Final = (b"location", b"content-location")
_DEFAULT_PORTS: Final = (None, 80, 443)


def is_unsafe(method: bytes) -> bool:
    """May this method change something? Of those that nobody knows that has to be supposed."""
    return method not in SAFE


def invalidated(method: bytes, status: int, asked: Target, fields: Fields) -> tuple[Target, ...]:
    """The targets whose stored answers are not good any more: none after an error.

    Beside the target itself those that Location and Content-Location name, if they have its origin: one host
    must not be able to empty the cache of another.
    """
    if not is_unsafe(method) or not 200 <= status < 400:
        return ()
    found = [asked]
    for name in NAMING:
        for value in header.values(fields, name):
            named = _resolved(value, asked)
            if named is not None and named not in found:
                found.append(named)
    return tuple(found)


def answers_get(method: bytes, status: int, asked: Target, fields: Fields) -> bool:
    """Is the content of an answer to POST what a GET of the same target would bring (RFC 9110 section 9.3.3)?

    It says so by a Content-Location that is the target; it may be kept if it also says for how long.
    """
    named = header.values(fields, b"content-location")
    if method != b"POST" or status != 200 or len(named) != 1:
        return False
    found = _resolved(named[0], asked)
    return found is not None and (found.path, found.query) == (asked.path, asked.query)


def _resolved(reference: bytes, base: Target) -> Target | None:
    """A URI reference (RFC 3986 section 5.2) of the same origin, None for any other."""
    reference = reference.partition(b"#")[0].strip(b" \t")
    try:
        if b"://" in reference.partition(b"?")[0]:
            found = parse_target(reference, None)
        elif reference.startswith(b"//"):
            found = parse_target(b"http:" + reference, None)
        else:
            return replace(parse_target(_merged(reference, base), None), host=base.host, port=base.port)
    except BadRequest:
        return None
    same_port = found.port == base.port or (found.port in _DEFAULT_PORTS and base.port in _DEFAULT_PORTS)
    return found if found.host == base.host and same_port else None


def _merged(reference: bytes, base: Target) -> bytes:
    """Path and query of a relative reference."""
    if not reference:
        return base.path if base.query is None else base.path + b"?" + base.query
    if reference.startswith(b"?"):
        return base.path + reference
    path, mark, query = reference.partition(b"?")
    if not path.startswith(b"/"):
        path = base.path.rpartition(b"/")[0] + b"/" + path
    return _without_dots(path) + mark + query


def _without_dots(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            kept = kept[:-1] or [b""]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    joined = b"/".join(kept)
    return joined if joined.startswith(b"/") else b"/" + joined
