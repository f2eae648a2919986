"""Which fields pass: of a request towards the origin, of an answer into the store."""

import re
from typing import Final

from edge.errors import OriginError
from edge.http import fields as header
from edge.http.dates import format_date
from edge.http.fields import Fields
from edge.policy.rules import SiteRules
from edge.words import Reason

# Written by our own client for each request of its own, whatever a site would forward: slices, revalidation
# and framing depend on them.
OWN: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"expect",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"accept-encoding",
    }
)
# Written anew for every answer, or ours to say: players get the edge's CORS, not the origin's.
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
_NAME: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_BREAKS_FRAMING: Final = re.compile(rb"[\r\n\0]")


def request_fields(client_fields: Fields, rules: SiteRules) -> tuple[tuple[bytes, bytes], ...]:
    """The client's end-to-end fields that the site passes on by name."""
    if not rules.forward_fields:
        return ()
    named = {name.lower().encode() for name in rules.forward_fields} - OWN
    return tuple(field for field in header.end_to_end(client_fields) if field[0].lower() in named)


def stored_fields(fields: Fields, response_time: float) -> bytes:
    """The origin's end-to-end fields as they are replayed: unchanged, in order, one `Name: value` line each.

    Date is added where it is missing (RFC 9110 section 6.6.1). OriginError: a field that would break our
    framing.
    """
    lines = []
    dated = False
    for name, value in header.end_to_end(fields):
        low = name.lower()
        if low in REPLACED or low.startswith(CORS_PREFIX):
            continue
        if _NAME.fullmatch(name) is None or _BREAKS_FRAMING.search(value):
            raise OriginError(Reason.BAD_RESPONSE, f"malformed field {name[:40]!r}")
        dated = dated or low == b"date"
        lines.append(b"%s: %s\r\n" % (name, value))
    if not dated:
        lines.append(b"Date: %s\r\n" % format_date(response_time))
    return b"".join(lines)
