"""CORS for players (Fetch standard), on every answer, errors included.

The lists are spelled out: a wildcard fails with credentials, and some televisions do not know it. hls.js
reads Age.
"""

from functools import lru_cache
from typing import Final

from edge.policy.rules import SiteRules

EXPOSED: Final = (
    "Content-Length, Content-Range, Accept-Ranges, Age, Date, ETag, Server-Timing, Cache-Status, X-Cache, "
    "CMSD-Static, CMSD-Dynamic"
)
ALLOWED: Final = (
    "Range, If-Range, If-None-Match, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status, Authorization, traceparent"
)


def cors_lines(rules: SiteRules) -> bytes:
    """Header lines of an answer to a simple request; none where CORS is the origin's own affair."""
    return _lines(rules.cors_origin) if rules.cors_origin else b""


@lru_cache(maxsize=256)  # one for each origin that a site names
def _lines(origin: str) -> bytes:
    text = (
        f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: {EXPOSED}\r\n"
        "Timing-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\n"
    )
    return text.encode()


def preflight_lines(rules: SiteRules) -> bytes:
    """Header lines of the answer to a preflight."""
    text = (
        f"Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Headers: {ALLOWED}\r\n"
        f"Access-Control-Max-Age: {rules.preflight_max_age}\r\n"
    )
    return cors_lines(rules) + text.encode()
