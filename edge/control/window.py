"""A daily time window in a location's own time zone. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.errors import BadRequest

_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` to `end` by the wall clocks of `zone`; over midnight where the end is the earlier one."""

    begin: time
    end: time
    zone: str

    @classmethod
    def parse(cls, text: str, zone: str) -> Self:
        """`02:00-08:00`; BadRequest: not a window, or no such zone."""
        match = _WINDOW.fullmatch(text)
        if match is None or match[1] + match[2] == match[3] + match[4]:
            raise BadRequest(f"{text!r} is not a time window: write 02:00-08:00")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadRequest(f"there is no time zone {zone!r}: write Asia/Yekaterinburg") from error
        begin, end = (time(int(match[i]), int(match[i + 1])) for i in (1, 3))
        return cls(begin, end, zone)

    def opens_in(self, now: float) -> float:
        """Seconds until it is open, 0 while it is; `now` in unix seconds."""
        local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        clock = local.time().replace(tzinfo=None)
        over_midnight = self.end < self.begin
        if (clock >= self.begin or clock < self.end) if over_midnight else self.begin <= clock < self.end:
            return 0.0
        day = local.date() if clock < self.begin else local.date() + timedelta(days=1)
        return max(0.0, datetime.combine(day, self.begin, ZoneInfo(self.zone)).timestamp() - now)
