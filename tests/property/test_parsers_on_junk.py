"""Whatever a stranger sends: parsers answer, raise what they promised only, and stay in their grammar."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadRequest, OriginError
from edge.http.cache_control import MOST_SECONDS, parse_cache_control, parse_targeted
from edge.http.conditionals import if_range_passes, parse_preconditions
from edge.http.content_range import parse_content_range, parse_unsatisfied
from edge.http.dates import parse_date
from edge.http.etags import AnyTag, ETag, parse_etag, parse_etag_list
from edge.http.ranges import parse_range
from edge.http.structured import parse_dictionary
from edge.http.target import parse_target
from edge.media.kinds import kind_of
from edge.media.mime import content_type_for
from edge.media.playlists import read_manifest, read_playlist
from edge.policy.freshness import base_time, directives, explicit_lifetime
from edge.policy.judge import Head, judge
from edge.policy.key import cache_key
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import stored_fields
from edge.words import Kind

# Bytes that mean something to one parser or another, so that junk reaches further than the first check.
ALPHABET = st.sampled_from([bytes([byte]) for byte in b'",;=\\*/:-()?@W/0129aZ \t#%[].\x00\xff\r\n<>!&'])
WORDS = st.sampled_from(
    [
        b"max-age=",
        b"private",
        b"no-cache=",
        b"bytes=",
        b"bytes ",
        b"GMT",
        b"Nov",
        b"http://",
        b"<MPD ",
        b"type=",
    ]
)
JUNK = st.one_of(st.binary(max_size=60), st.lists(st.one_of(ALPHABET, WORDS), max_size=40).map(b"".join))
NAMES = [
    b"Cache-Control",
    b"CDN-Cache-Control",
    b"Expires",
    b"Date",
    b"Age",
    b"Vary",
    b"Connection",
    b"If-Match",
    b"If-None-Match",
    b"If-Modified-Since",
]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), JUNK), max_size=6)

PARSERS: list[Callable[[bytes], object]] = [
    parse_date,
    lambda junk: parse_date(junk, 1.7e9),
    parse_etag,
    parse_content_range,
    parse_unsatisfied,
    parse_range,
    lambda junk: parse_range(b"bytes=" + junk),
    lambda junk: parse_cache_control([junk, junk]),
    lambda junk: parse_targeted([junk, junk]),
    lambda junk: parse_dictionary([junk]),
    lambda junk: if_range_passes(junk, ETag(b'"a"'), 1, 2),
    read_playlist,
    read_manifest,
    kind_of,
    lambda junk: kind_of(b"/x", junk),
    content_type_for,
]


@pytest.mark.parametrize("number", range(len(PARSERS)))
@given(JUNK)
def test_no_bytes_make_a_parser_raise(number: int, junk: bytes) -> None:
    PARSERS[number](junk)


@given(JUNK, JUNK)
def test_a_target_is_parsed_or_refused_and_never_holds_what_splits_a_message(target: bytes, host: bytes) -> None:
    with suppress(BadRequest):
        found = parse_target(b"/" + target, host)
        assert b"?".join([found.path] + ([] if found.query is None else [found.query])) == b"/" + target
        assert not set(found.path + found.host) & set(b"\x00\r\n\t ")


@given(st.lists(JUNK, max_size=4))
def test_a_list_of_tags_holds_tags_only(lines: list[bytes]) -> None:
    found = parse_etag_list(lines)
    if not isinstance(found, AnyTag):
        assert all(parse_etag((b"W/" if tag.weak else b"") + tag.value) == tag for tag in found)


@given(FIELDS)
def test_a_head_of_junk_is_judged_within_bounds(fields: list[tuple[bytes, bytes]]) -> None:
    parse_preconditions(fields)
    control, targeted = directives(fields)
    lifetime = explicit_lifetime(fields, control, 2000.0, targeted=targeted)
    assert lifetime is None or lifetime >= 0
    assert 2000.0 - base_time(fields, 1999.0, 2000.0) >= 1.0
    for status in (200, 206, 304, 404, 503):
        verdict = judge(
            Head(status, fields),
            method=b"GET",
            kind=Kind.SEGMENT,
            rules=SiteRules(),
            request_time=1999.0,
            response_time=2000.0,
        )
        assert verdict.shareable or not verdict.store
        assert 0 <= verdict.stale_while_revalidate <= MOST_SECONDS
        assert 0 <= verdict.stale_if_error <= MOST_SECONDS


@given(st.lists(st.tuples(JUNK, JUNK), max_size=6))
def test_what_is_stored_is_whole_lines_whatever_the_origin_sent(fields: list[tuple[bytes, bytes]]) -> None:
    with suppress(OriginError):
        stored = stored_fields(fields, 2000.0)
        lines = stored.split(b"\r\n")
        assert lines.pop() == b""
        assert all(b": " in line and b"\n" not in line and b"\r" not in line for line in lines)
        assert sum(line.lower().startswith(b"date: ") for line in lines) >= 1


PARAMETERS = st.lists(
    st.sampled_from([b"a=1", b"a=2", b"a", b"", b"b==", b"CMCD=x", b"cmcd", b"utm_a=1", b"token=z", b"%61"]),
    max_size=6,
).map(b"&".join)


@given(PARAMETERS, PARAMETERS)
def test_two_queries_make_the_same_key_only_if_they_differ_in_what_is_dropped(one: bytes, other: bytes) -> None:
    def kept(query: bytes) -> list[bytes]:
        names = (b"cmcd", b"utm_a", b"token")
        parts = [part for part in query.split(b"&") if part.partition(b"=")[0].lower() not in names]
        return [] if parts == [b""] else parts

    rules = SiteRules()
    same_key = cache_key(b"s", b"/p", one, rules) == cache_key(b"s", b"/p", other, rules)
    assert same_key == (kept(one) == kept(other))
