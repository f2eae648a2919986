"""Requests over real sockets, on both loops: what is answered, in which order, and what is refused."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from edge.server.exchange import Exchange, Outcome
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from tests.support.loops import both_loops
from tests.support.serverbench import FileSource, ServedFile, ok, server_bench, until


def echo(exchange: Exchange) -> None:
    exchange.respond(ok(len(exchange.request.target)), exchange.request.target, length=len(exchange.request.target))


@both_loops
async def test_a_connection_is_kept_and_used_again() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        for target in ("/one", "/two", "/three"):
            answer = await client.get(target)
            assert (answer.status, answer.body) == (200, target.encode())
            assert "connection" not in answer.fields
        assert bench.events[Event.ACCEPTED] == 1
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.DONE] * 3


@both_loops
async def test_the_request_says_who_asks_and_when() -> None:
    seen: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        seen.append(exchange)
        echo(exchange)

    async with server_bench(answer) as bench:
        client = await bench.connect()
        await client.get("/a?b", b"X-One: 1\r\nx-one: 2 \t\r\nIf-None-Match: *\r\n")
        request = seen[0].request
        assert (request.method, request.target, request.minor, request.host) == (b"GET", b"/a?b", 1, b"a")
        assert request.peer == "127.0.0.1"
        assert not request.secure
        assert request.received_at == bench.clock.monotonic()
        assert request.fields[1] == (b"X-One", b"1")
        assert request.get(b"x-one") == b"1"
        assert request.get_all(b"x-one") == [b"1", b"2"]
        assert request.get(b"range") is None
        assert request.get_all(b"range") == []
        assert request.conditional


@both_loops
async def test_connection_close_is_obeyed_and_said() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        answer = await client.get("/x", b"Connection: Close\r\n")
        assert answer.fields["connection"] == "close"
        assert await client.closed()


@pytest.mark.parametrize(("asked", "kept"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
@both_loops
async def test_http_1_0_stays_only_if_it_asked_to(asked: bytes, kept: bool) -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.send(b"GET /x HTTP/1.0\r\n%s\r\n" % asked)
        answer = await client.answer()
        assert answer.body == b"/x"
        assert answer.fields["connection"] == ("keep-alive" if kept else "close")
        if kept:
            assert (await client.get("/y")).body == b"/y"
        else:
            assert await client.closed()


@both_loops
async def test_a_connection_ends_after_its_number_of_requests() -> None:
    async with server_bench(echo, ServerSettings(max_requests=2)) as bench:
        client = await bench.connect()
        assert "connection" not in (await client.get("/1")).fields
        assert (await client.get("/2")).fields["connection"] == "close"
        assert await client.closed()


@both_loops
async def test_head_is_told_what_get_would_be_and_gets_no_body() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(ok(5), b"12345", length=5)

    async with server_bench(answer) as bench:
        client = await bench.connect()
        by_get = await client.get("/x")
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        by_head = await client.answer("HEAD")
        assert by_head.fields == by_get.fields
        assert (await client.get("/x")).body == b"12345"  # nothing was left in between


@both_loops
async def test_head_of_unknown_length_has_the_same_fields_and_no_chunks() -> None:
    async with server_bench(lambda exchange: exchange.respond(ok(), b"12345", length=None)) as bench:
        client = await bench.connect()
        by_get = await client.get("/x")
        assert by_get.body == b"12345"
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer("HEAD")).fields == by_get.fields
        assert (await client.get("/x")).body == b"12345"


@both_loops
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
        assert [(await client.answer()).body for _ in range(50)] == [b"/%d" % number for number in range(50)]


@both_loops
async def test_eight_thousand_pipelined_requests_wait_in_a_short_queue() -> None:
    longest = depth = deepest = 0

    def answer(exchange: Exchange) -> None:
        nonlocal longest, depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        longest = max(longest, len(exchange.request.connection._reader.waiting))  # type: ignore[attr-defined]
        echo(exchange)
        depth -= 1

    async with server_bench(answer) as bench:
        client = await bench.connect()
        wanted = [b"/%d" % number for number in range(8000)]
        sending = asyncio.create_task(
            client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target for target in wanted))
        )
        assert [(await client.answer()).body for _ in wanted] == wanted
        await sending
        assert longest < 16
        assert deepest == 1


@both_loops
async def test_reading_pauses_while_requests_wait() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect(limit=1 << 22)
        one = b"GET /%06d HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n"
        flood = b"".join(one % (number, b"x" * 4000) for number in range(2000))  # 8 MB: more than sockets hold
        sending = asyncio.create_task(client.send(flood))
        await until(lambda: held)
        reader = held[0].request.connection._reader  # type: ignore[attr-defined]
        await until(lambda: reader.full)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(reader.waiting) == 16
        assert reader.raw <= 128 * 1024
        assert not sending.done()
        for number in range(2000):
            await until(lambda: held)
            echo(held.pop())
            assert (await client.answer()).body == b"/%06d" % number
        await sending


@both_loops
async def test_an_answer_may_come_later_and_the_next_request_waits_for_it() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: held)
        assert bench.listener.active == 1
        assert len(held) == 1
        echo(held[0])
        assert (await client.answer()).body == b"/1"
        await until(lambda: len(held) == 2)
        echo(held[1])
        assert (await client.answer()).body == b"/2"
        assert bench.listener.active == 0


REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "two Hosts"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "a Host with a space"),
    (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400, "an empty Host"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "a Host with a path"),
    (b"GET / HTTP/1.0\r\nHost: a@b\r\n\r\n", 400, "a bad Host in 1.0"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400, "a body"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "a chunked body"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400, "any transfer coding"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400, "two lengths"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n", 400, "a signed length"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/2.0"),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "HTTP/1.2"),
    (b"GET / HTTP/0.9\r\n\r\n", 505, "HTTP/0.9 with a version"),
    (b"GET /\r\n\r\n", 400, "HTTP/0.9"),
    (b"OPTIONS * RTSP/1.0\r\n\r\n", 400, "RTSP"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "the HTTP/2 preface"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "two spaces"),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "a space at the line's end"),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a small method"),
    (b"FR{OB / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "no method"),
    (b"%s / HTTP/1.1\r\nHost: a\r\n\r\n" % (b"F" * 33), 400, "a long method"),
    (b"PLAY / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a method of another protocol"),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "a byte in the target"),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bare LF"),
    (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, "one bare LF"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, "obs-fold"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n", 400, "obs-fold with a tab"),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "a space before the first field"),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "a space before the colon"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nNonsense\r\n\r\n", 400, "no colon"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "no name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400, "NUL"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bare CR"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "TLS on the plain port"),
    (b"\r\n" * 20 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "empty lines without end"),
    (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 8200), 414, "a long line"),
    (b"GET /%s" % (b"x" * 8200), 414, "a long line without end"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"x" * 8200), 431, "a long field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: %s\r\n" % (b"x" * 4000)) * 5, 431, "a long head without end"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431, "101 fields"),
]


@pytest.mark.parametrize(("raw", "status", "what"), REFUSED, ids=[what for _, _, what in REFUSED])
@both_loops
async def test_what_is_not_good_http_is_refused_and_the_connection_closed(raw: bytes, status: int, what: str) -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.send(raw)
        answer = await client.answer()
        assert answer.status == status, what
        assert answer.fields["connection"] == "close"
        assert answer.body
        assert await client.closed()
        assert bench.ended == []
        assert bench.events[Event.BAD_REQUEST] == 1


GOOD = [
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 99 + b"\r\n",
    b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 8100),
    b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    b"GET / HTTP/1.1\r\nHOST:a.example:80  \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n",
    b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"X-FROB / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
]


@pytest.mark.parametrize("raw", GOOD)
@both_loops
async def test_what_is_unusual_but_right_is_served_and_the_connection_kept(raw: bytes) -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.send(raw)
        assert (await client.answer()).status == 200
        assert (await client.get("/next")).body == b"/next"


@both_loops
async def test_good_requests_before_a_bad_one_are_answered_first() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nrubbish\r\n\r\n")
        await until(lambda: held)
        echo(held[0])
        await until(lambda: len(held) == 2)
        echo(held[1])
        assert [(await client.answer()).body for _ in range(2)] == [b"/1", b"/2"]
        assert (await client.answer()).status == 400
        assert await client.closed()


@both_loops
async def test_a_client_that_sends_on_can_still_read_its_refusal() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        client.writer.write(b"PUT /film HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")
        sent = asyncio.create_task(client.send(b"x" * 9_000_000))  # more than the sockets' buffers
        assert (await client.answer()).status == 400
        assert await client.closed()
        await sent  # dropped, not reset
        await client.close()
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_nothing_after_a_closing_request_is_answered() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"/1"
        assert await client.closed()


@both_loops
async def test_a_half_closed_connection_gets_all_its_answers() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.writer.write_eof()
        await until(lambda: held)
        await asyncio.sleep(0)
        echo(held[0])
        assert (await client.answer()).body == b"/1"
        await until(lambda: len(held) == 2)
        echo(held[1])
        last = await client.answer()
        assert last.body == b"/2"
        assert last.fields["connection"] == "close"
        assert await client.closed()
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.DONE] * 2


@both_loops
async def test_a_client_that_closes_between_requests_leaves_nothing() -> None:
    async with server_bench(echo) as bench:
        client = await bench.connect()
        await client.get("/x")
        await client.close()
        await until(lambda: bench.listener.connections == 0)
        assert bench.events[Event.CLIENT_LEFT] == 0


@both_loops
async def test_a_client_that_leaves_while_it_waits_is_noticed() -> None:
    gone: list[str] = []
    held: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        exchange.on_gone = lambda: gone.append("gone")
        held.append(exchange)

    async with server_bench(answer) as bench:
        client = await bench.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: held)
        client.reset()
        await until(lambda: gone)
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.CLIENT_LEFT]
        assert not held[0].open
        held[0].respond(ok(0), b"", length=0)  # nobody is there: nothing happens
        held[0].resume()
        held[0].abort()
        assert gone == ["gone"]
        assert len(bench.ended) == 1


@both_loops
async def test_a_client_that_closed_and_may_still_read_is_noticed_by_the_first_bytes() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: held)
        client.leave()
        await until(lambda: held[0].request.connection._eof)  # type: ignore[attr-defined]
        source = FileSource(ServedFile(bytes(20 << 20)))
        held[0].respond(ok(20 << 20), source, length=20 << 20)
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.CLIENT_LEFT
        assert source.closed == 1


@both_loops
async def test_a_failing_handler_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    def answer(exchange: Exchange) -> None:
        raise RuntimeError("a bug")

    async with server_bench(answer) as bench:
        client = await bench.connect()
        assert (await client.get("/x")).status == 500
        assert await client.closed()
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.BROKEN]
        assert bench.events[Event.HANDLER_FAILED] == 1
    assert "a bug" in caplog.text


async def echoes_twice(answer: Callable[[Exchange], None]) -> None:
    """On one connection."""
    async with server_bench(answer) as bench:
        client = await bench.connect()
        for target in ("/x", "/y"):
            assert (await client.get(target)).body == target.encode()


@both_loops
async def test_a_handler_that_fails_after_its_answer_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(exchange: Exchange) -> None:
        echo(exchange)
        raise RuntimeError("a late bug")

    await echoes_twice(answer)
    assert "a late bug" in caplog.text


@both_loops
async def test_a_wrong_length_is_a_handlers_fault_and_nothing_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server_bench(lambda exchange: exchange.respond(ok(6), b"12345", length=6)) as bench:
        client = await bench.connect()
        assert (await client.get("/x")).status == 500
    assert "6 are promised" in caplog.text


@both_loops
async def test_who_is_told_of_an_end_and_fails_does_not_break_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(exchange: Exchange) -> None:
        raise RuntimeError("the log is full")

    def answer(exchange: Exchange) -> None:
        exchange.on_closed = fail
        echo(exchange)

    await echoes_twice(answer)
    assert "the log is full" in caplog.text


@both_loops
async def test_ipv6_and_a_mapped_address_are_told_apart() -> None:
    seen: list[str] = []

    def answer(exchange: Exchange) -> None:
        seen.append(exchange.request.peer)
        echo(exchange)

    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    async with server_bench(answer, sock=sock) as bench:
        for host in ("::1", "127.0.0.1"):
            bench.address = host, bench.address[1]
            await (await bench.connect()).get("/")
    assert seen == ["::1", "127.0.0.1"]


@both_loops
async def test_a_unix_socket_serves_as_well(tmp_path: object) -> None:
    sock = socket.socket(socket.AF_UNIX)
    path = f"{tmp_path}/s"
    sock.bind(path)
    sock.listen()
    async with server_bench(echo, sock=sock) as bench:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n/u")
        writer.close()
        await writer.wait_closed()
        await until(lambda: bench.listener.connections == 0)
