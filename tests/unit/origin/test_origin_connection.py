"""One connection fed by hand: whole, and byte by byte; what is ambiguous is refused, what is too much is never read."""

import asyncio

import pytest

from edge.errors import OriginError
from edge.origin.connection import OriginConnection
from edge.origin.settings import OriginSettings
from edge.words import Reason

SETTINGS = OriginSettings("http://origin.example", max_head_bytes=4096)
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


class FakeTransport:
    """Keeps what was written and whether it was broken off."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _: str) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connection(method: bytes = b"GET") -> OriginConnection:
    made = OriginConnection(SETTINGS)
    made.connection_made(FakeTransport())  # type: ignore[arg-type]
    made.begin(method + b" / HTTP/1.1\r\n\r\n", method)
    return made


def feed(to: OriginConnection, raw: bytes, step: int = 0) -> None:
    for at in range(0, len(raw), step or max(len(raw), 1)):
        if to.closed:
            return
        to.data_received(raw[at : at + (step or len(raw))])


async def whole(of: OriginConnection) -> bytes:
    await of.head(1.0)
    parts = []
    while (chunk := await of.chunk(1.0)) is not None:
        parts.append(chunk)
    return b"".join(parts)


@pytest.fixture(params=[0, 1, 7], ids=["whole", "byte by byte", "in sevens"])
def step(request: pytest.FixtureRequest) -> int:
    return int(request.param)


GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "same length twice": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello", b"hello"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", b"hello"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\nA: b\r\n\r\n", b"h"),
    "interim": (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nh", b"h"),
    "offers an upgrade": (
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nh",
        b"h",
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nh", b"h"),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "nothing with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_answer_is_read_and_leaves_the_connection_for_another_request(name: str, step: int) -> None:
    raw, body = GOOD[name]
    one = connection()
    feed(one, raw, step)
    assert await whole(one) == body
    assert one.reusable


@pytest.mark.parametrize("name", GOOD)
async def test_a_second_answer_that_nobody_asked_for_is_never_handed_on(name: str, step: int) -> None:
    raw, body = GOOD[name]
    one = connection()
    feed(one, raw + EVIL, step)
    assert await whole(one) == body
    assert not one.reusable


BAD = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "not last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "an old version": b"HTTP/0.9 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "a blank in a name": b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "a bare carriage return": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 3\r\n\r\nabc",
    "a nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc",
    "not a protocol": b"RTSP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 3\r\n\r\nabc",
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"Content-Length: 3\r\n\r\nabc",
    "a long line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\nContent-Length: 3\r\n\r\nabc",
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50_000,
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_head_is_an_error_and_the_connection_is_not_used_again(name: str, step: int) -> None:
    one = connection()
    feed(one, BAD[name], step)
    with pytest.raises(OriginError) as failed:
        await one.head(1.0)
    assert failed.value.reason is Reason.BAD_RESPONSE
    assert not one.reusable


BAD_BODIES = {
    "chunk size": b"x\r\nabc\r\n",
    "negative chunk size": b"-1\r\nabc\r\n",
    "chunk longer than told": b"2\r\nabc\r\n",
    "endless extension": b"3;" + b"x" * 5000,
    "endless trailer": b"0\r\nA: " + b"x" * 5000,
    "trailers without end": b"0\r\n" + b"A: b\r\n" * 1000,
    "huge chunk size": b"f" * 40 + b"\r\nabc",
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_bad_chunks_break_the_body(name: str, step: int) -> None:
    one = connection()
    feed(one, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", step)
    feed(one, BAD_BODIES[name], step)
    with pytest.raises(OriginError) as failed:
        await whole(one)
    assert failed.value.reason is Reason.BAD_RESPONSE
    assert not one.reusable


async def test_many_small_chunks_are_no_extension() -> None:
    one = connection()
    feed(one, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(5000):
        feed(one, b"1;ab=cd\r\nx\r\n")
    feed(one, b"0\r\n\r\n")
    assert await whole(one) == b"x" * 5000


@pytest.mark.parametrize("rest", [b"", EVIL], ids=["alone", "and an answer"])
async def test_a_body_after_an_answer_to_head_closes_the_connection(rest: bytes, step: int) -> None:
    one = connection(b"HEAD")
    feed(one, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 10 + rest, step)
    assert await whole(one) == b""
    assert not one.reusable


async def test_an_answer_to_head_leaves_the_connection_for_another_request(step: int) -> None:
    one = connection(b"HEAD")
    feed(one, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", step)
    assert await whole(one) == b""
    assert one.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nh",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nh",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nh",
    ],
)
async def test_an_answer_that_says_close_ends_the_connection(raw: bytes, step: int) -> None:
    one = connection()
    feed(one, raw, step)
    assert await whole(one) == b"h"
    assert not one.reusable


@pytest.mark.parametrize("cut", [20, 45, 50, 62])
async def test_a_connection_that_ends_early_is_an_error_whatever_has_come(cut: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    one = connection()
    feed(one, raw[:cut])
    one.connection_lost(None)
    with pytest.raises(OriginError) as failed:
        await whole(one)
    assert failed.value.reason is Reason.TRUNCATED
    assert failed.value.retryable


async def test_bytes_on_an_idle_connection_close_it() -> None:
    one = connection()
    feed(one, GOOD["length"][0])
    await whole(one)
    one.rest(0.0)
    feed(one, b"H")
    assert one.closed


async def test_waiting_for_a_head_can_be_cancelled_and_nothing_waits_on() -> None:
    one = connection()
    waiting = asyncio.ensure_future(one.head(60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    feed(one, GOOD["length"][0])
    assert await whole(one) == b"hello"


@pytest.mark.parametrize(
    ("field", "most"),
    [(b"timeout=5", 4.0), (b"max=100, Timeout=15", 14.0), (b"timeout=0", 0.0), (b"timeout=9999", 75.0), (b"x", 75.0)],
)
async def test_an_upstream_that_says_when_it_closes_is_left_in_time(field: bytes, most: float) -> None:
    one = connection()
    feed(one, b"HTTP/1.1 200 OK\r\nKeep-Alive: " + field + b"\r\nContent-Length: 1\r\n\r\nh")
    await whole(one)
    assert one.idle_most == most
