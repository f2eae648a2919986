"""The verdict on an origin's answer: may it be kept, may others have it, how long is it good.

`judge` puts together what `storability` (RFC 9111 section 3) and `freshness` (section 4.2) say.
"""

from dataclasses import dataclass
from typing import Final

from edge.http.cache_control import CacheControl
from edge.http.fields import Fields
from edge.policy.facts import Facts
from edge.policy.freshness import base_time, default_lifetime, directives, explicit_lifetime, windows
from edge.policy.rules import KindDefaults, SiteRules
from edge.policy.storability import CONTENT, NEGATIVE, UNAVAILABLE, Refusal, refusal
from edge.words import Kind

UNAVAILABLE_MOST: Final = 5.0  # seconds: a 503 that says how long it holds is believed for so long
LIVE_KINDS: Final = frozenset({Kind.PLAYLIST, Kind.MANIFEST, Kind.PART})
NOTHING: Final = KindDefaults(0.0)


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status and fields."""

    status: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Verdict:
    """`shareable`: others that wait for the same name may have it. Times in unix seconds, windows in seconds.

    `base_time` = when the answer's Age was 0. `no_cache`: kept, but asked about before each use; never fresh.
    """

    store: bool
    shareable: bool
    base_time: float
    fresh_until: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    must_revalidate: bool = False
    no_cache: bool = False
    immutable: bool = False
    reason: Refusal = Refusal.NONE


def judge(
    head: Head,
    *,
    method: bytes,
    kind: Kind,
    rules: SiteRules,
    request_time: float,
    response_time: float,
    facts: Facts | None = None,
    has_authorization: bool = False,
) -> Verdict:
    """Judge one answer. Times in unix seconds: when it was asked for, when its head came.

    `facts` = what a playlist's body told, None before it is whole; `has_authorization` = the origin got
    credentials.
    """
    control, explicit = _said(head.fields, rules, response_time)
    since = base_time(head.fields, request_time, response_time)
    reason = refusal(head.status, head.fields, control, method=method, rules=rules, has_authorization=has_authorization)
    defaults = _defaults(head.status, kind, rules, facts)
    if reason is Refusal.NONE and defaults is NOTHING and explicit is None:
        reason = Refusal.STATUS  # redirects and 503 are kept only when they ask for it
    if reason is not Refusal.NONE:
        return Verdict(False, reason.shareable, since, since, reason=reason)
    no_cache = control.no_cache or bool(control.no_cache_fields)  # section 5.2.2.4 lets us take both as one
    behind, on_error = (0.0, 0.0) if no_cache else windows(control, defaults, explicit)
    return Verdict(
        store=True,
        shareable=True,
        base_time=since,
        fresh_until=since if no_cache else since + _lifetime(head.status, defaults, explicit),
        stale_while_revalidate=behind,
        stale_if_error=on_error,
        must_revalidate=control.must_revalidate or control.proxy_revalidate,
        no_cache=no_cache,
        immutable=control.immutable,
    )


def _said(fields: Fields, rules: SiteRules, response_time: float) -> tuple[CacheControl, float | None]:
    """The origin's directives and explicit lifetime, as far as the site honours them."""
    if not rules.honour_cache_control:
        return CacheControl(), None
    control, targeted = directives(fields)
    return control, explicit_lifetime(fields, control, response_time, targeted=targeted)


def _defaults(status: int, kind: Kind, rules: SiteRules, facts: Facts | None) -> KindDefaults:
    """What holds where the origin is silent; NOTHING = then it is not kept."""
    if status in CONTENT:
        return default_lifetime(kind, rules, facts)
    if status in NEGATIVE:
        return KindDefaults(rules.negative_ttl_live if kind in LIVE_KINDS else rules.negative_ttl)
    return NOTHING


def _lifetime(status: int, defaults: KindDefaults, explicit: float | None) -> float:
    """Seconds from Age 0. What is missing or broken is never kept for longer than we would of ourselves."""
    if explicit is None:
        return defaults.ttl
    if status in NEGATIVE:
        return min(explicit, defaults.ttl)
    return min(explicit, UNAVAILABLE_MOST) if status == UNAVAILABLE else explicit
