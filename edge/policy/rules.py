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


LIVE_LEAST, LIVE_MOST, LIVE_UNKNOWN = 1.0, 6.0, 2.0  # a live list: half its target duration, clamped
MEDIA: Final = KindDefaults(14 * DAYS, stale_if_error=1 * DAYS)
DEFAULTS: Final[Mapping[Kind, KindDefaults]] = {
    Kind.PLAYLIST: KindDefaults(300.0, stale_if_error=1 * HOURS),  # VOD; live ones by their content
    Kind.MANIFEST: KindDefaults(300.0, stale_if_error=1 * HOURS),
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
    """What holds for one tenant."""

    name: str = "default"
    hosts: tuple[str, ...] = ()
    defaults: Mapping[Kind, KindDefaults] = field(default_factory=lambda: DEFAULTS)
    negative_ttl: float = 10.0
    negative_ttl_live: float = 1.0  # a segment that is not there yet will be in a moment
    drop_params: tuple[str, ...] = ("CMCD",)
    token_params: tuple[str, ...] = ("token", "expires", "md5", "hdnts", "hdnea")
    forward_fields: tuple[str, ...] = ()  # request fields that reach the origin
    cors_origin: str = "*"
    preflight_max_age: int = 86400
