"""HTTP dates (RFC 9110 section 5.6.7)."""

import calendar
import re
from functools import lru_cache
from typing import Final

_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
_TIME: Final = rb"(\d{2}):(\d{2}):(\d{2})"
_IMF: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2}) ([A-Z][a-z]{2}) (\d{4}) " + _TIME + rb" GMT"
)
_RFC850: Final = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d{2})-([A-Z][a-z]{2})-(\d{2}) " + _TIME + rb" GMT"
)
_ASCTIME: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([A-Z][a-z]{2}) ((?: |\d)\d) " + _TIME + rb" (\d{4})"
)


def parse_date(value: bytes) -> int | None:
    """Unix seconds of a date in one of the three forms, None for anything else."""
    if match := _IMF.fullmatch(value):
        day, month, year, hour, minute, second = match.groups()
        return _unix(int(year), month, int(day), int(hour), int(minute), int(second))
    if match := _RFC850.fullmatch(value):
        day, month, year, hour, minute, second = match.groups()
        # A two-digit year more than 50 years ahead is of the past century; without a clock: 70-99 are 19xx.
        century = 1900 if int(year) >= 70 else 2000
        return _unix(century + int(year), month, int(day), int(hour), int(minute), int(second))
    if match := _ASCTIME.fullmatch(value):
        month, day, hour, minute, second, year = match.groups()
        return _unix(int(year), month, int(day), int(hour), int(minute), int(second))
    return None


def _unix(year: int, month: bytes, day: int, hour: int, minute: int, second: int) -> int | None:
    if month not in _MONTHS:
        return None
    number = _MONTHS.index(month) + 1
    if not (
        1 <= day <= calendar.monthrange(max(year, 1), number)[1] and hour < 24 and minute < 60 and second < 61
    ):
        return None
    return calendar.timegm((year, number, day, hour, minute, second))


def format_date(unix: float) -> bytes:
    """The preferred form."""
    return _format(int(unix))


@lru_cache(maxsize=16)
def _format(unix: int) -> bytes:
    days, rest = divmod(unix, 86400)
    year, month, day = _civil(days)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[(days + 3) % 7],
        day,
        _MONTHS[month - 1],
        year,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    )


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian calendar)."""
    days += 719468
    era, of_era = divmod(days, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
