"""HTTP dates (RFC 9110 section 5.6.7)."""

import calendar
import re
from functools import lru_cache
from typing import Final

_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)
}
_NAMES: Final = {number: name for name, number in _MONTHS.items()}
_TIME: Final = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_IMF: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([a-z]{3}) ([0-9]{4}) " + _TIME + rb" GMT", re.IGNORECASE
)
_RFC850: Final = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{2})-([a-z]{3})-([0-9]{2}) " + _TIME + rb" GMT", re.IGNORECASE
)
_ASCTIME: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([a-z]{3}) ([ 0-9][0-9]) " + _TIME + rb" ([0-9]{4})", re.IGNORECASE
)
IMF_LENGTH: Final = 29  # bytes, which the other forms never have
_YEAR_OF_SECONDS: Final = 31_556_952  # the mean of the Gregorian calendar
_FIXED_PIVOT: Final = 70  # without a clock: 70-99 are years of the 20th century, as in POSIX


def parse_date(value: bytes, now: float | None = None) -> int | None:
    """Unix seconds of a date in one of the three forms, None for anything else.

    `now` (unix) settles the century of a two-digit year: one that seems more than 50 years ahead is past.
    The day of the week has to be one, but not the right one: so do all recipients. Letters count in either case:
    caches are asked to be so generous (RFC 9111 section 4.2), and one grammar serves all uses.
    """
    if len(value) == IMF_LENGTH:
        return _fixed(value)
    if match := _RFC850.fullmatch(value):
        day, month, year, hour, minute, second = match.groups()
        return _unix(_full_year(int(year), now), month, day, hour, minute, second)
    if match := _ASCTIME.fullmatch(value):
        month, day, hour, minute, second, year = match.groups()
        return _unix(int(year), month, day, hour, minute, second)
    return None


@lru_cache(maxsize=512)  # all answers of a second have the same Date
def _fixed(value: bytes) -> int | None:
    match = _IMF.fullmatch(value)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    return _unix(int(year), month, day, hour, minute, second)


def _full_year(two_digits: int, now: float | None) -> int:
    if now is None:
        return two_digits + (1900 if two_digits >= _FIXED_PIVOT else 2000)
    this_year = 1970 + int(now // _YEAR_OF_SECONDS)
    year = this_year - this_year % 100 + two_digits
    if year > this_year + 50:
        return year - 100
    return year + 100 if year <= this_year - 50 else year


def _unix(year: int, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes) -> int | None:
    number = _MONTHS.get(month.capitalize())
    if number is None or year < 1 or not 1 <= int(day) <= calendar.monthrange(year, number)[1]:
        return None
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:  # 60: a leap second
        return None
    return calendar.timegm((year, number, int(day), int(hour), int(minute), int(second)))


def format_date(unix: float) -> bytes:
    """The preferred form (IMF-fixdate), of the second that `unix` lies in."""
    return _format(int(unix // 1))


@lru_cache(maxsize=16)  # every answer of a second says the same date
def _format(unix: int) -> bytes:
    days, rest = divmod(unix, 86400)
    year, month, day = _civil(days)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[(days + 3) % 7],
        day,
        _NAMES[month],
        year,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    )


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian calendar).

    Years begin in March, so that the leap day is the last of its year; eras are the 400 years that repeat.
    """
    days += 719468
    era, of_era = divmod(days, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
