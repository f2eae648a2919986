"""Dates, Cache-Control, entity tags, conditions, Content-Range, Cache-Status."""

import calendar
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadRequest
from edge.http import fields
from edge.http.cache_control import MOST_SECONDS, CacheControl, parse_cache_control
from edge.http.cache_status import format_member
from edge.http.conditionals import Outcome, evaluate, if_range_passes, parse_preconditions
from edge.http.content_range import ContentRange, parse_content_range, parse_unsatisfied
from edge.http.dates import format_date, parse_date
from edge.http.etags import ANY, ETag, parse_etag, parse_etag_list
from edge.http.multipart import plan
from edge.http.status import reason, status_line
from edge.http.target import Target, parse_target, valid_host

NOON = calendar.timegm((1994, 11, 6, 8, 49, 37))


@given(st.integers(0, 253402300799))
def test_a_date_is_read_as_it_was_written_and_as_the_standard_library_writes_it(unix: int) -> None:
    text = format_date(unix)
    assert parse_date(text) == unix
    assert text.decode() == email.utils.formatdate(unix, usegmt=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", NOON),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", NOON),
        (b"Sun Nov  6 08:49:37 1994", NOON),
        (b"Sun, 06 Nov 1994 08:49:37 UTC", None),
        (b"Sun, 31 Feb 1994 08:49:37 GMT", None),
        (b"Sun, 06 Xxx 1994 08:49:37 GMT", None),
        (b"Sun, 06 Nov 1994 25:49:37 GMT", None),
        (b"0", None),
        (b"-1", None),
        (b"", None),
    ],
)
def test_the_three_date_forms_and_nothing_else(text: bytes, expected: int | None) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"max-age=60"], CacheControl(max_age=60)),
        ([b"MAX-AGE = 60 , Private"], CacheControl(max_age=60, private=True)),
        ([b'max-age="60"'], CacheControl(max_age=60)),
        ([b"max-age=60, max-age=10"], CacheControl(max_age=60)),
        ([b"max-age=99999999999999"], CacheControl(max_age=MOST_SECONDS)),
        ([b"max-age=ten"], CacheControl(max_age=0)),
        ([b"max-age"], CacheControl(max_age=0)),
        ([b"max-age=-5"], CacheControl(max_age=0)),
        ([b"s-maxage=1", b"no-store"], CacheControl(s_maxage=1, no_store=True)),
        ([b'private="set-cookie, x"'], CacheControl(private_fields=(b"set-cookie", b"x"))),
        ([b'no-cache="a", no-cache'], CacheControl(no_cache=True, no_cache_fields=(b"a",))),
        ([b'ext="a, no-store", public'], CacheControl(public=True)),
        ([b'ext="a\\", no-store", public'], CacheControl(public=True)),
        (
            [b"stale-while-revalidate=5, stale-if-error=6"],
            CacheControl(stale_while_revalidate=5, stale_if_error=6),
        ),
        ([b",, ;junk, =x, immutable"], CacheControl(immutable=True)),
        ([], CacheControl()),
    ],
)
def test_cache_control_is_read_tolerantly(lines: list[bytes], expected: CacheControl) -> None:
    assert parse_cache_control(lines) == expected


@given(st.binary(max_size=80))
def test_no_cache_control_makes_the_parser_raise(junk: bytes) -> None:
    parse_cache_control([junk])
    parse_etag_list([junk])
    parse_content_range(junk)


def test_entity_tags_are_read_by_the_grammar() -> None:
    assert parse_etag(b'"a,b"') == ETag(b'"a,b"')
    assert parse_etag(b'W/"\xff"') == ETag(b'"\xff"', True)
    assert parse_etag(b'w/"a"') is None
    assert parse_etag(b"a") is None
    assert parse_etag(b'"a b"') is None
    assert parse_etag_list([b" * "]) is ANY
    assert parse_etag_list([b'"a", W/"b,c"', b'"d"']) == (ETag(b'"a"'), ETag(b'"b,c"', True), ETag(b'"d"'))


TAG, WEAK = ETag(b'"v1"'), ETag(b'"v1"', True)


@pytest.mark.parametrize(
    ("lines", "etag", "method", "expected"),
    [
        ([(b"If-None-Match", b'"v1"')], TAG, b"GET", Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'W/"v1"')], TAG, b"HEAD", Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'"v2"')], TAG, b"GET", Outcome.PROCEED),
        ([(b"If-None-Match", b"*")], None, b"GET", Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'"v1"')], TAG, b"PUT", Outcome.FAILED),
        ([(b"If-Match", b'"v1"')], TAG, b"GET", Outcome.PROCEED),
        ([(b"If-Match", b'"v1"')], WEAK, b"GET", Outcome.FAILED),
        ([(b"If-Match", b'"v2"'), (b"If-None-Match", b'"v1"')], TAG, b"GET", Outcome.FAILED),
        ([(b"If-Modified-Since", format_date(NOON))], None, b"GET", Outcome.NOT_MODIFIED),
        ([(b"If-Modified-Since", format_date(NOON - 1))], None, b"GET", Outcome.PROCEED),
        ([(b"If-Modified-Since", b"yesterday")], None, b"GET", Outcome.PROCEED),
        (
            [(b"If-None-Match", b'"v2"'), (b"If-Modified-Since", format_date(NOON))],
            TAG,
            b"GET",
            Outcome.PROCEED,
        ),
        ([(b"If-Unmodified-Since", format_date(NOON - 1))], None, b"GET", Outcome.FAILED),
        ([(b"If-Unmodified-Since", format_date(NOON))], None, b"GET", Outcome.PROCEED),
        ([(b"If-Match", b'"v1"'), (b"If-Unmodified-Since", format_date(0))], TAG, b"GET", Outcome.PROCEED),
    ],
)
def test_conditions_have_the_precedence_of_section_13(
    lines: list[tuple[bytes, bytes]], etag: ETag | None, method: bytes, expected: Outcome
) -> None:
    conditions = parse_preconditions(lines)
    outcome = Outcome.PROCEED if conditions is None else evaluate(conditions, etag, NOON, method)
    assert outcome is expected


def test_if_range_needs_a_strong_match() -> None:
    assert if_range_passes(b'"v1"', TAG, None, None)
    assert not if_range_passes(b'W/"v1"', TAG, None, None)
    assert not if_range_passes(b'"v1"', WEAK, None, None)
    assert not if_range_passes(b'"v1"', None, None, None)
    assert if_range_passes(format_date(NOON), None, NOON, NOON + 60)
    assert not if_range_passes(format_date(NOON), None, NOON, NOON)
    assert not if_range_passes(format_date(NOON - 1), None, NOON, NOON + 60)
    assert not if_range_passes(b"junk", TAG, NOON, NOON + 60)


def test_content_range_is_read_strictly() -> None:
    assert parse_content_range(b"bytes 0-9/10") == ContentRange(0, 10, 10)
    assert parse_content_range(b"bytes 0-9/*") == ContentRange(0, 10, None)
    for bad in (b"bytes 9-0/10", b"bytes 0-10/10", b"0-9/10", b"bytes 0-9", b"bytes */10", b"bytes a-b/c"):
        assert parse_content_range(bad) is None
    assert parse_unsatisfied(b"bytes */10") == 10
    assert parse_unsatisfied(b"bytes 0-9/10") is None


def test_hop_by_hop_and_nominated_fields_are_dropped() -> None:
    given_fields = [
        (b"Connection", b"close, X-Mine"),
        (b"X-Mine", b"1"),
        (b"Keep-Alive", b"5"),
        (b"X-Kept", b"2"),
    ]
    assert fields.end_to_end(given_fields) == [(b"X-Kept", b"2")]
    assert fields.combined([(b"A", b"1"), (b"a", b"2")], b"a") == b"1, 2"
    assert fields.combined([], b"a") is None


def test_cache_status_is_worded_as_structured_fields() -> None:
    assert format_member("edge", hit=True, ttl=5) == b"edge; hit; ttl=5"
    assert (
        format_member(
            "e 1", hit=False, fwd="uri-miss", fwd_status=200, stored=True, collapsed=True, detail='a "b"'
        )
        == b'"e 1"; fwd=uri-miss; fwd-status=200; stored; collapsed; detail="a \\"b\\""'
    )
    assert format_member("e", hit=True, key="/a b") == b'e; hit; key="/a b"'


def test_a_multipart_plan_knows_its_length() -> None:
    made = plan([(0, 10), (20, 25)], 100, b"video/mp4", b"XX")
    length = sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in made.pieces)
    assert length == made.content_length


def test_status_lines_have_reasons_also_without_a_name() -> None:
    assert status_line(206) == b"HTTP/1.1 206 Partial Content\r\n"
    assert status_line(599) == b"HTTP/1.1 599 \r\n"
    assert reason(416) == b"Range Not Satisfiable"


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/a?b", b"Example.org:80", Target(b"example.org", 80, b"/a", b"b")),
        (b"/a", None, Target(b"", None, b"/a", None)),
        (b"/a%2F../b", b"[::1]:8080", Target(b"[::1]", 8080, b"/a%2F../b", None)),
        (b"http://Other.org/x?", b"example.org", Target(b"other.org", None, b"/x", b"")),
        (b"http://other.org", b"example.org", Target(b"other.org", None, b"/", None)),
        (b"*", b"example.org", Target(b"example.org", None, b"*", None)),
    ],
)
def test_targets_are_read_in_all_their_forms(target: bytes, host: bytes | None, expected: Target) -> None:
    assert parse_target(target, host) == expected


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"a/b", b"h"),
        (b"/a b", b"h"),
        (b"/a#f", b"h"),
        (b"/\x00", b"h"),
        (b"ftp://h/", b"h"),
        (b"/", b"h h"),
        (b"/", b"user@h"),
        (b"/", b"h:99999"),
        (b"http://u@h/", b"h"),
    ],
)
def test_bad_targets_and_hosts_are_refused(target: bytes, host: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_target(target, host)
    assert valid_host(b"example.org:8080")
