"""TLS towards players, over real sockets and on both loops."""

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import pytest

from edge.server.exchange import Exchange, Outcome
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from edge.server.tls import make_server_context
from tests.support.certs import make_cert, trusting
from tests.support.loops import both_loops
from tests.support.serverbench import Client, ok, server_bench, until

ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(exchange: Exchange) -> None:
    body = b"secure" if exchange.request.secure else b"plain"
    exchange.respond(ok(len(body)), body, length=len(body))


def names_of(client: Client) -> set[str]:
    """What the certificate that the client was shown is for."""
    cert = client.writer.get_extra_info("ssl_object").getpeercert()
    return {name for _, name in cert["subjectAltName"]}


@both_loops
async def test_one_certificate_serves_every_name(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        client = await bench.connect(trusting(cert))
        assert (await client.get("/")).body == b"secure"
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


@both_loops
async def test_each_site_is_shown_its_own_certificate(tmp_path: Path) -> None:
    certs = [make_cert(tmp_path, name) for name in ("a.example", "b.example", "*.c.example")]
    async with server_bench(hello, certificates=make_server_context(certs)) as bench:
        context = trusting(*certs)
        for asked, shown in (
            ("a.example", "a.example"),
            ("b.example", "b.example"),
            ("x.c.example", "*.c.example"),
        ):
            client = await bench.connect(context, asked)
            assert names_of(client) == {shown}
            assert (await client.get("/")).body == b"secure"
        context.check_hostname = False
        for asked in ("unknown.example", "x.y.c.example", "127.0.0.1"):  # no name is sent for an address
            assert names_of(await bench.connect(context, asked)) == {"a.example"}


@both_loops
async def test_a_hello_that_comes_in_pieces_is_waited_for_without_spinning(tmp_path: Path) -> None:
    certs = [make_cert(tmp_path, name) for name in ("a.example", "b.example")]
    async with server_bench(hello, certificates=make_server_context(certs)) as bench:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(*certs).wrap_bio(incoming, outgoing, server_hostname="b.example")
        reader, writer = await asyncio.open_connection(*bench.address)
        bench.clients.append(Client(reader, writer))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        greeting = outgoing.read()
        for at in range(0, len(greeting), 50):
            writer.write(greeting[at : at + 50])
            await writer.drain()
            await asyncio.sleep(0.002)
        while True:
            incoming.write(await reader.read(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        assert {name for _, name in tls.getpeercert()["subjectAltName"]} == {"b.example"}  # type: ignore[index,misc]
        writer.write(outgoing.read())


@both_loops
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("count", [1, 2])
async def test_a_client_that_leaves_or_never_was_tls_is_counted_and_not_reported(
    sent: bytes, count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "edge")
    certs = [make_cert(tmp_path, f"{number}.example") for number in range(count)]
    async with server_bench(hello, certificates=make_server_context(certs)) as bench:
        client = await bench.connect()
        await client.send(sent)
        await until(lambda: bench.events[Event.ACCEPTED])
        await asyncio.sleep(0.01)
        client.leave()
        async with asyncio.timeout(5):  # at once, not when the handshake's time is over
            await until(lambda: bench.events[Event.HANDSHAKE_FAILED])
        await until(lambda: bench.listener.connections == 0)
        good = await bench.connect(trusting(*certs), "0.example")
        assert (await good.get("/")).body == b"secure"
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert "127.0.0.1" not in caplog.text, "of an address only the network is told"


@both_loops
@pytest.mark.parametrize("count", [1, 2])
async def test_a_handshake_has_a_deadline(count: int, tmp_path: Path) -> None:
    certs = [make_cert(tmp_path, f"{number}.example") for number in range(count)]
    settings = ServerSettings(handshake_timeout=0.05)
    async with server_bench(hello, settings, certificates=make_server_context(certs)) as bench:
        client = await bench.connect()
        await client.send(b"\x16\x03\x01")
        assert not await client.rest_or_reset()
        await until(lambda: bench.events[Event.HANDSHAKE_FAILED])
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_versions_before_tls_1_2_are_refused(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        context = trusting(cert)
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await bench.connect(context)
        context = trusting(cert)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = await bench.connect(context)
        assert (await client.get("/")).body == b"secure"


@both_loops
async def test_http_1_1_is_agreed_on(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        context = trusting(cert)
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = await bench.connect(context)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@both_loops
async def test_a_session_is_resumed(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        context = trusting(cert)

        def visit(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
            with socket.create_connection(bench.address) as raw:
                with context.wrap_socket(raw, server_hostname="a.example", session=session) as tls:
                    tls.sendall(ASK)
                    assert tls.recv(100).startswith(b"HTTP/1.1 200")
                    return tls.session, tls.session_reused

        session, reused = await asyncio.to_thread(visit, None)
        assert not reused
        _, reused = await asyncio.to_thread(visit, session)
        assert reused


@both_loops
async def test_the_end_of_a_connection_is_said_in_tls(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        client = await bench.connect(trusting(cert))
        answer = await client.get("/", b"Connection: close\r\n")
        assert answer.fields["connection"] == "close"
        assert await client.closed()  # close_notify, or this would raise
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_a_refusal_is_readable_over_tls(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        client = await bench.connect(trusting(cert))
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789")
        assert (await client.answer()).status == 400
        assert await client.closed()


@both_loops
async def test_a_client_that_says_goodbye_while_it_waits_has_left(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    held: list[Exchange] = []
    async with server_bench(held.append, certificates=make_server_context([cert])) as bench:
        client = await bench.connect(trusting(cert))
        await client.send(ASK)
        await until(lambda: held)
        client.writer.close()  # close_notify: TLS has no half-closed state here
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.CLIENT_LEFT
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_a_drain_does_not_wait_for_clients_that_do_not_answer_goodbye(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    async with server_bench(hello, certificates=make_server_context([cert])) as bench:
        client = await bench.connect(trusting(cert))
        assert (await client.get("/")).body == b"secure"
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await bench.listener.drain(30.0) == 0
        assert loop.time() - started < 0.9
        assert bench.listener.connections == 0
