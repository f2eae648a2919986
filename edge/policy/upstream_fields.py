"""Which fields pass: of a request towards the origin, of an answer into the store."""

import re
from collections.abc import Collection
from typing import Final

from edge.errors import OriginError
from edge.http import fields as header
from edge.http import trace
from edge.http.dates import format_date
from edge.http.fields import Fields
from edge.policy import tags
from edge.policy.rules import SiteRules
from edge.words import Reason

# Never the client's own, whatever a site would forward. Most are written by our client for each request: slices,
# revalidation and framing depend on them.
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
        b"via",
        b"cdn-loop",
        b"edge-pass",  # between nodes of ours, see `access.passes`
        # What a player tells its nearest server of itself (CTA-5004); each request's is another.
        b"cmcd-object",
        b"cmcd-request",
        b"cmcd-session",
        b"cmcd-status",
        b"traceparent",
        b"tracestate",
    }
)
CONDITIONS: Final = frozenset({b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"})
RANGES: Final = frozenset({b"range", b"if-range"})
# Written anew for every answer, or ours to say: players get the edge's CORS, not the origin's.
REPLACED: Final = frozenset(
    {
        b"accept-ranges",
        b"x-cache",
        b"timing-allow-origin",
        b"cross-origin-resource-policy",
        b"alt-svc",
    }
)
FRAMING: Final = frozenset({b"content-length", b"content-range", b"age"})
HOPS_MOST: Final = 8  # a region's shield, an origin's shield and siblings beside each are four
LOOP_BYTES: Final = (
    4096  # of CDN-Loop: a host's name and a parameter each, and less than any server's limit for a field
)
BETWEEN_US: Final = frozenset({b"edge-pass"})  # an origin that sent it would make shields seem to refuse edges
CORS_PREFIX: Final = b"access-control-"
_NAME: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_BREAKS_FRAMING: Final = re.compile(rb"[\r\n\0]")


def request_fields(
    client_fields: Fields,
    rules: SiteRules,
    *,
    node: bytes = b"edge",
    mark: bytes = b"edge",
    conditions: bool = False,
    ranges: bool = False,
) -> tuple[tuple[bytes, bytes], ...]:
    """The client's end-to-end fields that the site passes on, and ours: Via and CDN-Loop with those before us.

    `node` = our name in Via (RFC 9110 section 7.6.3), `mark` = our member of CDN-Loop (RFC 8586).
    `conditions`: those of the client go along, since nothing is stored that could be checked for it. `ranges`: so do
    Range and If-Range, since what is asked for is not cut here.
    """
    own = OWN - CONDITIONS if conditions else OWN
    if ranges:
        own -= RANGES
    if rules.forwards_all:
        own -= {b"accept-encoding"}
        passed = [field for field in header.end_to_end(client_fields) if field[0].lower() not in own]
    elif rules.forward_fields:
        named = {name.lower().encode() for name in rules.forward_fields} - own
        passed = [field for field in header.end_to_end(client_fields) if field[0].lower() in named]
    else:
        passed = []
    # What is not in the key does not reach the origin: so of Via only our own member, unless every field passes. The
    # others' members of CDN-Loop have to stay (RFC 8586 section 2.1); an origin that goes by them refuses a loop.
    before = header.values(client_fields, b"via") if rules.forwards_all else []
    passed += trace_fields(client_fields)
    passed.append((b"Via", b", ".join([*before, b"1.1 " + node])))
    passed.append((b"CDN-Loop", b", ".join([*header.values(client_fields, b"cdn-loop"), mark])))
    return tuple(passed)


def trace_fields(client_fields: Fields) -> list[tuple[bytes, bytes]]:
    """The trace that a request belongs to, for the next one on its way; none where `traceparent` is not one.

    Of two it would be anybody's guess which one holds (Trace Context, section 3.2).
    """
    parents = header.values(client_fields, trace.NAME)
    if len(parents) != 1 or trace.parse_traceparent(parents[0].strip(b" \t")) is None:
        return []
    state = b",".join(header.values(client_fields, trace.STATE))
    told = [(trace.NAME, parents[0].strip(b" \t"))]
    return [*told, (trace.STATE, state)] if 0 < len(state) <= trace.STATE_MOST else told


def in_a_loop(client_fields: Fields, mark: bytes, hops_most: int = HOPS_MOST) -> bool:
    """Has this request been here before (RFC 8586 section 2)? CDN-Loop names each node that passed it on.

    More than `hops_most` of them are a loop too: perhaps one of nodes that change their names. So is what is longer
    than that many could be: it would be refused further up. A member with our name and another parameter is a node of
    the same name; without one it may be us.
    """
    ours = [part.strip(b" \t").lower() for part in mark.split(b";")]
    given = header.values(client_fields, b"cdn-loop")
    members = header.list_members(given)
    if len(members) > hops_most or sum(map(len, given)) > LOOP_BYTES:
        return True
    for member in members:
        theirs = [part.strip(b" \t").lower() for part in member.split(b";")]
        if theirs[0] == ours[0] and theirs[1:] in ([], ours[1:]):
            return True
    return False


def stored_fields(
    fields: Fields,
    response_time: float,
    rules: SiteRules | None = None,
    *,
    withheld: Collection[bytes] = (),
    opaque: bool = False,
) -> bytes:
    """The origin's end-to-end fields as they are replayed: unchanged, in order, one `Name: value` line each.

    Date is added where it is missing (RFC 9110 section 6.6.1). `withheld`: names that are left out; `opaque`: the
    part that it is was chosen upstream. OriginError: a field that would break our framing.
    """
    left_out = FRAMING - {b"content-range"} if opaque else FRAMING
    left_out |= BETWEEN_US
    if rules is None or rules.hide_tags:
        left_out = left_out | set(tags.NAMES)
    own_cors = rules is None or bool(rules.cors_origin)
    lines = []
    dated = False
    for name, value in header.end_to_end(fields):
        low = name.lower()
        if low in left_out or low in withheld or (own_cors and _is_ours(low)):
            continue
        if _NAME.fullmatch(name) is None or _BREAKS_FRAMING.search(value):
            raise OriginError(Reason.BAD_RESPONSE, f"malformed field {name[:40]!r}")
        dated = dated or low == b"date"
        lines.append(b"%s: %s\r\n" % (name, value))
    if not dated:
        lines.append(b"Date: %s\r\n" % format_date(response_time))
    return b"".join(lines)


def _is_ours(low: bytes) -> bool:
    return low in REPLACED or low.startswith(CORS_PREFIX)
