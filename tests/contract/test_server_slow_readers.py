"""What readers that do not read cost: memory, and nobody else's time."""

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.server.exchange import Exchange
from edge.server.tls import make_server_context
from edge.words import KIB, MIB
from tests.support.certs import make_cert
from tests.support.loops import both_loops
from tests.support.serverbench import Bench, FileSource, ServedFile, ok, server_bench, until

SIZE = 50 * MIB


class Sparse(ServedFile):
    """50 MB of zeros that are on no disk; `view` gives them from one mapping, as a pack's does."""

    def __init__(self) -> None:
        super().__init__(b"")
        os.ftruncate(self.fileno(), SIZE)
        self._view = memoryview(bytes(SIZE))
        self._viewed = SIZE


def resident() -> int:
    """This process's RSS in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def slow_bench(certificates: object = None) -> AsyncIterator[tuple[Bench, list[FileSource]]]:
    file = Sparse()
    sources: list[FileSource] = []

    def answer(exchange: Exchange) -> None:
        sources.append(FileSource(file, SIZE))
        exchange.respond(ok(SIZE), sources[-1], length=SIZE)

    async with server_bench(answer, certificates=certificates) as bench:  # type: ignore[arg-type]
        yield bench, sources


async def ask(address: tuple[str, int]) -> socket.socket:
    """A plain socket that has asked and will not read: no buffers of an event loop are in the way."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
    sock.setblocking(False)
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, b"GET /film HTTP/1.1\r\nHost: a\r\n\r\n")
    return sock


def all_stuck(bench: Bench, count: int) -> bool:
    return sum(connection.paused for connection in bench.listener._service.open) == count  # type: ignore[attr-defined]


@both_loops
async def test_five_hundred_slow_readers_of_fifty_megabytes_cost_little_each_and_no_window_more() -> None:
    async with slow_bench() as (bench, sources):
        first = await ask(bench.address)
        await until(lambda: all_stuck(bench, 1))
        gc.collect()
        before = resident()
        sockets = [await ask(bench.address) for _ in range(500)]
        await until(lambda: all_stuck(bench, 501))
        gc.collect()
        each = (resident() - before) / 500
        assert each <= 256 * KIB, f"{each / KIB:.1f} KiB per slow reader"
        # None of them is ahead by more than what the kernel holds for it and one window.
        assert max(source.at for source in sources) <= 12 * MIB
        client = await bench.connect()  # and the next one is served as if they were not there
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer("HEAD")).status == 200
        for sock in [first, *sockets]:
            sock.close()


@both_loops
async def test_fifty_slow_readers_over_tls_cost_less_than_a_megabyte_each(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cert.cert)

    def ask_and_stop(address: tuple[str, int]) -> ssl.SSLSocket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
        sock.connect(address)
        tls = context.wrap_socket(sock, server_hostname="a.example")
        tls.sendall(b"GET /film HTTP/1.1\r\nHost: a\r\n\r\n")
        return tls

    async with slow_bench(make_server_context([cert])) as (bench, _):
        first = await asyncio.to_thread(ask_and_stop, bench.address)
        await until(lambda: all_stuck(bench, 1))
        gc.collect()
        before = resident()
        sockets = [await asyncio.to_thread(ask_and_stop, bench.address) for _ in range(50)]
        await until(lambda: all_stuck(bench, 51))
        gc.collect()
        each = (resident() - before) / 50  # the clients' own TLS state, in this process, included
        assert each <= MIB, f"{each / KIB:.1f} KiB per slow reader"
        for sock in [first, *sockets]:
            sock.close()


@pytest.mark.parametrize("rounds", [3])
@both_loops
async def test_slow_readers_that_leave_give_everything_back(rounds: int) -> None:
    async with slow_bench() as (bench, sources):
        for _ in range(rounds):
            sockets = [await ask(bench.address) for _ in range(50)]
            await until(lambda: all_stuck(bench, 50))
            for sock in sockets:
                sock.close()
            await until(lambda: bench.listener.connections == 0)
        assert all(source.closed == 1 for source in sources)
        assert len(bench.ended) == rounds * 50
