"""The accept loop: its limits, and what happens when descriptors run out."""

import asyncio
import encodings.idna  # noqa: F401 - resolving a name loads it, for which no descriptor may be left
import errno
import os
import resource
import socket
from typing import ClassVar

from edge.server.exchange import Exchange
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from tests.support.loops import both_loops
from tests.support.serverbench import Client, ok, server_bench, until

ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(exchange: Exchange) -> None:
    exchange.respond(ok(5), b"hello", length=5)


@both_loops
async def test_beyond_the_limit_connections_wait_until_one_has_gone() -> None:
    async with server_bench(hello, ServerSettings(max_connections=3)) as bench:
        clients = [await bench.connect() for _ in range(5)]
        for client in clients:
            await client.send(ASK)
        for client in clients[:3]:
            assert (await client.answer()).body == b"hello"
        await until(lambda: bench.events[Event.ACCEPT_PAUSED])
        assert bench.listener.connections == 3
        waiting = asyncio.create_task(clients[3].answer())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        await clients[0].close()
        assert (await waiting).body == b"hello"
        await clients[1].close()
        assert (await clients[4].answer()).body == b"hello"


@both_loops
async def test_small_packets_do_not_wait_for_acknowledgements() -> None:
    async with server_bench(hello) as bench:
        client = await bench.connect()
        await client.send(ASK)
        await client.answer()
        (connection,) = bench.listener._service.open
        sock = connection.sock  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@both_loops
async def test_a_burst_of_connections_is_served() -> None:
    async with server_bench(hello) as bench:
        clients = await asyncio.gather(*(bench.connect() for _ in range(100)))
        for client in clients:
            await client.send(ASK)
        for client in clients:
            assert (await client.answer()).body == b"hello"
        assert bench.events[Event.ACCEPTED] == 100


@both_loops
async def test_without_descriptors_clients_are_turned_away_and_the_loop_goes_on() -> None:
    async with server_bench(hello) as bench:
        known = await bench.connect()
        await known.send(ASK)
        await known.answer()
        loop = asyncio.get_running_loop()
        sockets = [socket.socket() for _ in range(3)]
        for sock in sockets:
            sock.setblocking(False)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limit[1]))
        try:
            for sock in sockets:
                await loop.sock_connect(sock, bench.address)
            for sock in sockets:
                assert await loop.sock_recv(sock, 1) == b""
            assert bench.events[Event.NO_DESCRIPTORS] == 3
            await known.send(ASK)
            assert (await known.answer()).body == b"hello"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            for sock in sockets:
                sock.close()
        again = await bench.connect()
        await again.send(ASK)
        assert (await again.answer()).body == b"hello"


@both_loops
async def test_a_client_that_was_reset_before_it_was_accepted_harms_nobody() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    gone = socket.create_connection(sock.getsockname())
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gone.close()
    async with server_bench(hello, sock=sock) as bench:
        client = await bench.connect()
        await client.send(ASK)
        assert (await client.answer()).body == b"hello"
        await until(lambda: bench.listener.connections == 1)


class Faulty(socket.socket):
    """A listening socket whose next accepts fail as they are told to."""

    faults: ClassVar[list[OSError]] = []
    thief: ClassVar[list[int]] = []

    def accept(self) -> tuple[socket.socket, object]:
        if self.faults:
            fault = self.faults.pop(0)
            if fault.errno == errno.EMFILE and not self.faults:
                self.thief.append(os.dup(0))  # somebody is quicker than we to take the reserve's place
            raise fault
        return super().accept()


@both_loops
async def test_connections_that_died_in_the_backlog_do_not_stop_the_accepting() -> None:
    sock = Faulty(socket.AF_INET)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sock.faults = [OSError(errno.ECONNABORTED, "gone"), OSError(errno.EPROTO, "gone"), InterruptedError()]  # type: ignore[misc]
    async with server_bench(hello, sock=sock) as bench:
        client = await bench.connect()
        await client.send(ASK)
        assert (await client.answer()).body == b"hello"


@both_loops
async def test_without_even_a_reserve_accepting_pauses_until_a_descriptor_is_free() -> None:
    sock = Faulty(socket.AF_INET)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    sock.faults = [OSError(errno.EMFILE, "full"), OSError(errno.EMFILE, "full")]  # type: ignore[misc]
    sock.thief = []  # type: ignore[misc]
    async with server_bench(hello, sock=sock) as bench:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        reader_side = socket.socket()
        reader_side.setblocking(False)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limit[1]))
        try:
            await asyncio.get_running_loop().sock_connect(reader_side, bench.address)
            await until(lambda: bench.events[Event.NO_DESCRIPTORS] and sock.thief)
            assert not bench.listener._accepting
            assert bench.listener._reserve is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            os.close(sock.thief.pop())
        await until(lambda: bench.listener._accepting)  # by the next tick
        reader, writer = await asyncio.open_connection(sock=reader_side)
        bench.clients.append(Client(reader, writer))
        await bench.clients[0].send(ASK)
        assert (await bench.clients[0].answer()).body == b"hello"


@both_loops
async def test_stop_leaves_running_connections_alone() -> None:
    async with server_bench(hello) as bench:
        client = await bench.connect()
        await client.send(ASK)
        await client.answer()
        bench.listener.stop()
        bench.listener.stop()
        await client.send(ASK)
        assert (await client.answer()).body == b"hello"
        refused = False
        try:
            await bench.connect()
        except OSError:
            refused = True
        assert refused
