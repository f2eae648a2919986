"""A site's rules, as values with the defaults of the field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.words import DAYS, HOURS, MINUTES, Kind


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


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What holds for one tenant; times in seconds."""

    name: str = "default"
    hosts: tuple[str, ...] = ()
    defaults: Mapping[Kind, KindDefaults] = field(default_factory=lambda: DEFAULTS)
    live: LiveDefaults = LiveDefaults()
    negative_ttl: float = 10.0
    negative_ttl_live: float = 1.0  # a segment that is not there yet will be in a moment
    drop_params: tuple[str, ...] = ("CMCD",)
    token_params: tuple[str, ...] = ("token", "expires", "md5", "hdnts", "hdnea")
    forward_fields: tuple[str, ...] = ()  # request fields that reach the origin
    honour_cache_control: bool = True  # False: freshness and privacy go by these rules alone
    keep_set_cookie: bool = False  # True: its cookies are the same for everybody, kept and replayed
    cors_origin: str = "*"
    preflight_max_age: int = 86400
