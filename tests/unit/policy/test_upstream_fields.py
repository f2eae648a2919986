"""Which fields pass, upwards and into the store."""

import pytest

from edge.errors import OriginError
from edge.http.dates import format_date
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import request_fields, stored_fields
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


def test_of_a_clients_fields_none_reaches_the_origin_unnamed() -> None:
    assert request_fields(ASKED, SiteRules()) == ()


def test_named_fields_reach_the_origin_with_all_their_lines() -> None:
    rules = SiteRules(forward_fields=("X-PASS",))
    assert request_fields(ASKED, rules) == ((b"X-Pass", b"b"), (b"x-pass", b"c"))


def test_what_our_own_requests_depend_on_is_never_the_clients() -> None:
    rules = SiteRules(forward_fields=("range", "Host", "If-None-Match", "Accept-Encoding", "te", "Cookie"))
    given = [*ASKED, (b"If-None-Match", b"*"), (b"Accept-Encoding", b"gzip"), (b"TE", b"trailers")]
    assert request_fields(given, rules) == ((b"Cookie", b"a"),)


def test_a_field_that_the_client_nominated_for_its_connection_stays_here() -> None:
    rules = SiteRules(forward_fields=("x-pass",))
    assert request_fields([*ASKED, (b"Connection", b"x-pass")], rules) == ()
