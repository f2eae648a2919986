"""May an answer be kept, and may others have it (RFC 9111 section 3)? And which statuses are kept at all."""

from enum import StrEnum
from typing import Final

from edge.http import fields as header
from edge.http.cache_control import CacheControl
from edge.http.fields import Fields
from edge.policy.rules import SiteRules

NEGATIVE: Final = frozenset({404, 410})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
CONTENT: Final = frozenset({200, 206})
UNAVAILABLE: Final = 503
# All statuses whose caching rules are followed here; `must-understand` asks (section 5.2.2.3).
UNDERSTOOD: Final = CONTENT | NEGATIVE | REDIRECTS | {UNAVAILABLE}
PERSONAL: Final = frozenset({b"cookie", b"authorization"})


class Refusal(StrEnum):
    """Why an answer is not kept."""

    NONE = ""
    NO_STORE = "no_store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    SET_COOKIE = "set_cookie"
    VARIES = "varies"
    METHOD = "method"
    ENCODED = "encoded"
    STATUS = "status"

    @property
    def shareable(self) -> bool:
        """May those who wait for the same answer have it all the same? Only if it is nobody's own."""
        return self in (Refusal.NONE, Refusal.STATUS)


def refusal(
    status: int,
    fields: Fields,
    control: CacheControl,
    *,
    method: bytes,
    rules: SiteRules,
    has_authorization: bool = False,
) -> Refusal:
    """The first reason against keeping it, in the order: whose it is, then what it is."""
    if control.no_store and not (control.must_understand and status in UNDERSTOOD):
        return Refusal.NO_STORE
    if control.private or control.private_fields:
        return Refusal.PRIVATE
    if has_authorization and not _for_all(control):
        return Refusal.AUTHORIZATION
    if header.first(fields, b"set-cookie") is not None and not rules.keep_set_cookie:
        return Refusal.SET_COOKIE
    if _varies(fields, rules):
        return Refusal.VARIES
    if method != b"GET":
        return Refusal.METHOD
    if status == 206 and header.first(fields, b"content-encoding") is not None:
        return Refusal.ENCODED  # slices of an encoding cannot be put together with those of another
    return Refusal.NONE if status in UNDERSTOOD else Refusal.STATUS


def _for_all(control: CacheControl) -> bool:
    """What an answer to a request with credentials must say to be kept by a shared cache (section 3.5)."""
    return control.public or control.must_revalidate or control.s_maxage is not None


def _varies(fields: Fields, rules: SiteRules) -> bool:
    """Does the answer depend on something of the request that is not the same for all who ask?

    Fields that never reach the origin (all but the forwarded ones) cannot make a difference; credentials are
    taken seriously even so.
    """
    given = header.values(fields, b"vary")
    if not given:
        return False
    named = {member.lower() for member in header.list_members(given)}
    forwarded = {name.lower().encode() for name in rules.forward_fields}
    return b"*" in named or not named.isdisjoint(forwarded | PERSONAL)
