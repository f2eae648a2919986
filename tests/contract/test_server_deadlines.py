"""Deadlines and the end of a listener, over real sockets and on both loops. Time is the test's own."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from edge.server.exchange import Exchange, Outcome
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from edge.words import MIB
from tests.support.loops import both_loops
from tests.support.serverbench import Bench, Client, FileSource, ServedFile, ok, server_bench, until

ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(exchange: Exchange) -> None:
    exchange.respond(ok(5), b"hello", length=5)


async def read_by_server(bench: Bench, nbytes: int) -> None:
    """Until the only connection has this many bytes of an unfinished head."""
    await until(lambda: bench.listener._service.open)
    (connection,) = bench.listener._service.open
    await until(lambda: connection._reader.raw == nbytes)  # type: ignore[attr-defined]


@both_loops
async def test_a_head_must_be_complete_ten_seconds_after_its_first_byte_however_it_dribbles() -> None:
    async with server_bench(hello) as bench:
        client = await bench.connect()
        for number, byte in enumerate(ASK[:10]):
            await client.send(bytes([byte]))
            await read_by_server(bench, number + 1)
            bench.pass_time(0.99)
        assert bench.events[Event.HEAD_TIMEOUT] == 0
        bench.pass_time(0.2)
        answer = await client.answer()
        assert answer.status == 408
        assert answer.fields["connection"] == "close"
        assert await client.closed()
        assert bench.events[Event.HEAD_TIMEOUT] == 1


@both_loops
async def test_the_deadline_of_the_next_head_begins_when_its_turn_has_come() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(ASK + ASK[:8])
        await until(lambda: held)
        bench.pass_time(60)  # the answer takes its time, and the half head is not to blame
        hello(held[0])
        assert (await client.answer()).body == b"hello"
        bench.pass_time(9)
        await client.send(ASK[8:])
        await until(lambda: len(held) == 2)
        hello(held[1])
        assert (await client.answer()).body == b"hello"


@both_loops
async def test_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    async with server_bench(hello) as bench:
        client = await bench.connect()
        silent = await bench.connect()
        await client.send(ASK)
        await client.answer()
        await until(lambda: bench.listener.connections == 2)
        bench.pass_time(74)
        await client.send(ASK)
        assert (await client.answer()).body == b"hello"
        bench.pass_time(1.5)
        assert await silent.closed()
        assert bench.events[Event.IDLE_TIMEOUT] == 1
        bench.pass_time(73)
        assert bench.events[Event.IDLE_TIMEOUT] == 1
        bench.pass_time(1)
        assert await client.closed()
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_a_client_that_does_not_close_after_the_last_answer_is_waited_for_five_seconds() -> None:
    async with server_bench(hello) as bench:
        client = await bench.connect()
        await client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"hello"
        assert await client.closed()  # our side is shut; the client's is not
        bench.pass_time(4.9)
        await asyncio.sleep(0)
        assert bench.listener.connections == 1
        bench.pass_time(0.2)
        await until(lambda: bench.listener.connections == 0)


def giving(source: FileSource) -> Callable[[Exchange], None]:
    """A handler that answers with the whole of a file."""
    return lambda exchange: exchange.respond(ok(source.size), source, length=source.size)


async def stuck(bench: Bench) -> Client:
    """A client with a small receive buffer that reads nothing, while a large answer is on its way to it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, bench.address)
    reader, writer = await asyncio.open_connection(sock=sock)
    client = Client(reader, writer)
    bench.clients.append(client)
    await client.send(ASK)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: bench.listener.active)
    (connection,) = bench.listener._service.open
    await until(lambda: connection.paused)  # type: ignore[attr-defined]
    return client


@both_loops
async def test_a_reader_that_takes_nothing_for_a_span_is_cut_off_and_counted() -> None:
    source = FileSource(ServedFile(bytes(20 * MIB)))
    async with server_bench(giving(source)) as bench:
        client = await stuck(bench)
        bench.pass_time(1)
        bench.pass_time(29.5)
        assert bench.events[Event.SLOW_READER] == 0
        bench.pass_time(1)
        assert bench.events[Event.SLOW_READER] == 1
        assert bench.ended[0].outcome is Outcome.SLOW
        assert 0 < bench.ended[0].body_bytes_sent < 20 * MIB  # what the kernel took
        assert source.closed == 1
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await client.rest_or_reset() is None
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_a_slow_but_steady_reader_is_served_to_the_end() -> None:
    size = 12 * MIB
    source = FileSource(ServedFile(bytes(size)))
    settings = ServerSettings(min_drain_rate=64 * 1024)
    async with server_bench(giving(source), settings) as bench:
        client = await stuck(bench)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.head()
        left = size
        while left:
            left -= len(await client.reader.readexactly(min(left, 3 * MIB)))
            for _ in range(29):
                bench.pass_time(1)  # 3 MiB in 29 s: 1.6 times the least rate
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.DONE
        assert bench.events[Event.SLOW_READER] == 0


@both_loops
async def test_a_body_that_waits_for_its_source_is_nobodys_slowness() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(ASK)
        await until(lambda: held)
        for _ in range(10):
            bench.pass_time(60)
        hello(held[0])
        assert (await client.answer()).body == b"hello"
        assert bench.events[Event.SLOW_READER] == bench.events[Event.IDLE_TIMEOUT] == 0


# -- the end of a listener -----------------------------------------------------------------------


@both_loops
async def test_a_drain_closes_idle_connections_at_once() -> None:
    async with server_bench(hello) as bench:
        clients = [await bench.connect() for _ in range(20)]
        for client in clients:
            await client.send(ASK)
            assert (await client.answer()).body == b"hello"
        loop = asyncio.get_running_loop()
        started = loop.time()
        closing = [asyncio.create_task(client.closed()) for client in clients]
        assert await bench.listener.drain(30.0) == 0
        assert loop.time() - started < 0.9
        assert all(await asyncio.gather(*closing))
        with pytest.raises(ConnectionRefusedError):
            await bench.connect()


@both_loops
async def test_a_drain_lets_running_answers_finish_and_says_close() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client, late = await bench.connect(), await bench.connect()
        await client.send(ASK + ASK)
        await late.send(ASK[:10])
        await until(lambda: held)
        await until(lambda: bench.listener.connections == 2)
        draining = asyncio.create_task(bench.listener.drain(30.0))
        await until(lambda: bench.listener._service.draining)
        hello(held[0])
        answer = await client.answer()
        assert answer.body == b"hello"
        assert answer.fields["connection"] == "close"
        assert await client.closed()
        await late.send(ASK[10:])  # a request that had begun is heard
        await until(lambda: len(held) == 2)
        hello(held[1])
        assert (await late.answer()).fields["connection"] == "close"
        await client.close()
        await late.close()
        assert await draining == 0
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.DONE] * 2


@both_loops
async def test_a_drain_cuts_what_has_not_finished_in_time() -> None:
    held: list[Exchange] = []
    async with server_bench(held.append) as bench:
        client = await bench.connect()
        await client.send(ASK)
        await until(lambda: held)
        assert await bench.listener.drain(0.05) == 1
        assert await client.rest_or_reset() is None
        assert bench.ended[0].outcome is Outcome.CUT
        assert bench.events[Event.DRAIN_CUT] == 1
        assert bench.listener.connections == 0


@both_loops
async def test_an_answer_that_had_promised_to_stay_closes_when_the_server_drains() -> None:
    size = 20 * MIB
    source = FileSource(ServedFile(bytes(size)))
    async with server_bench(giving(source)) as bench:
        client = await stuck(bench)
        draining = asyncio.create_task(bench.listener.drain(30.0))
        await until(lambda: bench.listener._service.draining)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.answer()).body) == size
        assert await client.closed()
        assert await draining == 0
        assert bench.ended[0].outcome is Outcome.DONE
