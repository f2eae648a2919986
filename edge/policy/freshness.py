"""How long an answer is fresh and how old it is (RFC 9111 section 4.2), defaults included."""

import math
from typing import Final

from edge.http import fields as header
from edge.http.cache_control import MOST_SECONDS, CacheControl, parse_cache_control, parse_targeted
from edge.http.dates import parse_date
from edge.http.fields import Fields
from edge.policy.facts import Facts
from edge.policy.rules import KindDefaults, SiteRules
from edge.words import Kind

LISTS: Final = frozenset({Kind.PLAYLIST, Kind.MANIFEST})


def directives(fields: Fields) -> tuple[CacheControl, bool]:
    """What the origin orders, and whether it did so in CDN-Cache-Control.

    That field, where it is valid and not empty, silences Cache-Control and Expires (RFC 9213 section 2.2).
    """
    if targeted := header.values(fields, b"cdn-cache-control"):
        control = parse_targeted(targeted)
        if control is not None:
            return control, True
    return parse_cache_control(header.values(fields, b"cache-control")), False


def explicit_lifetime(fields: Fields, control: CacheControl, response_time: float, *, targeted: bool) -> float | None:
    """Section 4.2.1: s-maxage, max-age, Expires less Date, in this order; None when the origin is silent."""
    if control.s_maxage is not None:
        return float(control.s_maxage)
    if control.max_age is not None:
        return float(control.max_age)
    expires = [] if targeted else header.values(fields, b"expires")
    if not expires:
        return None
    until = parse_date(expires[0], response_time)
    if until is None or len(expires) > 1:
        return 0.0  # no date, or several that contradict each other: stale (sections 5.3 and 4.2.1)
    since = _date(fields, response_time)
    return max(0.0, until - (response_time if since is None else since))


def base_time(fields: Fields, request_time: float, response_time: float) -> float:
    """When the answer's age was 0: response time less the corrected initial age (section 4.2.3).

    Date counts whole seconds, so it is compared with whole seconds: the rest would age a live playlist by
    half a second on average, of the one or two that it is good for.
    """
    since = _date(fields, response_time)
    apparent = 0.0 if since is None else float(max(0, math.floor(response_time) - since))
    corrected = _age(fields) + max(0.0, response_time - request_time)
    return response_time - max(apparent, corrected)


def _date(fields: Fields, now: float) -> int | None:
    date = header.first(fields, b"date")
    return None if date is None else parse_date(date, now)


def _age(fields: Fields) -> float:
    """The first Age that there is; what is not a number counts as 0 (section 5.1)."""
    given = header.first(fields, b"age")
    if given is None:
        return 0.0
    text = given.partition(b",")[0].strip(b" \t")
    if not text.isdigit():
        return 0.0
    digits = text.lstrip(b"0")
    return float(MOST_SECONDS) if len(digits) > 10 else float(min(int(digits or b"0"), MOST_SECONDS))


def heuristic_lifetime(fields: Fields, rules: SiteRules, response_time: float) -> float:
    """A share of the time since the last change (section 4.2.2), 0 when the origin does not tell of one."""
    given = header.values(fields, b"last-modified")
    modified = parse_date(given[0], response_time) if len(given) == 1 else None
    if modified is None:
        return 0.0
    since = _date(fields, response_time)
    unchanged = (response_time if since is None else since) - modified
    return min(max(0.0, unchanged * rules.heuristic_share), rules.heuristic_most)


def default_lifetime(kind: Kind, rules: SiteRules, facts: Facts | None) -> KindDefaults:
    """For an origin that is silent: by kind, and for lists by what their content says (None: unknown yet)."""
    if kind not in LISTS or not rules.lists_by_content or (facts is not None and not facts.live):
        return rules.defaults[kind]
    live = rules.live
    named = facts.period if facts is not None else None
    # A manifest may name 0, "whenever you like".
    period = 2 * live.unknown if named is None else max(named, 2 * live.least)
    ttl = min(period / 2, live.most)
    if facts is not None and facts.low_latency:
        ttl = min(ttl, live.low_latency)
    return KindDefaults(ttl, stale_while_revalidate=period, stale_if_error=live.error_periods * period)


def strict(control: CacheControl) -> bool:
    """Does the origin forbid to serve it stale (section 4.2.4)? `s-maxage` says so too (section 5.2.2.10)."""
    return control.must_revalidate or control.proxy_revalidate or control.s_maxage is not None


def windows(control: CacheControl, defaults: KindDefaults, explicit: float | None) -> tuple[float, float]:
    """(stale-while-revalidate, stale-if-error) in seconds: the origin's (RFC 5861), else the site's.

    None against the origin's word that it is not to be served stale; and who gives an answer no life at all wants
    each request checked.
    """
    if strict(control):
        return 0.0, 0.0
    behind, on_error = defaults.stale_while_revalidate, defaults.stale_if_error
    if explicit == 0:
        behind = 0.0
    if control.stale_while_revalidate is not None:
        behind = float(control.stale_while_revalidate)
    if control.stale_if_error is not None:
        on_error = float(control.stale_if_error)
    return behind, on_error
