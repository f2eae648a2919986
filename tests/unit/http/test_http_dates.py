"""Dates in their three forms."""

import calendar
import email.utils
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.dates import format_date, parse_date

NOON = calendar.timegm((1994, 11, 6, 8, 49, 37))
IN_2026 = float(calendar.timegm((2026, 6, 1, 0, 0, 0)))
IN_1999 = float(calendar.timegm((1999, 6, 1, 0, 0, 0)))
LAST = 253402300799  # 9999-12-31 23:59:59


@given(st.integers(-62135596800, LAST))
def test_a_date_is_read_as_it_was_written(unix: int) -> None:
    assert parse_date(format_date(unix)) == unix


@given(st.integers(0, LAST))
def test_a_date_is_written_as_the_standard_library_writes_it(unix: int) -> None:
    assert format_date(unix).decode() == email.utils.formatdate(unix, usegmt=True)


def test_the_ends_of_days_months_leap_years_and_centuries_are_right() -> None:
    days = [(1, 1), (2, 28), (3, 1), (12, 31)]
    dates = [(year, *day) for year in range(1, 2405) for day in days]
    dates += [(year, 2, 29) for year in range(1600, 2405) if calendar.isleap(year)]
    hours = (0, 1, 11, 12, 22, 23)
    for number, (year, month, day) in enumerate(dates):
        hour = hours[number % len(hours)]
        for clock in ((hour, 0, 0), (hour, 59, 59)):
            unix = calendar.timegm((year, month, day, *clock))
            expected = datetime.fromtimestamp(0, UTC) + timedelta(seconds=unix)
            assert format_date(unix).decode() == email.utils.format_datetime(expected, usegmt=True)
            assert parse_date(format_date(unix)) == unix


@pytest.mark.parametrize(("unix", "second"), [(0.999, 0), (1.0, 1), (NOON + 0.5, NOON), (-0.5, -1)])
def test_a_date_is_that_of_the_second_it_lies_in(unix: float, second: int) -> None:
    assert format_date(unix) == format_date(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", NOON),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", NOON),
        (b"Sun Nov  6 08:49:37 1994", NOON),
        (b"Sun Nov 06 08:49:37 1994", NOON),
        (b"Wed Nov 16 08:49:37 1994", NOON + 10 * 86400),
        (b"Sun, 06 Nov 1994 08:49:37 gmt", NOON),
        (b"sUN, 06 nOV 1994 08:49:37 GMT", NOON),
        (b"SUNDAY, 06-NOV-94 08:49:37 GMT", NOON),
        (b"sun nov  6 08:49:37 1994", NOON),
        (b"Mon, 06 Nov 1994 08:49:37 GMT", NOON),  # the wrong day of the week
        (b"Thu, 29 Feb 1996 00:00:00 GMT", calendar.timegm((1996, 2, 29, 0, 0, 0))),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", calendar.timegm((2017, 1, 1, 0, 0, 0))),
    ],
)
def test_all_three_forms_are_read(text: bytes, expected: int) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"-1",
        b"784111777",
        b"1994-11-06T08:49:37Z",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 06 Xxx 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:00 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Wed, 29 Feb 1995 00:00:00 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Sun Nov 6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:3\u0667 GMT".encode(),
    ],
)
def test_nothing_else_is_a_date(text: bytes) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
)
def test_neither_a_part_of_a_date_nor_a_date_with_something_behind_it_is_one(text: bytes) -> None:
    for length in range(len(text)):
        assert parse_date(text[:length]) is None
    for more in (b" ", b"\n", b"0", b", "):
        assert parse_date(text + more) is None


@pytest.mark.parametrize(
    ("two_digits", "now", "year"),
    [
        (b"94", IN_2026, 1994),
        (b"26", IN_2026, 2026),
        (b"76", IN_2026, 2076),
        (b"77", IN_2026, 1977),
        (b"05", IN_1999, 2005),
        (b"49", IN_1999, 2049),
        (b"50", IN_1999, 1950),
        (b"69", None, 2069),
        (b"70", None, 1970),
    ],
)
def test_a_year_of_two_digits_is_never_more_than_fifty_years_ahead(
    two_digits: bytes, now: float | None, year: int
) -> None:
    expected = calendar.timegm((year, 11, 6, 8, 49, 37))
    assert parse_date(b"Sunday, 06-Nov-" + two_digits + b" 08:49:37 GMT", now) == expected
