"""Several answers of one object, chosen by request fields (Vary, RFC 9111 section 4.1).

What two requests have to have in common is put into one value, the *selection*: normalised where the meaning of a
field allows it, so that spellings of one wish share an answer.
"""

import re
from collections.abc import Sequence
from typing import Final

from edge.http import fields as header
from edge.http.fields import Fields
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import OWN

_QUALITY: Final = re.compile(rb"(?i)q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_COMMA: Final = re.compile(rb"[ \t]*,[ \t]*")


def varies_by(fields: Fields, rules: SiteRules) -> tuple[bytes, ...]:
    """The request fields that chose an answer, sorted: those that Vary names and that reach the origin.

    A field that the origin is not told cannot have made a difference.
    """
    named = {member.lower() for member in header.list_members(header.values(fields, b"vary"))}
    if rules.forwards_all:
        named -= OWN - {b"accept-encoding"}
    else:
        named &= {name.lower().encode() for name in rules.forward_fields} - OWN
    return tuple(sorted(named))


def selection(names: Sequence[bytes], request_fields: Fields) -> bytes:
    """What the request says in the named fields; two requests with the same selection get the same answer.

    A field that is missing is told from one that is empty (section 4.1).
    """
    parts = []
    for name in names:
        given = header.combined(request_fields, name)
        parts.append(name + (b"\n" if given is None else b"=" + _normal(name, given.strip(b" \t")) + b"\n"))
    return b"".join(parts)


def _normal(name: bytes, value: bytes) -> bytes:
    if b'"' in value:
        return value  # blanks within quotes mean themselves
    if name == b"accept-encoding":
        return b",".join(sorted(what for what, quality in _weighted(value) if quality > 0))
    if name == b"accept-language":
        # By preference; equals keep their order, which some origins go by (RFC 9110 section 12.5.4).
        ranked = sorted(_weighted(value), key=lambda entry: -entry[1])
        return b",".join(b"%s;%d" % entry for entry in ranked)
    return _COMMA.sub(b",", value)


def _weighted(value: bytes) -> list[tuple[bytes, int]]:
    """Members with their quality in thousandths (RFC 9110 section 12.4.2); one that cannot be read counts as 1."""
    found = []
    for member in header.list_members([value.lower()]):
        what, *parameters = (part.strip(b" \t") for part in member.split(b";"))
        quality = 1000
        for parameter in parameters:
            if match := _QUALITY.fullmatch(parameter):
                quality = round(float(match[1]) * 1000)
            else:
                what += b";" + parameter
        found.append((what, quality))
    return found
