"""The verdict on an origin's answer: may it be kept, may others have it, how long is it good.

`judge` puts together what `storability` (RFC 9111 section 3) and `freshness` (section 4.2) say.
"""

from dataclasses import dataclass, replace
from typing import Final

from edge.http import fields as header
from edge.http.cache_control import CacheControl
from edge.http.fields import Fields
from edge.policy.facts import Facts
from edge.policy.freshness import (
    base_time,
    default_lifetime,
    directives,
    explicit_lifetime,
    heuristic_lifetime,
    strict,
    windows,
)
from edge.policy.rules import KindDefaults, SiteRules
from edge.policy.storability import CONTENT, GUESSED, NEGATIVE, UNAVAILABLE, Refusal, refusal
from edge.policy.variants import varies_by
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
    `vary` = request fields by which it was chosen; `withheld` = fields that only who asked may have.
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
    vary: tuple[bytes, ...] = ()
    withheld: tuple[bytes, ...] = ()
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
    live: bool = False,
) -> Verdict:
    """Judge one answer. Times in unix seconds: when it was asked for, when its head came.

    `facts` = what a playlist's body told, None before it is whole; `has_authorization` = the origin got
    credentials; `live` = it lies beside or below a live playlist.
    """
    control, explicit = _said(head.fields, rules, response_time)
    since = base_time(head.fields, request_time, response_time)
    reason = refusal(head.status, head.fields, control, method=method, rules=rules, has_authorization=has_authorization)
    defaults = _defaults(head, kind, rules, facts, control, response_time, live=live or kind in LIVE_KINDS)
    if reason is Refusal.NONE and defaults is NOTHING and explicit is None:
        reason = Refusal.STATUS  # these are kept only when they ask for it
    no_cache = control.no_cache
    behind, on_error = (0.0, 0.0) if no_cache else windows(control, defaults, explicit)
    lifetime = 0.0 if no_cache else _lifetime(head.status, defaults, explicit, rules)
    if reason is Refusal.NONE and rules.every_status and not (lifetime or behind or on_error or _checkable(head)):
        reason = Refusal.LIFELESS
    if reason is not Refusal.NONE:
        return Verdict(False, reason.shareable, since, since, reason=reason)
    return Verdict(
        store=True,
        shareable=True,
        base_time=since,
        fresh_until=since + lifetime,
        stale_while_revalidate=behind,
        stale_if_error=on_error,
        must_revalidate=strict(control),
        no_cache=no_cache,
        immutable=control.immutable,
        vary=varies_by(head.fields, rules),
        withheld=(*control.no_cache_fields, *control.private_fields),
    )


def _checkable(head: Head) -> bool:
    """Has it a validator, so that the origin may say that it is still good?"""
    return any(header.first(head.fields, name) for name in (b"etag", b"last-modified"))


def _said(fields: Fields, rules: SiteRules, response_time: float) -> tuple[CacheControl, float | None]:
    """The origin's directives and explicit lifetime, as far as the site honours them."""
    if not rules.honour_cache_control:
        return CacheControl(), None
    control, targeted = directives(fields)
    return control, explicit_lifetime(fields, control, response_time, targeted=targeted)


def _defaults(
    head: Head,
    kind: Kind,
    rules: SiteRules,
    facts: Facts | None,
    control: CacheControl,
    response_time: float,
    *,
    live: bool,
) -> KindDefaults:
    """What holds where the origin is silent; NOTHING = then it is not kept."""
    if rules.every_status:
        if head.status not in GUESSED and not control.public:
            return NOTHING
        guessed = heuristic_lifetime(head.fields, rules, response_time)
        return replace(default_lifetime(kind, rules, facts), ttl=guessed)
    if head.status in CONTENT:
        return default_lifetime(kind, rules, facts)
    if head.status in NEGATIVE:
        return KindDefaults(rules.negative_ttl_live if live else rules.negative_ttl)
    return NOTHING


def _lifetime(status: int, defaults: KindDefaults, explicit: float | None, rules: SiteRules) -> float:
    """Seconds from Age 0. What is missing or broken is never kept for longer than we would of ourselves."""
    if explicit is None:
        return defaults.ttl
    if rules.every_status:
        return explicit
    if status in NEGATIVE:
        return min(explicit, defaults.ttl)
    return min(explicit, UNAVAILABLE_MOST) if status == UNAVAILABLE else explicit
