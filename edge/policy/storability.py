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
# What a video site has use for.
KEPT: Final = CONTENT | NEGATIVE | REDIRECTS | {UNAVAILABLE}
# Those that may be fresh by a guess (RFC 9110 section 15.1).
GUESSED: Final = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
# Statuses whose meaning for a cache is known here, which `must-understand` asks for (section 5.2.2.3): all of
# RFC 9110 that end a request, and 451.
UNDERSTOOD: Final = (
    frozenset({*range(200, 207), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, 451})
    | frozenset(range(500, 506))
)  # fmt: skip
OF_ONE_REQUEST: Final = frozenset({304, 412, 416})
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
    LIFELESS = "lifeless"  # neither fresh for a moment nor to be validated: of no use to anybody

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
    understood = status in (UNDERSTOOD if rules.every_status else KEPT)
    if control.no_store and not (control.must_understand and understood):
        return Refusal.NO_STORE
    if control.private:
        return Refusal.PRIVATE
    if has_authorization and not _for_all(control):
        return Refusal.AUTHORIZATION
    if header.first(fields, b"set-cookie") is not None and not rules.keep_set_cookie and not _withheld(control):
        return Refusal.SET_COOKIE
    if _varies(fields, rules):
        return Refusal.VARIES
    if method != b"GET":
        return Refusal.METHOD
    if status == 206 and header.first(fields, b"content-encoding") is not None:
        return Refusal.ENCODED  # slices of an encoding cannot be put together with those of another
    if control.must_understand and not understood:
        return Refusal.STATUS
    return Refusal.NONE if _may_be_kept(status, rules) else Refusal.STATUS


def _may_be_kept(status: int, rules: SiteRules) -> bool:
    """304, 412 and 416 are about what one request said, interim answers about none; the rest is final (section 3)."""
    return status in KEPT or (rules.every_status and status >= 200 and status not in OF_ONE_REQUEST)


def _for_all(control: CacheControl) -> bool:
    """What an answer to a request with credentials must say to be kept by a shared cache (section 3.5)."""
    return control.public or control.must_revalidate or control.s_maxage is not None


def _withheld(control: CacheControl) -> bool:
    """Is Set-Cookie left out of what is kept, by the origin's own word (sections 5.2.2.4 and 5.2.2.7)?"""
    return b"set-cookie" in control.private_fields or b"set-cookie" in control.no_cache_fields


def _varies(fields: Fields, rules: SiteRules) -> bool:
    """Does the answer depend on something by which no stored answer can be chosen?

    `*` is never matched (section 4.1). Credentials are taken seriously though the origin should not have got any.
    """
    named = {member.lower() for member in header.list_members(header.values(fields, b"vary"))}
    return b"*" in named or not (rules.forwards_all or named.isdisjoint(PERSONAL))
