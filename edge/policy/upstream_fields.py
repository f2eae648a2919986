"""Which fields pass: of a request towards the origin, of an answer into the store."""

from typing import Final

from edge.errors import OriginError
from edge.http import fields as header
from edge.http.dates import format_date
from edge.http.fields import Fields
from edge.policy.rules import SiteRules
from edge.words import Reason

# Written anew for every answer, or ours to say: CORS of the edge replaces the origin's (CONVENTIONS section 2).
REPLACED: Final = frozenset(
    {
        b"content-length",
        b"content-range",
        b"age",
        b"accept-ranges",
        b"x-cache",
        b"timing-allow-origin",
        b"cross-origin-resource-policy",
        b"alt-svc",
    }
)
CORS_PREFIX: Final = b"access-control-"


def request_fields(client_fields: Fields, rules: SiteRules) -> tuple[tuple[bytes, bytes], ...]:
    """The client's fields that the site passes on by name."""
    if not rules.forward_fields:
        return ()
    named = {name.lower().encode() for name in rules.forward_fields}
    return tuple((name, value) for name, value in client_fields if name.lower() in named)


def stored_fields(fields: Fields, response_time: float) -> bytes:
    """The origin's end-to-end fields as they are replayed: unchanged, in order; Date added where it is missing.

    OriginError: a value that would break the framing of our answer.
    """
    lines = []
    dated = False
    for name, value in header.end_to_end(fields):
        low = name.lower()
        if low in REPLACED or low.startswith(CORS_PREFIX):
            continue
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise OriginError(Reason.BAD_RESPONSE, f"control character in {name.decode('latin-1')}")
        dated = dated or low == b"date"
        lines.append(b"%s: %s\r\n" % (name, value))
    if not dated:
        lines.append(b"Date: %s\r\n" % format_date(response_time))
    return b"".join(lines)
