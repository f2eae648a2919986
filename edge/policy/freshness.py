"""How long an answer is fresh and how old it is (RFC 9111 section 4.2), defaults included."""

from dataclasses import dataclass

from edge.http import fields as header
from edge.http.cache_control import MOST_SECONDS, CacheControl, parse_cache_control
from edge.http.dates import parse_date
from edge.http.fields import Fields
from edge.media.playlists import Facts
from edge.policy.rules import LIVE_LEAST, LIVE_MOST, LIVE_UNKNOWN, KindDefaults, SiteRules
from edge.words import Kind


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds; `explicit` = the answer itself says so."""

    fresh: float
    stale_while_revalidate: float
    stale_if_error: float
    explicit: bool


def directives(fields: Fields) -> CacheControl:
    """CDN-Cache-Control, where the origin sends it, stands before Cache-Control (RFC 9213 section 2.2)."""
    targeted = header.values(fields, b"cdn-cache-control")
    return parse_cache_control(targeted or header.values(fields, b"cache-control"))


def explicit_lifetime(fields: Fields, control: CacheControl, response_time: float) -> float | None:
    """Section 4.2.1: s-maxage, max-age, Expires less Date, in this order; None when the origin is silent."""
    if control.s_maxage is not None:
        return control.s_maxage
    if control.max_age is not None:
        return control.max_age
    expires = header.values(fields, b"expires")
    if not expires:
        return None
    until = parse_date(expires[0])
    if until is None or len(expires) > 1:
        return 0.0  # section 5.3: an invalid date is in the past
    date = header.first(fields, b"date")
    since = parse_date(date) if date else None
    return max(0.0, until - (response_time if since is None else since))


def base_time(fields: Fields, request_time: float, response_time: float) -> float:
    """When the answer's age was 0: response time less the corrected initial age (section 4.2.3)."""
    date = header.first(fields, b"date")
    since = parse_date(date) if date else None
    apparent = max(0.0, response_time - since) if since is not None else 0.0
    corrected = _age(fields) + max(0.0, response_time - request_time)
    return response_time - max(apparent, corrected)


def _age(fields: Fields) -> float:
    """The first Age that there is; what is not a number counts as 0 (section 5.1)."""
    given = header.first(fields, b"age")
    if given is None:
        return 0.0
    text = given.partition(b",")[0].strip()
    if not text.isdigit():
        return 0.0
    return float(MOST_SECONDS) if len(text) > 10 else float(min(int(text), MOST_SECONDS))


def default_lifetime(kind: Kind, rules: SiteRules, facts: Facts | None) -> KindDefaults:
    """For an origin that is silent: by kind, and for lists by what their content says."""
    if kind in (Kind.PLAYLIST, Kind.MANIFEST) and (facts is None or facts.live):
        period = facts.period if facts is not None else None
        ttl = LIVE_UNKNOWN if period is None else min(max(period / 2, LIVE_LEAST), LIVE_MOST)
        target = period or 2 * ttl
        return KindDefaults(ttl, stale_while_revalidate=target, stale_if_error=3 * target)
    return rules.defaults[kind]
