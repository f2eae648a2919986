"""How long an answer is fresh, how old it is, and how long it may be served stale."""

import pytest

from edge.http.cache_control import MOST_SECONDS, CacheControl
from edge.http.dates import format_date
from edge.policy.freshness import base_time, directives, explicit_lifetime, windows
from edge.policy.rules import KindDefaults

NOW = 1_700_000_000.0
CC, CDN, DATE, EXPIRES, AGE = b"Cache-Control", b"CDN-Cache-Control", b"Date", b"Expires", b"Age"
Lines = list[tuple[bytes, bytes]]


def lifetime(lines: Lines) -> float | None:
    control, targeted = directives(lines)
    return explicit_lifetime(lines, control, NOW, targeted=targeted)


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([(CC, b"max-age=60")], 60),
        ([(CC, b"max-age=60, s-maxage=10")], 10),
        ([(CC, b"s-maxage=0, max-age=60")], 0),
        ([(CC, b"max-age=60"), (EXPIRES, format_date(NOW + 5))], 60),
        ([(CC, b"max-age=60"), (EXPIRES, b"0")], 60),
        ([(CC, b"max-age=junk"), (EXPIRES, format_date(NOW + 5))], 0),
        ([(CC, b"max-age=60"), (CC, b"max-age=10")], 60),
        ([(EXPIRES, format_date(NOW + 30))], 30),
        ([(DATE, format_date(NOW)), (EXPIRES, format_date(NOW + 30))], 30),
        ([(DATE, format_date(NOW - 10)), (EXPIRES, format_date(NOW + 30))], 40),
        ([(DATE, b"junk"), (EXPIRES, format_date(NOW + 30))], 30),
        ([(EXPIRES, format_date(NOW - 30))], 0),
        ([(EXPIRES, b"0")], 0),
        ([(EXPIRES, b"")], 0),
        ([(EXPIRES, format_date(NOW + 30)), (EXPIRES, format_date(NOW + 60))], 0),
        ([(EXPIRES, format_date(NOW + 30) + b", " + format_date(NOW + 60))], 0),
        ([(CC, b"public")], None),
        ([], None),
        ([(CDN, b"max-age=5"), (CC, b"max-age=60")], 5),
        ([(CDN, b"s-maxage=4, max-age=5"), (CC, b"max-age=60")], 4),
        ([(CDN, b"public"), (CC, b"max-age=60"), (EXPIRES, format_date(NOW + 5))], None),
        ([(CDN, b""), (CC, b"max-age=60")], 60),
        ([(CDN, b"max-age=5, &&&"), (CC, b"max-age=60")], 60),
        ([(CDN, b"MAX-AGE=5"), (EXPIRES, format_date(NOW + 7))], 7),
    ],
)
def test_explicit_freshness_has_its_precedence(lines: Lines, seconds: float | None) -> None:
    assert lifetime(lines) == seconds


def test_an_expires_of_two_digits_is_of_the_century_that_the_answer_came_in() -> None:
    assert lifetime([(EXPIRES, b"Sunday, 06-Nov-94 08:49:37 GMT")]) == 0
    later = lifetime([(EXPIRES, b"Sunday, 06-Nov-70 08:49:37 GMT")])
    assert later is not None
    assert later > 0


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ([], 0),
        ([(AGE, b"20")], 20),
        ([(AGE, b"007")], 7),
        ([(AGE, b"0")], 0),
        ([(AGE, b"20, 30")], 20),
        ([(AGE, b"20"), (AGE, b"30")], 20),
        ([(AGE, b"junk")], 0),
        ([(AGE, b"-1")], 0),
        ([(AGE, b"1.5")], 0),
        ([(AGE, b"")], 0),
        ([(AGE, b"9" * 5000)], MOST_SECONDS),
        ([(AGE, b"0" * 5000 + b"9")], 9),
        ([(AGE, b"%d" % (MOST_SECONDS + 5))], MOST_SECONDS),
        ([(DATE, format_date(NOW - 15))], 15),
        ([(DATE, format_date(NOW + 15))], 0),
        ([(DATE, b"junk")], 0),
        ([(DATE, format_date(NOW - 15)), (AGE, b"20")], 20),
        ([(DATE, format_date(NOW - 15)), (AGE, b"10")], 15),
    ],
)
def test_an_answers_age_is_the_greater_of_age_and_the_time_since_date(lines: Lines, age: float) -> None:
    assert NOW - base_time(lines, NOW, NOW) == age


def test_the_time_that_the_answer_took_counts_as_age() -> None:
    assert base_time([(AGE, b"1")], NOW - 2, NOW) == NOW - 3
    assert base_time([(DATE, format_date(NOW - 10))], NOW - 2, NOW) == NOW - 10


def test_a_clock_that_was_set_back_meanwhile_makes_nothing_younger() -> None:
    assert base_time([], NOW + 5, NOW) == NOW


def test_the_fraction_of_a_second_that_date_cannot_say_is_no_age() -> None:
    assert base_time([(DATE, format_date(NOW))], NOW + 0.9, NOW + 0.9) == NOW + 0.9
    assert base_time([(DATE, format_date(NOW))], NOW + 1.5, NOW + 1.5) == NOW + 0.5


SITE = KindDefaults(10, stale_while_revalidate=3, stale_if_error=4)


@pytest.mark.parametrize(
    ("control", "explicit", "expected"),
    [
        (CacheControl(), None, (3, 4)),
        (CacheControl(max_age=5), 5.0, (3, 4)),
        (CacheControl(max_age=0), 0.0, (0, 4)),
        (CacheControl(s_maxage=5), 5.0, (0, 0)),
        (CacheControl(s_maxage=5, stale_while_revalidate=7), 5.0, (0, 0)),
        (CacheControl(s_maxage=5, stale_if_error=8), 5.0, (0, 0)),
        (CacheControl(max_age=5, stale_while_revalidate=7, stale_if_error=8), 5.0, (7, 8)),
        (CacheControl(max_age=5, stale_while_revalidate=0, stale_if_error=0), 5.0, (0, 0)),
        (CacheControl(max_age=0, stale_while_revalidate=7), 0.0, (7, 4)),
    ],
)
def test_stale_windows_are_the_origins_or_the_sites(
    control: CacheControl, explicit: float | None, expected: tuple[float, float]
) -> None:
    assert windows(control, SITE, explicit) == expected
