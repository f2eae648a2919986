"""Active probes over real sockets, and shields that do not let us in."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock, SystemClock
from edge.origin.breaker import UNWELL, State
from edge.origin.client import OriginClient, Unobserved
from edge.origin.group import Group, Member, MemberRole, Selection
from edge.origin.settings import OriginSettings, UpstreamRequest
from edge.origin.telling import PassSigner
from tests.support.fillbench import QUICK, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer


class Probes(Unobserved):
    def __init__(self) -> None:
        self.seen: list[bool] = []
        self.moved = asyncio.Event()

    def probe(self, *, well: bool) -> None:
        self.seen.append(well)
        self.moved.set()


async def probed(group: Group, clock: FakeClock, probes: Probes) -> bool:
    """One probe, from its beginning to its end."""
    clock.advance(5.0)
    probes.moved.clear()
    await group.keep_warm()
    async with asyncio.timeout(10):
        await probes.moved.wait()
    return probes.seen[-1]


async def test_a_member_that_fails_its_probes_is_asked_last_until_one_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "edge.origin")
    status = [200]

    async def origin(asked: Asked, wire: Wire) -> None:
        if status[0] == 0:
            wire.reset()
        else:
            await wire.send(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status[0])

    clock, probes = FakeClock(), Probes()
    async with RawServer(origin) as first:
        settings = OriginSettings(first.url + "/base", probe="/healthz", probe_interval=5.0, warm=0)
        client = OriginClient(settings, clock, probes)
        other = OriginClient(OriginSettings("http://127.0.0.1:1", warm=0), clock)
        group = Group([Member(client), Member(other)], Selection.PRIMARY_BACKUP)
        group.members[1].client.pool.path.connected(0.001)  # known: nothing is opened to it here
        for good in (200, 404):
            status[0] = good
            assert await probed(group, clock, probes)
        assert {asked.target for asked in first.asked} == {"/base/healthz"}
        assert group.order(b"a")[0] is client
        for bad in (503, 0, 500)[: UNWELL + 1]:
            status[0] = bad
            assert not await probed(group, clock, probes)
        assert client.breaker.state is State.OPEN
        assert group.order(b"a") == [other, client]
        status[0] = 200
        assert await probed(group, clock, probes)
        await group.keep_warm()
        assert group.order(b"a")[0] is client
        assert client.breaker.share < 1.0
        await group.close()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "is away" in said[0]
    assert "is back" in said[1]


async def test_a_far_member_that_is_only_probed_has_no_connections_kept_open_ahead() -> None:
    """Each keeper of each edge had kept 32 to a backup that nobody asked, and opened them anew every 75 s."""

    async def origin(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    clock, probes = FakeClock(), Probes()
    async with RawServer(origin) as server:
        client = OriginClient(OriginSettings(server.url, probe="/healthz", far=1e-9, keepalive=30.0), clock, probes)
        group = Group.of(client)
        for _ in range(3):
            await probed(group, clock, probes)
        assert client.pool.counts[1] > 1, "while it may be in use"
        for _ in range(10):
            await probed(group, clock, probes)
        assert len(server.asked) == 13
        assert client.pool.counts[1] <= 1, "but for that of the last probe"
        async with client.fetch(UpstreamRequest(b"GET", b"/a")) as response:
            assert [chunk async for chunk in response] == [b"ok"]
        await probed(group, clock, probes)
        await probed(group, clock, probes)
        assert client.pool.counts[1] > 1
        await group.close()


async def test_by_least_latency_a_slow_member_is_not_taken_for_as_fast_as_its_probes() -> None:
    clock, probes = FakeClock(), Probes()

    async def origin(asked: Asked, wire: Wire) -> None:
        clock.advance(0.0 if asked.target == "/healthz" else 0.4)
        await wire.send(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok")

    async with RawServer(origin) as server:
        slow = OriginClient(OriginSettings(server.url, probe="/healthz", warm=0), clock, probes)
        other = OriginClient(OriginSettings("http://127.0.0.1:1", warm=0), clock)
        other.pool.path.connected(0.001)  # known: nothing is opened to it here
        group = Group([Member(slow), Member(other)], Selection.LEAST_LATENCY)
        async with slow.fetch(UpstreamRequest(b"GET", b"/a")):
            pass
        for _ in range(3):
            slow.latency.asked()
            other.latency.asked()
            other.latency.answered(0.1)
            assert group.order(b"k") == [other, slow]
            assert await probed(group, clock, probes)
        await group.close()


async def test_no_two_probes_of_a_member_are_under_way_at_a_time() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        arrived.set()
        await release.wait()
        await wire.send(answer(asked, b"ok"))

    clock, probes = FakeClock(), Probes()
    async with RawServer(slow) as origin:
        client = OriginClient(OriginSettings(origin.url, probe="/p", warm=0), clock, probes)
        client.pool.path.connected(0.001)
        group = Group.of(client)
        await group.keep_warm()
        async with asyncio.timeout(10):
            await arrived.wait()
        for _ in range(5):
            clock.advance(60.0)
            await group.keep_warm()
        release.set()
        async with asyncio.timeout(10):
            await probes.moved.wait()
        assert len(origin.asked) == 1
        await group.close()


async def test_a_shield_that_does_not_let_us_in_is_passed_by_and_players_get_their_answer(tmp_path: Path) -> None:
    body = bytes(range(200))

    async def refuses(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 403 Forbidden\r\nEdge-Pass: refused\r\nContent-Length: 2\r\n\r\nno")

    async def correct(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, body))

    def grouped(client: OriginClient) -> Group:
        clock = SystemClock()
        signer = PassSigner(clock, None, sibling=False)
        shield = OriginClient(replace(QUICK, url=bad.url), clock, signer=signer)
        return Group((Member(shield, role=MemberRole.SHIELD), Member(client)))

    async with (
        RawServer(refuses) as bad,
        RawServer(correct) as good,
        fill_bench(tmp_path, good.url, grouped=grouped) as bench,
    ):
        assert (await bench.get("/a.ts")).bytes() == body
        assert [asked.fields.get("edge-pass") for asked in bad.asked] == ["h=0;a=;o="]
        assert all("edge-pass" not in asked.fields for asked in good.asked)
