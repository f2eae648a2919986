"""A site's rules, as values with the defaults of the field."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.words import DAYS, HOURS, MINUTES, ORIGIN, Kind


@dataclass(frozen=True, slots=True)
class KindDefaults:
    """For answers that say nothing of their freshness; seconds."""

    ttl: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0


@dataclass(frozen=True, slots=True)
class LiveDefaults:
    """For live lists: fresh for half the period that they name, clamped; seconds.

    Served stale while they are renewed for at most one period, instead of an error for at most three: a
    player that gets an older list than that has run out of segments.
    """

    least: float = 1.0
    most: float = 6.0
    unknown: float = 2.0  # half the period of a list that names none
    low_latency: float = 1.0
    error_periods: float = 3.0


MEDIA: Final = KindDefaults(14 * DAYS, stale_if_error=1 * DAYS)
DEFAULTS: Final[Mapping[Kind, KindDefaults]] = {
    Kind.PLAYLIST: KindDefaults(5 * MINUTES, stale_if_error=1 * HOURS),  # on demand; live ones: LiveDefaults
    Kind.MANIFEST: KindDefaults(5 * MINUTES, stale_if_error=1 * HOURS),
    Kind.INIT: MEDIA,
    Kind.SEGMENT: MEDIA,
    Kind.PART: MEDIA,
    Kind.SUBTITLE: MEDIA,
    Kind.MP4: KindDefaults(1 * HOURS, stale_if_error=1 * DAYS),
    Kind.KEY: KindDefaults(5 * MINUTES, stale_if_error=1 * HOURS),
    Kind.OTHER: KindDefaults(1 * HOURS, stale_if_error=1 * HOURS),
}


READS: Final = ("GET", "HEAD", "OPTIONS")
ALL: Final = "*"  # in `forward_fields` and `methods`: every one that may be


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What holds for one tenant, or for a part of its paths; times in seconds. The defaults are profile `video`."""

    name: str = "default"
    profile: str = "video"
    hosts: tuple[str, ...] = ()
    paths: "tuple[PathRules, ...]" = ()  # what holds instead for some paths; the first that matches
    upstream: str = ORIGIN  # where misses are fetched
    defaults: Mapping[Kind, KindDefaults] = field(default_factory=lambda: DEFAULTS)
    live: LiveDefaults = LiveDefaults()
    negative_ttl: float = 10.0
    negative_ttl_live: float = 1.0  # a segment that is not there yet will be in a moment
    lists_by_content: bool = True  # what a playlist or manifest says of itself decides where an origin is silent
    heuristic_share: float = 0.0  # of the time since Last-Modified, instead of the defaults (RFC 9111 section 4.2.2)
    heuristic_most: float = 7 * DAYS
    every_status: bool = False  # kept whenever the RFC allows it; else those that a video site has use for
    stale_if_unreachable: float = 0.0  # served though stale when no connection or answer is to be had (section 4.2.4)
    drop_params: tuple[str, ...] = ("CMCD", "utm_*")
    token_params: tuple[str, ...] = ("token", "expires", "md5", "hdnts", "hdnea")
    keep_params: tuple[str, ...] = ()  # if any: only these are in the key
    sort_params: bool = False
    forward_params: tuple[str, ...] = ()  # not in the key and yet told to the origin
    forward_fields: tuple[str, ...] = ()  # request fields that reach the origin; "*" = every end-to-end one
    methods: tuple[str, ...] = READS  # "*" = every one; those that are not safe are passed and invalidate
    honour_client_cache_control: bool = False  # requests may ask for fresher answers than a cache would give them
    exact_ranges: bool = False  # a range is asked for as it was asked, not rounded to slices
    retry: bool = True  # a failed request is tried again
    variants_most: int = 32  # of one object, chosen by Vary
    honour_cache_control: bool = True  # False: freshness and privacy go by these rules alone
    keep_set_cookie: bool = False  # True: its cookies are the same for everybody, kept and replayed
    cors_origin: str = "*"  # "" = CORS is the origin's own affair
    preflight_max_age: int = 86400
    mime_by_path: bool = True  # a media type for what an origin sends without one
    hide_tags: bool = True  # Surrogate-Key and Cache-Tag are not told to clients
    cache_status_key: bool = False  # tell the key in Cache-Status
    server_timing: float = 0.0  # share of the answers that have Server-Timing
    prefetch: int = 2  # segments that are fetched ahead of a player, over a far path; 0 = none

    def at(self, path: bytes) -> "SiteRules":
        """The rules for a path: those of the first pattern that matches it, else the site's own."""
        for entry in self.paths:
            if entry.pattern.fullmatch(path):
                return entry.rules
        return self

    @property
    def forwards_all(self) -> bool:
        return ALL in self.forward_fields

    def allows(self, method: bytes) -> bool:
        """May clients use this method? CONNECT and TRACE never: a gateway has no use for them."""
        if method in NEVER:
            return False
        return ALL in self.methods or method.decode("latin-1") in self.methods


NEVER: Final = frozenset({b"CONNECT", b"TRACE"})


@dataclass(frozen=True, slots=True)
class PathRules:
    """Rules for the paths that a pattern matches; `written` is the pattern as the operator wrote it."""

    written: str
    pattern: re.Pattern[bytes]
    rules: SiteRules


def path_pattern(written: str) -> re.Pattern[bytes]:
    """`*` stands for anything within a segment, `**` for anything at all; the rest is taken byte for byte."""
    parts = re.split(r"(\*\*|\*)", written)
    wild = {"**": b"(?s:.*)", "*": b"[^/]*"}
    return re.compile(b"".join(wild.get(part) or re.escape(part.encode()) for part in parts))


RFC9111: Final = SiteRules(
    profile="rfc9111",
    defaults=dict.fromkeys(Kind, KindDefaults(0.0)),
    lists_by_content=False,
    heuristic_share=0.1,
    every_status=True,
    stale_if_unreachable=1 * DAYS,
    drop_params=(),
    token_params=(),
    forward_fields=(ALL,),
    methods=(ALL,),
    honour_client_cache_control=True,
    exact_ranges=True,
    retry=False,
    keep_set_cookie=True,
    cors_origin="",
    mime_by_path=False,
    hide_tags=False,
    prefetch=0,
)
PROFILES: Final[Mapping[str, SiteRules]] = {"video": SiteRules(), "rfc9111": RFC9111}
