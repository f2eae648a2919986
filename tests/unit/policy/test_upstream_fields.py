"""Which fields pass, upwards and into the store."""

import pytest

from edge.errors import OriginError
from edge.http.dates import format_date
from edge.policy.rules import PROFILES, RFC9111, SiteRules
from edge.policy.upstream_fields import HOPS_MOST, LOOP_BYTES, in_a_loop, request_fields, stored_fields
from edge.words import Reason

NOW = 1_700_000_000.0
DATED = (b"Date", format_date(NOW))


def stored(*lines: tuple[bytes, bytes]) -> bytes:
    return stored_fields([*lines, DATED], NOW).removesuffix(b"Date: " + DATED[1] + b"\r\n")


def test_the_origins_fields_are_kept_as_they_are_in_their_order() -> None:
    assert stored((b"content-TYPE", b"video/mp4"), (b"X-Two", b"1"), (b"x-two", b""), (b"ETag", b'"\xff"')) == (
        b'content-TYPE: video/mp4\r\nX-Two: 1\r\nx-two: \r\nETag: "\xff"\r\n'
    )


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"Content-Range",
        b"Transfer-Encoding",
        b"Connection",
        b"Keep-Alive",
        b"Age",
        b"ACCEPT-RANGES",
        b"X-Cache",
        b"Access-Control-Allow-Origin",
        b"access-control-expose-headers",
        b"Timing-Allow-Origin",
        b"Cross-Origin-Resource-Policy",
        b"Alt-Svc",
    ],
)
def test_what_is_written_anew_for_every_answer_is_not_kept(name: bytes) -> None:
    assert stored((name, b"x")) == b""


@pytest.mark.parametrize("name", [b"Via", b"Cache-Status", b"Server-Timing", b"CDN-Cache-Control", b"Vary"])
def test_what_caches_in_a_row_add_to_is_kept(name: bytes) -> None:
    assert stored((name, b"x")) == name + b": x\r\n"


def test_fields_that_the_origin_nominated_for_its_connection_are_not_kept() -> None:
    assert stored((b"Connection", b"X-Hop"), (b"X-Hop", b"1")) == b""


def test_a_missing_date_is_the_time_that_the_answer_came() -> None:
    assert stored_fields([], NOW + 0.5) == b"Date: " + format_date(NOW) + b"\r\n"
    earlier = format_date(NOW - 60)
    assert stored_fields([(b"DATE", earlier)], NOW) == b"DATE: " + earlier + b"\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X", b"a\r\nb"),
        (b"X", b"a\nb"),
        (b"X", b"a\rb"),
        (b"X", b"a\0b"),
        (b"X\r\nY", b"a"),
        (b"X Y", b"a"),
        (b"X:", b"a"),
        (b"", b"a"),
    ],
)
def test_a_field_that_would_break_our_framing_is_the_origins_error(name: bytes, value: bytes) -> None:
    with pytest.raises(OriginError) as caught:
        stored_fields([(name, value)], NOW)
    assert caught.value.reason is Reason.BAD_RESPONSE


ASKED = [(b"Cookie", b"a"), (b"X-Pass", b"b"), (b"x-pass", b"c"), (b"Range", b"bytes=0-"), (b"Host", b"h")]


PLAIN = PROFILES["rfc9111"]
OURS = ((b"Via", b"1.1 edge"), (b"CDN-Loop", b"edge"))


def test_of_a_clients_fields_none_reaches_the_origin_unnamed() -> None:
    assert request_fields(ASKED, SiteRules()) == OURS


def test_named_fields_reach_the_origin_with_all_their_lines() -> None:
    rules = SiteRules(forward_fields=("X-PASS",))
    assert request_fields(ASKED, rules) == ((b"X-Pass", b"b"), (b"x-pass", b"c"), *OURS)


def test_what_our_own_requests_depend_on_is_never_the_clients() -> None:
    rules = SiteRules(forward_fields=("range", "Host", "If-None-Match", "Accept-Encoding", "te", "Cookie", "Via"))
    given = [*ASKED, (b"If-None-Match", b"*"), (b"Accept-Encoding", b"gzip"), (b"TE", b"trailers")]
    assert request_fields(given, rules) == ((b"Cookie", b"a"), *OURS)


def test_a_field_that_the_client_nominated_for_its_connection_stays_here() -> None:
    rules = SiteRules(forward_fields=("x-pass",))
    assert request_fields([*ASKED, (b"Connection", b"x-pass")], rules) == OURS


def test_a_plain_cache_passes_every_end_to_end_field_in_order() -> None:
    given = [*ASKED, (b"Accept-Encoding", b"gzip"), (b"TE", b"trailers"), (b"If-None-Match", b"*"), (b"X", b"")]
    passed = ((b"Cookie", b"a"), (b"X-Pass", b"b"), (b"x-pass", b"c"), (b"Accept-Encoding", b"gzip"), (b"X", b""))
    assert request_fields(given, PLAIN) == (*passed, *OURS)


def test_conditions_go_along_only_when_they_are_the_origins_to_judge() -> None:
    given = [(b"If-None-Match", b'"a"'), (b"if-modified-since", b"b"), (b"Range", b"bytes=0-")]
    assert request_fields(given, PLAIN, conditions=True) == (*given[:2], *OURS)


def test_ranges_go_along_only_where_nothing_is_cut_here() -> None:
    given = [(b"Range", b"bytes=0-"), (b"if-range", b'"a"')]
    assert request_fields(given, PLAIN, ranges=True) == (*given, *OURS)
    assert request_fields(given, PLAIN) == request_fields(given, SiteRules(), ranges=True) == OURS


def test_who_passed_a_request_on_before_us_stays_named() -> None:
    given = [(b"Via", b"1.0 a"), (b"CDN-Loop", b"x"), (b"via", b"1.1 b"), (b"cdn-loop", b"y; z=1")]
    ours = ((b"Via", b"1.0 a, 1.1 b, 1.1 n"), (b"CDN-Loop", b"x, y; z=1, n;n=1"))
    assert request_fields(given, PLAIN, node=b"n", mark=b"n;n=1") == ours
    assert request_fields(given, SiteRules(), node=b"n", mark=b"n;n=1") == ((b"Via", b"1.1 n"), ours[1])


@pytest.mark.parametrize(
    ("loop", "ours"),
    [
        (b"edge", True),
        (b"a, EDGE ; n=1", True),
        (b"edge;n=2", False),
        (b"edge2", False),
        (b"a;edge", False),
        (b"", False),
    ],
)
def test_a_loop_is_known_by_our_own_name_unless_it_says_that_another_has_it(loop: bytes, ours: bool) -> None:
    assert in_a_loop([(b"CDN-Loop", loop)], b"edge;n=1") is ours


def test_cors_is_left_to_an_origin_whose_affair_it_is() -> None:
    lines = [(b"Access-Control-Allow-Origin", b"*"), (b"Age", b"5"), (b"Content-Range", b"bytes 0-1/2"), DATED]
    assert stored_fields(lines, NOW, PLAIN) == b"Access-Control-Allow-Origin: *\r\nDate: " + DATED[1] + b"\r\n"
    assert b"Content-Range: bytes 0-1/2\r\n" in stored_fields(lines, NOW, PLAIN, opaque=True)
    assert stored_fields([(b"X", b"1"), DATED], NOW, PLAIN, withheld=(b"x",)) == b"Date: " + DATED[1] + b"\r\n"


@pytest.mark.parametrize("rules", [RFC9111, SiteRules(forward_fields=("CMCD-Session", "X-A"))])
def test_what_players_tell_of_themselves_reaches_no_origin(rules: SiteRules) -> None:
    told = [(b"CMCD-" + name, b"bl=1") for name in (b"Object", b"Request", b"Session", b"Status")]
    passed = request_fields([*told, (b"X-A", b"1")], rules)
    assert [name for name, _ in passed] == [b"X-A", b"Via", b"CDN-Loop"]


def test_more_caches_than_there_are_tiers_are_a_loop_whatever_their_names() -> None:
    nodes = b", ".join(b"node%d" % number for number in range(HOPS_MOST))
    assert not in_a_loop([(b"CDN-Loop", nodes)], b"edge;n=1")
    assert in_a_loop([(b"CDN-Loop", nodes), (b"CDN-Loop", b"another")], b"edge;n=1")


def test_a_name_that_no_node_has_is_a_loop_before_it_is_too_long_for_the_next_server() -> None:
    assert not in_a_loop([(b"CDN-Loop", b"n" * LOOP_BYTES)], b"edge;n=1")
    assert in_a_loop([(b"CDN-Loop", b"n" * (LOOP_BYTES + 1))], b"edge;n=1")
    assert in_a_loop([(b"CDN-Loop", b"n" * LOOP_BYTES), (b"CDN-Loop", b"n")], b"edge;n=1")


@pytest.mark.parametrize("rules", [RFC9111, SiteRules(forward_fields=("Edge-Pass", "X-A"))])
def test_what_nodes_of_ours_tell_each_other_neither_goes_on_nor_comes_from_an_origin(rules: SiteRules) -> None:
    passed = request_fields([(b"Edge-Pass", b"h=1;a=;o="), (b"X-A", b"1")], rules)
    assert b"X-A" in dict(passed)
    assert b"edge-pass" not in {name.lower() for name, _ in passed}
    assert stored_fields([(b"EDGE-Pass", b"refused"), DATED], NOW, rules) == b"Date: " + DATED[1] + b"\r\n"
