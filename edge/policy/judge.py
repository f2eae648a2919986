"""The verdict on an origin's answer: may it be kept, may others have it, how long is it good (RFC 9111 section 3)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.http import fields as header
from edge.http.cache_control import CacheControl
from edge.http.fields import Fields
from edge.media.playlists import Facts
from edge.policy.freshness import base_time, default_lifetime, directives, explicit_lifetime
from edge.policy.rules import KindDefaults, SiteRules
from edge.words import Kind

NEGATIVE: Final = frozenset({404, 410})
NEVER: Final = frozenset({400, 401, 403, 405, 408, 413, 414, 416, 421, 431})  # a client can provoke them
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
UNAVAILABLE_MOST: Final = 5.0  # an explicit 503 is kept at most so long
PERSONAL: Final = frozenset({b"cookie", b"authorization"})
LIVE_KINDS: Final = frozenset({Kind.PLAYLIST, Kind.MANIFEST, Kind.PART})


class Refusal(StrEnum):
    """Why an answer is not kept."""

    NONE = ""
    NO_STORE = "no_store"
    PRIVATE = "private"
    SET_COOKIE = "set_cookie"
    VARIES = "varies"
    STATUS = "status"
    METHOD = "method"
    ENCODED = "encoded"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Head:
    """An answer's status and fields."""

    status: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Verdict:
    """`shareable`: others that wait for the same name may have it. Times in unix seconds, windows in seconds."""

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
) -> Verdict:
    """Judge one answer. `facts` = what a playlist's body told, None before it is whole."""
    control = directives(head.fields)
    since = base_time(head.fields, request_time, response_time)
    reason, shareable = _refusal(head, control, method, rules)
    if reason is not Refusal.NONE:
        return Verdict(False, shareable, since, since, reason=reason)
    explicit = explicit_lifetime(head.fields, control, response_time)
    windows = _lifetime(head.status, kind, rules, facts, explicit)
    if windows is None:
        return Verdict(False, True, since, since, reason=Refusal.STATUS)
    lifetime = windows.ttl if explicit is None else explicit
    if head.status == 503:
        lifetime = min(lifetime, UNAVAILABLE_MOST)
    revalidate, on_error = windows.stale_while_revalidate, windows.stale_if_error
    if control.stale_while_revalidate is not None:
        revalidate = float(control.stale_while_revalidate)
    if control.stale_if_error is not None:
        on_error = float(control.stale_if_error)
    strict = control.must_revalidate or control.proxy_revalidate or control.s_maxage is not None
    return Verdict(
        store=True,
        shareable=True,
        base_time=since,
        fresh_until=since + lifetime,
        stale_while_revalidate=revalidate,
        stale_if_error=on_error,
        must_revalidate=strict
        and explicit is not None
        and (control.must_revalidate or control.proxy_revalidate),
        no_cache=control.no_cache,
        immutable=control.immutable,
    )


def _refusal(head: Head, control: CacheControl, method: bytes, rules: SiteRules) -> tuple[Refusal, bool]:
    """(why it may not be kept, may the others who wait have it all the same)."""
    if control.no_store:
        return Refusal.NO_STORE, False
    if control.private or control.private_fields:
        return Refusal.PRIVATE, False
    if header.values(head.fields, b"set-cookie"):
        return Refusal.SET_COOKIE, False
    if _varies(head.fields, rules):
        return Refusal.VARIES, False
    if method != b"GET":
        return Refusal.METHOD, False
    if header.values(head.fields, b"content-encoding") and head.status == 206:
        return Refusal.ENCODED, False
    return Refusal.NONE, True


def _varies(fields: Fields, rules: SiteRules) -> bool:
    """Does the answer depend on something of the request that is not the same for all who ask?

    Fields that never reach the origin (all but the forwarded ones) cannot make a difference; credentials are
    taken seriously even so.
    """
    named = {member.lower() for member in header.list_members(header.values(fields, b"vary"))}
    forwarded = {name.lower().encode() for name in rules.forward_fields}
    return b"*" in named or bool(named & (forwarded | PERSONAL))


def _lifetime(
    status: int, kind: Kind, rules: SiteRules, facts: Facts | None, explicit: float | None
) -> KindDefaults | None:
    """Default windows of a status, None when it is not kept (in the profile for video)."""
    if status == 200:
        return default_lifetime(kind, rules, facts)
    if status in NEGATIVE:
        return KindDefaults(rules.negative_ttl_live if kind in LIVE_KINDS else rules.negative_ttl)
    if status in NEVER or explicit is None:
        return None
    if status in REDIRECTS or status == 503:
        return KindDefaults(0.0)
    return None
