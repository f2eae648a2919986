"""The origin client on its own: connections, limits, time-outs, cancellation."""

import asyncio
import gc
import os
import socket
from dataclasses import replace

import pytest

from edge.clock import SystemClock
from edge.errors import ConfigError, OriginError
from edge.origin.client import OriginClient, Unobserved
from edge.origin.connection import OriginConnection
from edge.origin.path import PathStatistics
from edge.origin.retry import open_with_retries
from edge.origin.settings import Address, UpstreamRequest
from edge.origin.window import FRESH
from edge.sockets import TCP_NOTSENT_LOWAT, SocketOptions
from edge.words import Reason
from tests.support.fillbench import QUICK
from tests.support.rawserver import Asked, RawServer, Wire, answer

GET = UpstreamRequest(b"GET", b"/a")


async def body(client: OriginClient, request: UpstreamRequest = GET) -> bytes:
    async with client.fetch(request) as response:
        return b"".join([chunk async for chunk in response])


async def fine(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, b"hello"))


def client_for(url: str, **more: object) -> OriginClient:
    return OriginClient(replace(QUICK, url=url, **more), SystemClock())  # type: ignore[arg-type]


async def test_a_thousand_requests_use_one_connection() -> None:
    async with RawServer(fine) as origin:
        client = client_for(origin.url)
        for _ in range(1000):
            assert await body(client) == b"hello"
        assert origin.connections == 1
        await client.close()


async def test_host_and_base_path_are_the_origins() -> None:
    async with RawServer(fine) as origin:
        client = client_for(origin.url + "/base/path/")
        await body(client)
        assert origin.asked[0].target == "/base/path/a"
        assert origin.asked[0].fields["host"] == f"127.0.0.1:{origin.port}"
        other = client_for(origin.url, host_header="films.example")
        await body(other)
        assert origin.asked[1].fields["host"] == "films.example"
        await client.close()
        await other.close()


async def test_no_more_connections_than_allowed_and_a_bounded_queue() -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.send(answer(asked, b"hello"))

    async with RawServer(held) as origin:
        client = client_for(origin.url, max_connections=3, queue_limit=4, queue_timeout=5.0)
        tasks = [asyncio.create_task(body(client)) for _ in range(12)]
        while client.pool.counts[0] < 3 or client.pool.counts[2] < 4:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results.count(b"hello") == 7
        refused = [error for error in results if isinstance(error, OriginError)]
        assert {error.reason for error in refused} == {Reason.QUEUE_FULL}
        assert origin.connections == 3
        assert client.pool.counts == (0, 3, 0)
        await client.close()


async def test_who_waits_too_long_in_line_is_told() -> None:
    async def never(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with RawServer(never) as origin:
        client = client_for(origin.url, max_connections=1, queue_timeout=0.1)
        first = asyncio.create_task(body(client))
        while not origin.asked:
            await asyncio.sleep(0.005)
        with pytest.raises(OriginError) as refused:
            await body(client)
        assert refused.value.reason is Reason.QUEUE_TIMEOUT
        assert refused.value.status == 503
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert client.pool.counts == (0, 0, 0)
        await client.close()


async def test_cancelled_at_any_moment_nothing_leaks() -> None:
    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, b"x" * 1000)
        for at in range(0, len(raw), 100):
            await wire.send(raw[at : at + 100])
            await asyncio.sleep(0.001)

    async with RawServer(slow) as origin:
        client = client_for(origin.url, max_connections=2)
        for steps in range(40):
            task = asyncio.create_task(body(client))
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _ in range(100):
            if client.pool.counts[0] == 0:
                break
            await asyncio.sleep(0.01)
        assert client.pool.counts[0] == 0
        assert len(await body(client)) == 1000
        await client.close()


def far_away(client: OriginClient, round_trip: float = 0.2) -> OriginClient:
    client.pool.path = PathStatistics(0.02)
    client.pool.path.connected(round_trip)
    return client


async def left_after(client: OriginClient, count: int) -> None:
    """Ask, and leave when so many bytes have come; then wait until no connection is in use."""
    got = 0
    async with client.fetch(GET) as response:
        async for chunk in response:
            got += len(chunk)
            if got >= count:
                break
    async with asyncio.timeout(10):
        while client.pool.counts[0]:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("size", "kept"), [(10_000, True), (FRESH, True), (300_000, False)])
async def test_a_far_connection_that_is_left_is_kept_if_the_rest_is_under_way_already(size: int, kept: bool) -> None:
    async def in_two(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, bytes(size))
        await wire.send(raw[:-5000])
        await asyncio.sleep(0.02)
        await wire.send(raw[-5000:])

    async with RawServer(in_two) as origin:
        client = far_away(client_for(origin.url))
        await left_after(client, 1)
        assert client.pool.counts == (0, int(kept), 0)
        if kept:
            assert await body(client) == bytes(size)  # and it is not out of step
            assert origin.connections == 1
        await client.close()


async def test_a_far_connection_whose_rest_does_not_come_soon_is_closed() -> None:
    async def hangs(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, bytes(10_000))[:-10])
        await wire.reader.read()

    async with RawServer(hangs) as origin:
        client = far_away(client_for(origin.url), 0.03)
        await left_after(client, 1)
        assert client.pool.counts == (0, 0, 0)
        await client.close()


async def test_a_near_connection_that_is_left_is_closed_at_once() -> None:
    async def hangs(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, bytes(10_000))[:-10])
        await wire.reader.read()

    async with RawServer(hangs) as origin:
        client = client_for(origin.url)
        async with client.fetch(GET) as response:
            async for _ in response:
                break
        assert client.pool.counts == (0, 0, 0)
        await client.close()


async def test_a_far_answer_that_failed_is_not_waited_for_any_more() -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with RawServer(silent) as origin:
        client = far_away(client_for(origin.url, first_byte_timeout=0.05), 10.0)
        with pytest.raises(OriginError):
            await body(client)
        assert client.pool.counts == (0, 0, 0)
        await client.close()


async def test_surplus_that_comes_when_its_connection_is_used_again_is_nobodys_answer() -> None:
    async def late_surplus(asked: Asked, wire: Wire) -> None:
        if wire.number == 1 and len(origin.asked) == 2:
            await wire.send(b"too much")
        await wire.send(answer(asked, b"hello"))

    async with RawServer(late_surplus) as origin:
        client = client_for(origin.url)
        assert await body(client) == b"hello"
        assert await body(client) == b"hello"
        assert [asked.connection for asked in origin.asked] == [1, 1, 2]
        await client.close()


async def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel makes one now and then of a port of its own range on which nobody listens: an origin that restarts."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def by_chance(sock: socket.socket, to: tuple[str, int]) -> None:
        sock.bind(to)
        await connect(sock, to)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(loop, "sock_connect", by_chance, raising=False)
    client = client_for(f"http://127.0.0.1:{port}")
    with pytest.raises(OriginError) as failed:
        await body(client)
    assert failed.value.reason is Reason.CONNECT_FAILED
    await client.close()


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("what", ["surplus", "end"])
async def test_what_has_come_on_an_idle_connection_is_seen_before_it_is_used_again(what: str, far: bool) -> None:
    wires: list[Wire] = []

    async def remembered(asked: Asked, wire: Wire) -> None:
        wires.append(wire)
        await wire.send(answer(asked, b"hello"))

    async with RawServer(remembered) as origin:
        client = client_for(origin.url)
        if far:
            far_away(client)
        assert await body(client) == b"hello"
        # Past the loop: it has not had the time to tell.
        with socket.socket(fileno=os.dup(wires[0].writer.get_extra_info("socket").fileno())) as sock:
            if what == "surplus":
                sock.send(b"too much")
            else:
                sock.shutdown(socket.SHUT_WR)
        assert await body(client) == b"hello"
        assert [asked.connection for asked in origin.asked] == [1, 2]
        await client.close()


async def test_a_request_goes_on_a_connection_that_was_taken_for_it() -> None:
    async with RawServer(fine) as origin:
        client = far_away(client_for(origin.url, max_connections=16))
        for _ in range(3):
            client.pool.give_back(await client.pool.take(idle_most=0))
        for _ in range(4):
            await client.pool.keep_warm()
        before = client.pool.counts[1]
        connection = client.pool.take_warm()
        assert connection is not None
        async with client.fetch(GET, on=connection) as response:
            assert b"".join([chunk async for chunk in response]) == b"hello"
        assert connection.exchanges == 1
        assert client.pool.counts == (0, before, 0)
        await client.close()


async def test_every_answer_is_understood_byte_by_byte() -> None:
    raws = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ]
    for raw in raws:

        async def drip(asked: Asked, wire: Wire, raw: bytes = raw) -> None:
            for at in range(len(raw)):
                wire.writer.write(raw[at : at + 1])
                await asyncio.sleep(0)

        async with RawServer(drip) as origin:
            client = client_for(origin.url)
            assert await body(client) == b"hello"
            assert await body(client) == b"hello"
            assert origin.connections == 1
            await client.close()


async def test_a_kept_connection_that_died_meanwhile_is_replaced_unseen() -> None:
    async def once(asked: Asked, wire: Wire) -> None:
        if sum(other.connection == asked.connection for other in origin.asked) > 1:
            wire.reset()
        else:
            await wire.send(answer(asked, b"hello"))

    async with RawServer(once) as origin:
        client = client_for(origin.url)
        for _ in range(4):
            assert await body(client) == b"hello"
        await client.close()


async def test_tries_stay_within_their_number_and_their_time() -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with RawServer(silent) as origin:
        client = client_for(origin.url, first_byte_timeout=0.2, total_first_byte=0.5, retries=10)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(OriginError) as failed:
            async with open_with_retries([client], GET, SystemClock()):
                raise AssertionError("there is no answer")
        assert failed.value.status == 504
        assert loop.time() - begun < 2.0
        assert 2 <= len(origin.asked) <= 4
        await client.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example", ("a.example", 80, False, b"", b"a.example")),
        ("https://a.example:8443/x/y/", ("a.example", 8443, True, b"/x/y", b"a.example:8443")),
        ("http://[::1]:81", ("::1", 81, False, b"", b"[::1]:81")),
        ("https://a.example:443/", ("a.example", 443, True, b"", b"a.example")),
    ],
)
def test_where_urls_lead(url: str, expected: tuple[object, ...]) -> None:
    found = Address.of(url)
    assert (found.host, found.port, found.secure, found.base_path, found.authority) == expected


@pytest.mark.parametrize("url", ["", "a.example", "ftp://a", "http://", "http://a:x", "http://a/?q", "http://u@a"])
def test_other_urls_are_refused_with_a_hint(url: str) -> None:
    with pytest.raises(ConfigError, match=r"origin\.url"):
        Address.of(url)


@pytest.mark.parametrize("bad", [b"a\r\nX: y", b"a\nb", b"a\rb", b"a\0b"])
async def test_one_request_never_becomes_two(bad: bytes) -> None:
    async with RawServer(fine) as origin:
        client = client_for(origin.url)
        for request in (UpstreamRequest(b"GET", b"/" + bad), UpstreamRequest(b"GET", b"/", ((b"X", bad),))):
            with pytest.raises(ValueError, match="line break"):
                await body(client, request)
        assert origin.asked == []
        assert client.pool.counts[0] == 0
        await client.close()


async def test_socket_options_are_set_before_the_connection_is_made() -> None:
    async with RawServer(fine) as origin:
        client = client_for(origin.url, sockets=SocketOptions("reno", 65536, 0, 16384))
        async with client.fetch(GET) as response:
            sock = response._connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 65536
            assert sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 16384
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"
        await client.close()


async def test_a_congestion_control_that_this_kernel_does_not_have_fails_nothing() -> None:
    async with RawServer(fine) as origin:
        client = client_for(origin.url, sockets=SocketOptions("nonesuch"))
        assert await body(client) == b"hello"
        await client.close()


HEDGED = replace(GET, hedge=True)


class Hedges(Unobserved):
    """Counts requests that were sent twice."""

    def __init__(self) -> None:
        self.count = 0

    def hedge(self) -> None:
        self.count += 1


class Late:
    """An origin that leaves the first answer to /late waiting."""

    def __init__(self) -> None:
        self.late: list[Wire] = []
        self.release = asyncio.Event()

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        if asked.target == "/late" and not self.late:
            self.late.append(wire)
            await self.release.wait()
        await wire.send(answer(asked, b"hello"))


async def learnt(client: OriginClient) -> None:
    """Enough quick answers, so that a late one is known as late."""
    for _ in range(40):
        assert await body(client, HEDGED) == b"hello"


async def test_a_late_first_byte_is_asked_for_on_another_connection() -> None:
    late = Late()
    async with RawServer(late) as origin:
        client = client_for(origin.url, first_byte_timeout=5.0)
        client.observe(hedges := Hedges())
        await learnt(client)
        assert await body(client, replace(HEDGED, target=b"/late")) == b"hello"
        assert hedges.count == 1
        assert len(origin.asked) == 42
        assert client.pool.counts[0] == 0
        await client.close()


async def test_the_late_answer_wins_when_it_comes_before_the_second_one() -> None:
    late = Late()

    async def release(asked: Asked, wire: Wire) -> None:
        if late.late:
            late.release.set()
            await wire.reader.read()
        await late(asked, wire)

    async with RawServer(release) as origin:
        client = client_for(origin.url, first_byte_timeout=5.0)
        await learnt(client)
        assert await body(client, replace(HEDGED, target=b"/late")) == b"hello"
        assert client.pool.counts[0] == 0
        await client.close()


@pytest.mark.parametrize(("request_may", "upstream_may"), [(False, True), (True, False)])
async def test_what_may_not_be_hedged_waits(request_may: bool, upstream_may: bool) -> None:
    late = Late()
    async with RawServer(late) as origin:
        client = client_for(origin.url, first_byte_timeout=0.5, hedge=upstream_may, retries=0)
        await learnt(client)
        with pytest.raises(OriginError) as failed:
            await body(client, replace(GET, target=b"/late", hedge=request_may))
        assert failed.value.reason is Reason.FIRST_BYTE_TIMEOUT
        assert len(origin.asked) == 41
        await client.close()


async def test_an_upstream_that_is_slow_all_over_is_not_asked_twice_for_everything() -> None:
    slow = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        if slow.is_set():
            await asyncio.sleep(0.2)
        await wire.send(answer(asked, b"hello"))

    async with RawServer(script) as origin:
        client = client_for(origin.url, first_byte_timeout=5.0)
        client.observe(hedges := Hedges())
        await learnt(client)
        slow.set()
        await asyncio.gather(*(body(client, HEDGED) for _ in range(60)))
        assert 1 <= hedges.count <= 0.05 * 100
        await client.close()


async def test_hedging_can_be_cancelled_at_any_moment() -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        if asked.target == "/late":
            await wire.reader.read()
        await wire.send(answer(asked, b"hello"))

    async with RawServer(silent) as origin:
        client = client_for(origin.url, first_byte_timeout=5.0)
        client.observe(hedges := Hedges())
        await learnt(client)
        asking = asyncio.ensure_future(body(client, replace(HEDGED, target=b"/late")))
        while not hedges.count:
            await asyncio.sleep(0.001)
        while client.pool.counts[0] < 2:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert client.pool.counts[0] == 0
        await client.close()


@pytest.mark.parametrize("left", ["by the origin", "by us, in the middle"])
async def test_a_closed_connection_and_the_last_bytes_of_its_body_are_gone_at_once(left: str) -> None:
    """Not when cycles are looked for, which a keeper seldom has to do: losers of hedges had piled up for minutes."""

    async def closes(asked: Asked, wire: Wire) -> None:
        size = 5 if left == "by the origin" else 10
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % size)
        if left == "by the origin":
            wire.close()
        else:
            await wire.reader.read()

    async def begin_and_leave(client: OriginClient) -> None:
        async with client.fetch(GET) as response:
            assert await anext(aiter(response)) == b"hello"

    def connections() -> int:
        return sum(isinstance(each, OriginConnection) for each in gc.get_objects())

    async with RawServer(closes) as origin:
        gc.collect()
        before = connections()
        gc.disable()
        try:
            client = client_for(origin.url)
            for _ in range(5):
                await begin_and_leave(client)
            await client.close()
            async with asyncio.timeout(10):
                while connections() > before:
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()
