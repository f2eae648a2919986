"""Connections that a proxy hands on: the client's own address, before TLS too; nobody else is believed."""

import asyncio
import ipaddress
import ssl
from pathlib import Path

from edge.server.exchange import Exchange
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from edge.server.tls import make_server_context
from tests.support.certs import make_cert, trusting
from tests.support.loops import both_loops
from tests.support.serverbench import ok, server_bench, until
from tests.unit.server.test_proxy import TCP6, TLVS, v2

LOOPBACK = ServerSettings(proxies=(ipaddress.ip_network("127.0.0.0/8"),))
ELSEWHERE = ServerSettings(proxies=(ipaddress.ip_network("10.0.0.0/8"),))
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n"
ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def who(exchange: Exchange) -> None:
    body = exchange.request.peer.encode()
    exchange.respond(ok(len(body)), body, length=len(body))


@both_loops
async def test_the_clients_address_is_what_the_proxy_says() -> None:
    async with server_bench(who, LOOPBACK) as bench:
        for header, said in (
            (LINE, b"192.0.2.7"),
            (v2(0x21, 0x21, TCP6 + TLVS), b"2001:db8::7"),
            (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
            (v2(0x20, 0, b""), b"127.0.0.1"),
        ):
            client = await bench.connect()
            await client.send(header + ASK + ASK)
            assert (await client.answer()).body == said
            assert (await client.answer()).body == said


@both_loops
async def test_a_header_may_come_byte_by_byte() -> None:
    async with server_bench(who, LOOPBACK) as bench:
        for header in (LINE, v2(0x21, 0x21, TCP6)):
            client = await bench.connect()
            for at in range(len(header)):
                await client.send(header[at : at + 1])
                await asyncio.sleep(0)
            assert (await client.get()).status == 200


@both_loops
async def test_it_comes_before_the_tls_handshake(tmp_path: Path) -> None:
    certs = [make_cert(tmp_path, name) for name in ("a.example", "b.example")]
    async with server_bench(who, LOOPBACK, certificates=make_server_context(certs)) as bench:
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(LINE)
        await writer.drain()
        loop = asyncio.get_running_loop()
        protocol = writer.transport.get_protocol()
        context: ssl.SSLContext = trusting(*certs)
        transport = await loop.start_tls(writer.transport, protocol, context, server_hostname="b.example")
        assert transport is not None
        transport.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert await reader.readexactly(9) == b"192.0.2.7"
        transport.close()


@both_loops
async def test_a_trusted_proxy_that_sends_no_header_is_turned_away() -> None:
    async with server_bench(who, LOOPBACK) as bench:
        client = await bench.connect()
        await client.send(ASK)
        assert await client.rest_or_reset() in (b"", None)
        await until(lambda: bench.events[Event.NO_PROXY_HEADER])
        client = await bench.connect()
        await client.send(LINE[:20])
        client.writer.write_eof()
        assert await client.rest_or_reset() in (b"", None)
        assert bench.events[Event.NO_PROXY_HEADER] == 2
        assert bench.listener.connections == 0


@both_loops
async def test_a_proxy_that_says_nothing_is_given_up() -> None:
    settings = ServerSettings(proxies=LOOPBACK.proxies, head_timeout=0.05)
    async with server_bench(who, settings) as bench:
        client = await bench.connect()
        assert await client.closed()
        assert bench.events[Event.NO_PROXY_HEADER] == 1


@both_loops
async def test_nobody_else_is_believed() -> None:
    for settings in (ELSEWHERE, ServerSettings()):
        async with server_bench(who, settings) as bench:
            client = await bench.connect()
            await client.send(LINE + ASK)
            assert (await client.answer()).status == 400
            client = await bench.connect()
            assert (await client.get()).body == b"127.0.0.1"


@both_loops
async def test_a_stop_while_a_header_is_awaited_leaves_nothing_open() -> None:
    async with server_bench(who, LOOPBACK) as bench:
        client = await bench.connect()
        await client.send(LINE[:10])
        await until(lambda: bench.events[Event.ACCEPTED])
        await bench.listener.drain(0)
        assert await client.rest_or_reset() in (b"", None)
        assert bench.listener.connections == 0
