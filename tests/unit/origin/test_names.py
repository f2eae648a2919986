"""How long a name's addresses are good for, and how new ones take over without failing anything."""

import asyncio
import socket
import struct
from typing import Any

import aiodns
import pytest

from edge.clock import FakeClock, SystemClock
from edge.origin.client import OriginClient
from edge.origin.names import DNS_SECONDS, GONE_SECONDS, TTL_LEAST, TTL_MOST, Names
from edge.origin.resolve import SystemResolver, TtlResolver, best_resolver
from edge.origin.settings import OriginSettings, UpstreamRequest
from tests.support.rawserver import Asked, RawServer, Wire, answer

FIRST, SECOND = ("192.0.2.1", 80), ("192.0.2.2", 80)


def entry(address: tuple[str, int]) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)


class Told:
    """A resolver that says what it is told."""

    def __init__(self, *addresses: tuple[str, int], ttl: float | None = None) -> None:
        self.addresses, self.ttl, self.asked, self.closed = list(addresses), ttl, 0, False

    async def resolve(self, host: str, port: int) -> tuple[list[Any], float | None]:
        self.asked += 1
        return [entry(address) for address in self.addresses], self.ttl

    async def close(self) -> None:
        self.closed = True


async def settle(names: Names) -> None:
    names.refresh()
    while names._asking is not None:
        await asyncio.sleep(0)


@pytest.mark.parametrize(("ttl", "seconds"), [(None, DNS_SECONDS), (7.0, 7.0), (0.1, TTL_LEAST), (86400.0, TTL_MOST)])
async def test_an_answer_is_good_for_as_long_as_the_resolver_says_within_bounds(
    ttl: float | None, seconds: float
) -> None:
    clock, told = FakeClock(), Told(FIRST, ttl=ttl)
    names = Names("origin.example", 80, clock, told)
    await names.addresses()
    clock.advance(seconds - 0.01)
    await settle(names)
    assert told.asked == 1
    clock.advance(0.02)
    await settle(names)
    assert told.asked == 2
    await names.close()
    assert told.closed


async def test_an_address_is_gone_when_it_was_in_no_answer_for_a_while_and_not_before() -> None:
    clock, told = FakeClock(), Told(FIRST, ttl=10.0)
    names = Names("origin.example", 80, clock, told)
    assert names.serves(FIRST)  # nobody has asked yet
    await names.addresses()
    told.addresses = [SECOND]
    for _ in range(int(GONE_SECONDS // 10.5)):
        clock.advance(10.5)
        await settle(names)
        assert names.serves(FIRST)  # another part of many, perhaps
        assert (await names.addresses())[0][4] == SECOND  # and yet nothing new is opened to it
    clock.advance(10.5)
    await settle(names)
    assert not names.serves(FIRST)
    assert names.serves(SECOND)
    await names.close()


async def test_connections_to_an_address_that_is_gone_end_after_their_exchange() -> None:
    release = asyncio.Event()

    async def fine(asked: Asked, wire: Wire) -> None:
        if asked.target == "/slow":
            await release.wait()
        await wire.send(answer(asked, b"ok"))

    async with RawServer(fine) as old, RawServer(fine) as new:
        clock, told = FakeClock(), Told(("127.0.0.1", old.port), ttl=10.0)
        settings = OriginSettings("http://origin.example", keepalive=1e6, warm=0)
        client = OriginClient(settings, clock, resolver=told)

        async def ask(target: bytes) -> bytes:
            async with client.fetch(UpstreamRequest(b"GET", target)) as response:
                return b"".join([chunk async for chunk in response])

        for _ in range(3):
            assert await ask(b"/") == b"ok"
        assert old.connections == 1  # kept
        slow = asyncio.ensure_future(ask(b"/slow"))
        while client.pool.counts[0] == 0 or len(old.asked) < 4:
            await asyncio.sleep(0.001)
        told.addresses = [("127.0.0.1", new.port)]
        for _ in range(8):
            clock.advance(11.0)
            await client.pool.keep_warm()  # asks for the name, though no connection is opened
            while client.pool.dialer._names._asking is not None:
                await asyncio.sleep(0)
        assert await ask(b"/") == b"ok"
        release.set()
        assert await slow == b"ok"
        for _ in range(3):
            assert await ask(b"/") == b"ok"
        assert (old.connections, new.connections) == (1, 1)
        assert len(old.asked) == 4
        await client.close()


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with one, and a time to live."""

    def __init__(self, ttl: int) -> None:
        self.ttl = ttl

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12) + 5  # the name, type and class
        question, wants_ipv4 = data[12:end], data[end - 4 : end - 2] == b"\0\x01"
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, int(wants_ipv4), 0, 0)
        found = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, self.ttl, 4) + socket.inet_aton("192.0.2.7")
        self.transport.sendto(head + question + (found if wants_ipv4 else b""), addr)


async def test_a_name_server_tells_for_how_long_its_answer_is_good() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(42), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = TtlResolver(aiodns, nameservers=[f"127.0.0.1:{port}"])
    entries, ttl = await resolver.resolve("origin.example", 8080)
    assert [found[4] for found in entries] == [("192.0.2.7", 8080)]
    assert ttl == 42.0
    await resolver.close()
    transport.close()


async def test_what_only_the_system_knows_is_asked_of_it_and_addresses_stand_for_themselves() -> None:
    resolver = best_resolver()
    assert isinstance(resolver, TtlResolver)
    for each in (resolver, SystemResolver()):
        entries, ttl = await each.resolve("127.0.0.1", 80)
        assert [found[4] for found in entries] == [("127.0.0.1", 80)]
        assert ttl is None
    names = Names("127.0.0.1", 1, SystemClock(), resolver)
    assert len(await names.addresses()) == 1
    await names.close()


@pytest.mark.parametrize(("host", "family"), [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6)])
async def test_an_address_that_is_written_as_one_is_asked_of_nobody(host: str, family: int) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} is used")

    resolver = TtlResolver(Silent())
    (found,), good_for = await resolver.resolve(host, 80)
    assert (found[0], found[4][:2], good_for) == (family, (host, 80), None)
    await resolver.close()
