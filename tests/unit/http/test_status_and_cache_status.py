"""Status lines; Cache-Status as structured fields."""

import re
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.cache_status import format_member, relays
from edge.http.status import reason, status_line


def test_status_lines_have_reasons_also_without_a_name() -> None:
    assert status_line(206) == b"HTTP/1.1 206 Partial Content\r\n"
    assert status_line(599) == b"HTTP/1.1 599 \r\n"
    assert reason(599) == b""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (413, b"Content Too Large"),
        (414, b"URI Too Long"),
        (416, b"Range Not Satisfiable"),
        (422, b"Unprocessable Content"),
    ],
)
def test_reasons_are_those_of_rfc_9110(code: int, text: bytes) -> None:
    assert reason(code) == text


@pytest.mark.parametrize("status", HTTPStatus)
def test_every_known_status_has_a_line_that_fits_its_grammar(status: HTTPStatus) -> None:
    assert re.fullmatch(rb"HTTP/1\.1 %d [\x21-\x7e][\x20-\x7e]+\r\n" % status, status_line(status))


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (format_member("edge", hit=True, ttl=5), b"edge; hit; ttl=5"),
        (format_member("edge", hit=True, ttl=-5), b"edge; hit; ttl=-5"),
        (format_member("edge", hit=False), b"edge"),
        (format_member("edge", hit=True, fwd="stale", fwd_status=200), b"edge; hit"),
        (format_member("edge", hit=True, stored=True, collapsed=True), b"edge; hit"),
        (format_member("edge", hit=False, fwd_status=200, stored=True), b"edge"),
        (format_member("edge", hit=False, fwd="uri-miss"), b"edge; fwd=uri-miss"),
        (
            format_member("e 1", hit=False, fwd="miss", fwd_status=200, stored=True, collapsed=True, ttl=9),
            b'"e 1"; fwd=miss; fwd-status=200; stored; collapsed; ttl=9',
        ),
        (format_member("e", hit=True, key="/a"), b'e; hit; key="/a"'),
        (format_member("e", hit=True, key='/"\\'), b'e; hit; key="/\\"\\\\"'),
        (format_member("e", hit=True, detail="connect_failed"), b"e; hit; detail=connect_failed"),
        (format_member("e", hit=True, detail='no "way"'), b'e; hit; detail="no \\"way\\""'),
        (format_member("e", hit=True, detail="a\r\nB: c"), b'e; hit; detail="a??B: c"'),
        (format_member("e", hit=True, detail="é"), b'e; hit; detail="?"'),
        (format_member("e", hit=True, detail=""), b'e; hit; detail=""'),
        (format_member("1edge.example", hit=True), b'"1edge.example"; hit'),
        (format_member("edge.example:80/x*", hit=True), b"edge.example:80/x*; hit"),
    ],
)
def test_members_are_worded_as_structured_fields(member: bytes, expected: bytes) -> None:
    assert member == expected


STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
TOKEN = r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*"


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_the_grammar(cache: str, key: str, detail: str) -> None:
    text = format_member(cache, hit=True, key=key, detail=detail).decode("ascii")
    item = f"(?:{TOKEN}|{STRING})"
    assert re.fullmatch(f"{item}; hit; key={STRING}; detail={item}", text)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], False),
        ([b"shield; fwd=uri-miss; fwd-status=503"], True),
        ([b"shield;fwd=uri-miss ; fwd-status=503;detail=x"], True),
        ([b"shield; hit"], True),
        ([b"shield; fwd=uri-miss; detail=connect_failed"], False),
        ([b"origin; fwd=miss; fwd-status=503", b"shield; detail=queue_full"], False),
        ([b"origin; fwd=miss; detail=x, shield; fwd=uri-miss; fwd-status=502"], True),
        ([b'shield; detail="a, b; hit"'], False),
        ([b'shield; detail="a; hit; b"'], False),
        ([b'shield; fwd=miss; fwd-status=503; detail="a, b"'], True),
        ([b'shield; detail="a \\", b; hit"'], False),
        ([b'"sh,ie;ld"; hit; key="/\\\\"'], True),
        ([b"hit"], False),
        ([b""], False),
    ],
)
def test_who_handed_an_answer_on_says_so_in_the_last_member(said: list[bytes], expected: bool) -> None:
    assert relays([(b"Cache-Status", value) for value in said]) is expected
