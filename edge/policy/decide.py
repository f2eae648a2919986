"""What to do with what is kept: RFC 9111 section 4, RFC 5861."""

from enum import StrEnum


class Decision(StrEnum):
    SERVE_FRESH = "serve_fresh"
    SERVE_STALE_AND_REFRESH = "serve_stale_and_refresh"
    REVALIDATE = "revalidate"
    CHOOSE = "choose"  # what is kept is no answer: it says how one of several is chosen


def decide(
    fresh_until: float, stale_while_revalidate: float, must_revalidate: bool, no_cache: bool, now: float
) -> Decision:
    """Serve, serve and renew behind it, or renew first."""
    if no_cache:
        return Decision.REVALIDATE
    if now < fresh_until:
        return Decision.SERVE_FRESH
    if now < fresh_until + stale_while_revalidate and not must_revalidate:
        return Decision.SERVE_STALE_AND_REFRESH
    return Decision.REVALIDATE


def may_serve_on_error(fresh_until: float, stale_if_error: float, must_revalidate: bool, now: float) -> bool:
    """RFC 5861 section 4: a stale answer instead of a 500, 502, 503, 504 or a failed connection."""
    return not must_revalidate and now < fresh_until + stale_if_error
