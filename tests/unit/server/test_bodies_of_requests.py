"""Requests with bodies: framed, bounded, and the next request where one ends."""

import pytest

from edge.errors import BadRequest
from edge.server.incoming import HELD_MOST, IncomingBody
from edge.server.reader import Hosts, RequestReader
from edge.server.request import Request
from edge.server.settings import ServerSettings

ALLOWED = ServerSettings(max_body=1000)
HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"


def read(raw: bytes, step: int = 0, settings: ServerSettings = ALLOWED) -> tuple[RequestReader, list[Request]]:
    reader = RequestReader(settings, Hosts())
    for at in range(0, len(raw), step or len(raw)):
        reader.feed(raw[at : at + (step or len(raw))], 0.0)
    return reader, list(reader.waiting)


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    "framed", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]
)
def test_a_body_is_its_requests_and_the_next_request_begins_behind_it(framed: bytes, step: int) -> None:
    reader, requests = read(HEAD + framed + NEXT, step)
    assert reader.refusal is None
    assert [request.target for request in requests] == [b"/a", b"/next"]
    body = requests[0].body
    assert body is not None
    assert body.complete
    taken = b""
    while chunk := body.take(2):
        assert len(chunk) <= 2
        taken += chunk
    assert (taken, body.empty, requests[1].body) == (b"hello", True, None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: 0x5\r\n", 400),
        (b"Content-Length: \r\n", 400),
        (b"Content-Length: 1001\r\n", 413),
        (b"Content-Length: 99999999999999999999999\r\n", 400),
        (b"Transfer-Encoding: gzip\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, chunked\r\n", 400),
        (b"Transfer-Encoding: identity\r\n", 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(fields: bytes, status: int) -> None:
    reader, requests = read(HEAD + fields + b"\r\nhello" + NEXT)
    if reader.refusal is None:  # an empty Content-Length announces nothing
        assert fields == b"Content-Length: \r\n"
        return
    assert (requests, reader.refusal.status) == ([], status)


def test_http_1_0_knows_no_chunks() -> None:
    raw = HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert read(raw)[0].refusal is not None


def test_a_chunked_body_beyond_the_bound_is_refused_and_so_is_its_request() -> None:
    reader, requests = read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024)
    assert reader.refusal is not None
    assert (reader.refusal.status, requests) == (413, [])


def test_without_leave_a_body_is_refused_as_it_comes() -> None:
    reader, requests = read(HEAD + b"Content-Length: 5\r\n\r\nhello", settings=ServerSettings())
    assert reader.refusal is not None
    assert requests == []
    assert read(HEAD + b"Content-Length: 0\r\n\r\n", settings=ServerSettings())[0].refusal is None


def test_a_body_that_nobody_takes_holds_the_client_back() -> None:
    body = IncomingBody(10 * HELD_MOST, 10 * HELD_MOST, expects_continue=False, now=0.0)
    resumed: list[int] = []
    heard: list[int] = []
    body.wire(lambda: resumed.append(body.held))
    body.feed(b"x" * HELD_MOST, 1.0)
    assert body.full
    body.start(lambda: heard.append(body.held))
    assert (len(resumed), len(heard), body.last_at) == (1, 1, 1.0)
    body.take(HELD_MOST)
    assert (len(resumed), body.full, body.empty) == (2, False, True)
    body.tell()
    assert len(heard) == 2


def test_a_body_beyond_the_bound_is_not_complete_though_its_end_came_with_it() -> None:
    body = IncomingBody(None, 3, expects_continue=False, now=0.0)
    with pytest.raises(BadRequest, match="too large"):
        body.feed(b"4\r\nfour\r\n0\r\n\r\n", 0.0)
    assert body.too_large
    assert not body.complete


def test_a_connection_may_stay_once_all_of_a_body_has_come() -> None:
    reader, (request,) = read(HEAD + b"Content-Length: 5\r\n\r\nhel")
    assert not request.keep_alive
    reader.feed(b"lo", 0.0)
    assert request.keep_alive
    assert not read(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhe")[1][0].keep_alive
