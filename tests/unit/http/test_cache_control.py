"""Cache-Control in all the ways that origins write it, and its targeted kin."""

import pytest

from edge.http.cache_control import MOST_SECONDS, CacheControl, parse_cache_control, parse_targeted


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"max-age=60"], CacheControl(max_age=60)),
        ([b"MAX-AGE = 60 , Private"], CacheControl(max_age=60, private=True)),
        ([b'max-age="60"'], CacheControl(max_age=60)),
        ([b"max-age=007"], CacheControl(max_age=7)),
        ([b"max-age=0000"], CacheControl(max_age=0)),
        ([b"max-age=60, max-age=10"], CacheControl(max_age=60)),
        ([b"max-age=60", b"max-age=10"], CacheControl(max_age=60)),
        ([b"s-maxage=1", b"no-store"], CacheControl(s_maxage=1, no_store=True)),
        (
            [b"stale-while-revalidate=5, stale-if-error=6"],
            CacheControl(stale_while_revalidate=5, stale_if_error=6),
        ),
        (
            [b"public, must-revalidate, proxy-revalidate, must-understand, immutable"],
            CacheControl(
                public=True,
                must_revalidate=True,
                proxy_revalidate=True,
                must_understand=True,
                immutable=True,
            ),
        ),
        ([b"no-transform,only-if-cached"], CacheControl(no_transform=True, only_if_cached=True)),
        ([b"no-store=whatever"], CacheControl(no_store=True)),
        ([b",, ;junk, =x, immutable"], CacheControl(immutable=True)),
        ([b""], CacheControl()),
        ([], CacheControl()),
    ],
)
def test_directives_are_read_whatever_their_case_spaces_and_company(lines: list[bytes], expected: CacheControl) -> None:
    assert parse_cache_control(lines) == expected


def test_an_origin_that_says_nothing_has_said_nothing() -> None:
    nothing = parse_cache_control([])
    assert not any(getattr(nothing, name) for name in CacheControl.__slots__)
    assert nothing.max_age is None


@pytest.mark.parametrize("number", [b"ten", b"-5", b"1.5", b"6 0", b"+5", b"0x10", b"1e3", b"'60'", b""])
def test_a_number_that_cannot_be_read_means_stale(number: bytes) -> None:
    assert parse_cache_control([b"max-age=" + number]) == CacheControl(max_age=0)


def test_a_freshness_directive_without_its_number_means_stale() -> None:
    assert parse_cache_control([b"s-maxage"]) == CacheControl(s_maxage=0)


@pytest.mark.parametrize("number", [b"2147483648", b"2147483649", b"99999999999", b"9" * 5000])
def test_numbers_beyond_the_limit_are_the_limit(number: bytes) -> None:
    assert parse_cache_control([b"max-age=" + number]) == CacheControl(max_age=MOST_SECONDS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'private="set-cookie, X-Id"', CacheControl(private_fields=(b"set-cookie", b"x-id"))),
        (b"private=set-cookie", CacheControl(private_fields=(b"set-cookie",))),
        (b'private=""', CacheControl(private=True)),
        (b'private=" , "', CacheControl(private=True)),
        (b"private=", CacheControl(private=True)),
        (b'no-cache="a", no-cache', CacheControl(no_cache=True, no_cache_fields=(b"a",))),
        (b'no-cache="a", no-cache="b"', CacheControl(no_cache_fields=(b"a", b"b"))),
    ],
)
def test_qualified_directives_name_fields(line: bytes, expected: CacheControl) -> None:
    assert parse_cache_control([line]) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'ext="a, no-store", public', CacheControl(public=True)),
        (b'ext="a\\", no-store", public', CacheControl(public=True)),
        (b'ext="\\\\", no-store', CacheControl(no_store=True)),
        (b'ext="a"x"b, private", public', CacheControl(public=True)),
    ],
)
def test_a_comma_within_quotes_does_not_end_a_directive(line: bytes, expected: CacheControl) -> None:
    assert parse_cache_control([line]) == expected


@pytest.mark.parametrize(
    "lines",
    [
        [b'ext="a, no-store'],
        [b'ext=", no-store, x='],
        [b'ext="\\", no-store'],
        [b'"a", "b, no-store'],
        [b'ext="', b"no-store"],
    ],
)
def test_a_quote_that_is_never_closed_hides_nothing(lines: list[bytes]) -> None:
    assert parse_cache_control(lines).no_store


def test_an_escaped_character_stands_for_itself() -> None:
    assert parse_cache_control([b'max-age="\\6\\0"']) == CacheControl(max_age=60)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"max-age=60"], CacheControl(max_age=60)),
        ([b"max-age=60;foo=bar, public"], CacheControl(max_age=60, public=True)),
        ([b"max-age=60, max-age=10"], CacheControl(max_age=10)),
        ([b"max-age=60", b"no-store"], CacheControl(max_age=60, no_store=True)),
        ([b"max-age=999999999999"], CacheControl(max_age=MOST_SECONDS)),
        ([b"max-age=-1"], CacheControl(max_age=0)),
        ([b'max-age="60"'], CacheControl(max_age=0)),
        ([b"max-age=1.5"], CacheControl(max_age=0)),
        ([b"s-maxage"], CacheControl(s_maxage=0)),
        ([b"no-store=?0, public=?1"], CacheControl(public=True)),
        ([b"no-cache, private=?0"], CacheControl(no_cache=True)),
        ([b'private="a, b"'], CacheControl(private_fields=(b"a", b"b"))),
        ([b'private=("a" "b")'], CacheControl(private=True)),
        ([b"unheard-of"], CacheControl()),
    ],
)
def test_a_targeted_field_is_a_dictionary_of_directives(lines: list[bytes], expected: CacheControl) -> None:
    assert parse_targeted(lines) == expected


@pytest.mark.parametrize("line", [b"", b" ", b"MAX-AGE=60", b"max-age = 60", b"max-age=60, &&&", b"max-age=60,"])
def test_a_targeted_field_that_is_empty_or_malformed_is_none(line: bytes) -> None:
    assert parse_targeted([line]) is None
