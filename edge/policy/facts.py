"""What a playlist or a manifest tells of itself; `media` reads it, `freshness` goes by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """`period` = seconds after which a live list has changed, if it says so; `master` = it lists renditions.

    `low_latency` = its clients ask for it several times in a period.
    """

    live: bool
    period: float | None = None
    master: bool = False
    low_latency: bool = False
