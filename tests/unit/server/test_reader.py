"""The reader alone: what becomes of bytes, however they are cut."""

import pytest

from edge.server.reader import Hosts, RequestReader
from edge.server.settings import ServerSettings

ONE = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def reader(settings: ServerSettings | None = None) -> RequestReader:
    return RequestReader(settings or ServerSettings(), Hosts(), "192.0.2.1", False)


def test_a_request_is_there_with_its_last_byte_and_not_before() -> None:
    under = reader()
    for at in range(len(ONE) - 1):
        under.feed(ONE[at : at + 1], float(at))
        assert not under.waiting
        assert under.started_at == 0.0
        assert under.raw == at + 1
    under.feed(ONE[-1:], 99.0)
    (request,) = under.waiting
    assert (request.method, request.target, request.received_at) == (b"GET", b"/a", 99.0)
    assert under.started_at is None
    assert under.raw == 0


def test_bytes_after_a_request_belong_to_the_next() -> None:
    under = reader()
    under.feed(ONE + ONE[:5], 1.0)
    assert len(under.waiting) == 1
    assert under.raw == 5
    assert under.started_at == 1.0
    under.feed(ONE[5:], 2.0)
    assert len(under.waiting) == 2


def test_no_more_requests_are_parsed_than_may_wait() -> None:
    under = reader(ServerSettings(pipeline_limit=3))
    under.feed(ONE * 10, 0.0)
    assert len(under.waiting) == 3
    assert under.full
    assert under.raw == 7 * len(ONE)
    under.waiting.clear()
    under.read_on(0.0)
    assert len(under.waiting) == 3
    under.feed(ONE, 0.0)
    assert under.raw == 5 * len(ONE)


def test_nothing_is_read_after_a_fault() -> None:
    under = reader()
    under.feed(ONE + b"rubbish\r\n\r\n" + ONE, 0.0)
    assert len(under.waiting) == 1
    assert under.refusal is not None
    assert under.refusal.status == 400
    under.feed(ONE, 0.0)
    assert len(under.waiting) == 1
    assert under.raw == 0


def test_nothing_is_read_after_a_request_that_closes() -> None:
    under = reader()
    under.feed(b"GET / HTTP/1.0\r\n\r\n" + ONE + b"rubbish\r\n\r\n", 0.0)
    assert len(under.waiting) == 1
    under.feed(ONE, 0.0)
    assert len(under.waiting) == 1
    assert under.refusal is None
    assert under.raw == 0


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"connection: CLOSE\r\n", False),
        (b"1.1", b"Connection: foo, close\r\n", False),
        (b"1.1", b"Connection: foo\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: closed\r\n", True),
        (b"1.1", b"Connection: keep-alive, close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"Connection: Keep-Alive, foo\r\n", True),
        (b"1.0", b"Connection: close\r\n", False),
    ],
)
def test_who_stays_after_the_answer(version: bytes, connection: bytes, kept: bool) -> None:
    under = reader()
    under.feed(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, connection), 0.0)
    assert under.waiting[0].keep_alive is kept


def test_a_kept_http_1_0_connection_reads_on() -> None:
    under = reader()
    under.feed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 3, 0.0)
    assert len(under.waiting) == 3


def test_an_upgrade_that_nobody_wants_does_not_stop_the_reading() -> None:
    under = reader()
    under.feed(b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + ONE, 0.0)
    under.feed(ONE, 0.0)
    assert [request.target for request in under.waiting] == [b"/1", b"/a", b"/a"]


@pytest.mark.parametrize("size", [8192, 8193])
def test_the_request_line_has_its_limit_to_the_byte(size: int) -> None:
    line = b"GET /" + b"x" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"
    assert len(line) == size
    under = reader()
    under.feed(line + b"\r\nHost: a\r\n\r\n", 0.0)
    if size == 8192:
        assert len(under.waiting) == 1
    else:
        assert under.refusal is not None
        assert under.refusal.status == 414


@pytest.mark.parametrize("size", [16384, 16385])
def test_the_head_has_its_limit_to_the_byte(size: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 8000 + b"\r\nB: " + b"x" * 4000 + b"\r\nC: "
    head += b"x" * (size - len(head) - 4) + b"\r\n\r\n"
    assert len(head) == size
    under = reader()
    under.feed(head, 0.0)
    if size == 16384:
        assert len(under.waiting) == 1
    else:
        assert under.refusal is not None
        assert under.refusal.status == 431


def test_an_endless_field_is_refused_long_before_its_end() -> None:
    under = reader()
    under.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 0.0)
    for _ in range(3):
        under.feed(b"x" * 4096, 0.0)
    assert under.refusal is not None
    assert under.refusal.status == 431
    assert under.raw == 0


@pytest.mark.parametrize("early", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\n", b"\x16\x03\x01", b"\n", b"\rX"])
def test_what_no_further_byte_can_make_good_is_refused_at_once(early: bytes) -> None:
    under = reader()
    under.feed(early, 0.0)
    assert under.refusal is not None


def test_empty_lines_before_a_request_are_forgiven_a_few_times() -> None:
    under = reader()
    under.feed(b"\r", 0.0)
    under.feed(b"\n\r\n" + ONE, 0.0)
    assert len(under.waiting) == 1
    under.feed(b"\r\n" * 8 + ONE, 0.0)
    assert len(under.waiting) == 2
    under.feed(b"\r\n" * 9, 0.0)
    assert under.refusal is not None


def test_hosts_are_judged_and_remembered_within_bounds() -> None:
    hosts = Hosts()
    for number in range(3000):
        assert hosts.valid(b"h%d.example" % number)
    assert hosts.valid(b"h" * 5000)
    assert len(hosts._good) <= 1024
    assert max(len(host) for host in hosts._good) <= 255
    for good in (b"a", b"a:80", b"a:", b"127.0.0.1", b"[::1]", b"[::1]:8080", b"%41.example", b"a_b"):
        assert hosts.valid(good)
        assert hosts.valid(good)
    for bad in (
        b"",
        b":80",
        b"a b",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a@b",
        b"[::1",
        b"::1",
        b"a:8x",
        b"a:123456",
        b"%4",
        b"\xc3",
    ):
        assert not hosts.valid(bad), bad


def test_its_state_can_be_seen() -> None:
    under = reader()
    under.feed(ONE.replace(b" /a ", b" /a?token=secret ") + b"GE", 0.0)
    assert repr(under) == "<RequestReader waiting=1 raw=2 refusal=None>"
    assert repr(under.waiting[0]) == "<Request b'GET' b'/a?' 1.1 fields=1>", "a token may be in the query"


@pytest.mark.parametrize("method", [b"FROB", b"GETX", b"X-COPY", b"UPDATEREDIRECTREF", b"A" * 32])
def test_a_method_that_nobody_knows_is_read_as_it_is(method: bytes) -> None:
    under = reader()
    under.feed(b"%s /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" % method + ONE, 0.0)
    odd, plain = under.waiting
    assert (odd.method, odd.target, odd.fields) == (method, b"/a", [(b"Host", b"a"), (b"X", b"y")])
    assert (plain.method, plain.target) == (b"GET", b"/a")


@pytest.mark.parametrize(
    "line", [b"F OB / HTTP/1.1", b"F\x01 / HTTP/1.1", b"FROB  / HTTP/1.1", b"FROB\t/ HTTP/1.1", b"F/ / HTTP/1.1"]
)
def test_what_is_no_method_is_refused(line: bytes) -> None:
    under = reader()
    under.feed(line + b"\r\nHost: a\r\n\r\n", 0.0)
    assert not under.waiting
    assert under.refusal is not None


def test_the_rest_of_a_request_with_an_unknown_method_is_read_as_strictly() -> None:
    for bad in (b"X : y", b" folded", b"no colon", b"Host: b", b"X: a\rb"):
        under = reader()
        under.feed(b"FROB / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % bad, 0.0)
        assert not under.waiting, bad
        assert under.refusal is not None
