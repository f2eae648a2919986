"""Members that hang, refuse or lead nowhere are kept out and tried seldom, and are back at once when they serve."""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock, SystemClock
from edge.errors import OriginError
from edge.origin.bodies import BROKEN
from edge.origin.breaker import FAILURES, OPEN_FIRST, OPEN_MOST, UNWELL, State
from edge.origin.client import OriginClient, Unobserved
from edge.origin.group import Group, Member, MemberRole, Selection
from edge.origin.response import HELD_UP
from edge.origin.retry import open_with_retries
from edge.origin.settings import UpstreamRequest
from edge.origin.telling import PassSigner
from edge.words import KIB, MIB, Reason
from tests.contract.test_spread import FarPath
from tests.support.blackhole import black_hole
from tests.support.fillbench import QUICK, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

GET = UpstreamRequest(b"GET", b"/a.ts")
BODY = os.urandom(300 * KIB)
SOON = replace(QUICK, first_byte_timeout=0.1, warm=0)
CHECK = "bytes=0-0"


async def fine(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


class Ill:
    """An origin that is ill in one of several ways until it is `well`; to `spared` requests it answers all the same."""

    def __init__(self, how: str, spared: str = "nothing") -> None:
        self.how, self.spared, self.well = how, spared, False

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        if self.well or asked.fields.get("range") == self.spared:
            await fine(asked, wire)
        elif self.how == "hangs":
            await wire.reader.read()
        elif self.how == "503":
            await wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        else:
            wire.reset()


def by_players(server: RawServer) -> list[Asked]:
    return [asked for asked in server.asked if asked.fields.get("range") != CHECK]


async def ask(group: Group, clock: FakeClock, request: UpstreamRequest = GET) -> int:
    async with open_with_retries(tuple(group.order(b"k")), request, clock) as (_, response):
        async for _ in response:
            pass
        return response.status


async def looked(group: Group) -> None:
    """What is due is asked in the background, and answered or not."""
    group.look()
    async with asyncio.timeout(20):
        while any(prober._probing for prober in group._probers):
            await asyncio.sleep(0.001)


async def look_for(group: Group, clock: FakeClock, seconds: float) -> None:
    for _ in range(int(seconds / 0.5)):
        clock.advance(0.5)
        await looked(group)


def two(urls: Sequence[str], clock: FakeClock, **more: object) -> Group:
    members = [Member(OriginClient(replace(SOON, url=url, **more), clock)) for url in urls]  # type: ignore[arg-type]
    return Group(members, Selection.PRIMARY_BACKUP)


@pytest.mark.parametrize("how", ["hangs", "503", "resets"])
async def test_one_that_connects_but_does_not_serve_is_kept_out_and_back_at_once_when_it_does(how: str) -> None:
    """An accepted connection closed its breaker a second later: five players waited 8 s each, again and again."""
    ill, clock = Ill(how), FakeClock()
    async with RawServer(ill) as first, RawServer(fine) as second:
        group = two((first.url, second.url), clock)
        breaker = group.members[0].client.breaker
        ill.well = True
        assert await ask(group, clock) == 200
        ill.well = False
        for _ in range(FAILURES):
            assert await ask(group, clock) == 200
        assert breaker.state is State.OPEN
        sent = len(first.asked)
        await look_for(group, clock, 120.0)
        assert breaker.state is State.OPEN
        for _ in range(5):
            assert await ask(group, clock) == 200
        assert len(by_players(first)) == sent, "no player has waited for it since"
        checks = len(first.asked) - sent
        assert 5 <= checks <= 4 + 120 / OPEN_MOST + 1, "with growing pauses"
        ill.well = True
        await look_for(group, clock, OPEN_MOST)
        assert breaker.state is State.HALF_OPEN
        second.asked.clear()
        assert await ask(group, clock) == 200
        assert breaker.state is State.CLOSED
        assert breaker.share < 1.0
        assert second.asked == []
        assert {asked.target for asked in first.asked} == {"/a.ts", "/"}, "checks ask for what players were served"
        await group.close()


class Partly:
    """An origin some of whose directories fail, in one way or another."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.broken: set[str] = set()

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        if asked.target.rpartition("/")[0] not in self.broken:
            await fine(asked, wire)
        elif self.how == "hangs":
            await wire.reader.read()
        else:
            await wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("how", ["hangs", "503"])
@pytest.mark.parametrize("known", ["nothing", "another", "what fails", "what fails, and another"])
async def test_a_path_that_always_fails_does_not_keep_a_member_away_that_serves_others(how: str, known: str) -> None:
    """Checks repeated what had failed last, which players could not change any more: they were sent elsewhere."""
    partly, clock = Partly(how), FakeClock()
    ill, well = replace(GET, target=b"/ill/a.ts"), replace(GET, target=b"/well/a.ts")
    async with RawServer(partly) as first, RawServer(fine) as second:
        group = two((first.url, second.url), clock)
        breaker = group.members[0].client.breaker
        if "another" in known:
            assert await ask(group, clock, well) == 200
        if "what fails" in known:
            assert await ask(group, clock, ill) == 200
        partly.broken = {"/ill", ""} if "another" in known else {"/ill"}
        for _ in range(FAILURES):
            assert await ask(group, clock, ill) == 200
        assert breaker.state is State.OPEN
        await look_for(group, clock, 4.0)
        assert breaker.state is State.HALF_OPEN
        assert await ask(group, clock, well) == 200
        assert breaker.state is State.CLOSED
        await group.close()


async def test_where_nothing_is_known_to_be_served_any_answer_to_a_check_lets_a_player_try() -> None:
    """A proxy says 503 to a path that leads nowhere, and the root may be one."""
    partly, clock = Partly("503"), FakeClock()
    partly.broken = {""}
    async with RawServer(partly) as first, RawServer(fine) as second:
        group = two((first.url, second.url), clock)
        client = group.members[0].client
        for _ in range(FAILURES):
            assert await ask(group, clock) == 200
        await look_for(group, clock, OPEN_FIRST)
        assert client.breaker.state is State.HALF_OPEN
        assert await ask(group, clock) == 200
        assert client.breaker.state is State.OPEN
        await look_for(group, clock, OPEN_FIRST)
        assert client.breaker.state is State.OPEN, "its pauses grow"
        await group.close()


@pytest.mark.parametrize("how", ["hangs", "503"])
async def test_one_that_answers_checks_only_costs_one_player_a_moment_and_then_a_longer_pause(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.origin.retry.TRIAL_WAIT", 0.05)
    monkeypatch.setattr("edge.origin.client.FAIR", 0.01)
    clock = FakeClock()
    async with RawServer(Ill(how, spared=CHECK)) as first, RawServer(fine) as second:
        group = two((first.url, second.url), clock, first_byte_timeout=20.0, total_first_byte=60.0)
        client = group.members[0].client
        for _ in range(FAILURES):
            client.breaker.failed()
        pause = OPEN_FIRST
        for tries in range(1, 5):
            clock.advance(pause)
            await looked(group)
            assert client.breaker.state is State.HALF_OPEN
            async with asyncio.timeout(10):  # far less than its 20 s
                assert await asyncio.gather(*(ask(group, clock) for _ in range(20))) == [200] * 20
            assert len(by_players(first)) == tries
            assert client.breaker.state is State.OPEN
            pause = min(2 * pause, OPEN_MOST)
            clock.advance(pause - 0.01)
            assert not client.breaker.check_due
            clock.advance(0.01 - pause)
        assert len(second.asked) == 4 * 20
        await group.close()


async def test_a_trial_is_another_requests_when_its_own_is_not_sent_or_has_left() -> None:
    clock, arrived = FakeClock(), asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        arrived.set()
        await wire.reader.read()

    async with RawServer(slow) as first, RawServer(fine) as second:
        group = two((first.url, second.url), clock, max_connections=1, queue_limit=0, first_byte_timeout=20.0)
        client = group.members[0].client
        for _ in range(FAILURES):
            client.breaker.failed()
        client.breaker.probed(well=True)
        for _ in range(3):
            assert group.order(b"k")[0] is client, "to look at the order takes nothing"
        taken = await client.pool.take()
        assert await ask(group, clock) == 200  # its line is full: the next one is asked, and nothing was tried
        assert client.breaker.state is State.HALF_OPEN
        assert group.order(b"k")[0] is client
        client.pool.give_back(taken)
        asking = asyncio.ensure_future(ask(group, clock))
        await arrived.wait()
        assert group.order(b"k")[0] is not client, "one at a time"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert group.order(b"k")[0] is client
        await group.close()


async def test_what_is_asked_in_pieces_tries_no_member_that_may_be_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dozens of them would wait for it at a time."""
    monkeypatch.setattr("edge.origin.retry.TRIAL_WAIT", 20.0)
    large, arrived, gate = os.urandom(3 * MIB), asyncio.Event(), asyncio.Event()

    async def serves(asked: Asked, wire: Wire) -> None:
        if asked.target == "/1.ts":
            arrived.set()
            await gate.wait()
        await wire.send(answer(asked, large))

    patient = replace(QUICK, first_byte_timeout=20.0, total_first_byte=30.0, stall_timeout=20.0)
    async with (
        RawServer(serves) as first,
        RawServer(serves) as second,
        fill_bench(tmp_path, first.url, more=(second.url,), origin=patient) as bench,
    ):
        for member in bench.shop.group.members:
            member.client.pool.path = FarPath()
        assert (await bench.get("/0.ts", 0, 1000)).bytes() == large[:1000]
        breaker = bench.client.breaker
        for _ in range(FAILURES):
            breaker.failed()
        breaker.probed(well=True)
        first.asked.clear()
        assert (await bench.get("/0.ts", MIB, 3 * MIB)).bytes() == large[MIB:]  # what is missing in the index
        assert first.asked == []
        assert breaker.state is State.HALF_OPEN
        bench.shop.sizes[b""] = len(large)  # a neighbour's: pieces are asked for on this guess
        trying = bench.ask("/1.ts")
        async with asyncio.timeout(20):
            await arrived.wait()
        assert (await bench.ask("/2.ts", 0, 1000).finish()).bytes() == large[:1000]
        assert [asked.target for asked in first.asked] == ["/1.ts"]
        gate.set()
        assert (await trying.finish()).bytes() == large
        assert breaker.state is State.CLOSED


@pytest.mark.parametrize("how", ["full", "too long"])
async def test_a_line_of_ours_that_is_full_or_too_long_is_no_failure_of_the_member(how: str) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.send(answer(asked, b"x"))

    limits = {"queue_limit": 2} if how == "full" else {"queue_timeout": 0.05}
    async with RawServer(held) as origin:
        patient = replace(QUICK, url=origin.url, max_connections=2, first_byte_timeout=20.0)
        client = OriginClient(replace(patient, **limits), SystemClock())  # type: ignore[arg-type]

        async def one() -> Reason | None:
            try:
                async with client.fetch(GET):
                    return None
            except OriginError as error:
                return error.reason

        asking = [asyncio.create_task(one()) for _ in range(12)]
        refused = 12 - 4 if how == "full" else 12 - 2
        async with asyncio.timeout(20):
            while sum(task.done() for task in asking) < refused:
                await asyncio.sleep(0.001)
        assert client.breaker.state is State.CLOSED
        gate.set()
        reasons = await asyncio.gather(*asking)
        assert reasons.count(Reason.QUEUE_FULL if how == "full" else Reason.QUEUE_TIMEOUT) == refused
        assert client.breaker.state is State.CLOSED
        assert client.breaker.share == 1.0
        await client.close()


async def test_our_line_and_a_connect_and_the_head_share_one_budget_of_time() -> None:
    """Each had its own time-out: 2.2 s were 3.9 s, and only the worker's own timer saved the player."""

    async def never(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    long = replace(
        QUICK, queue_timeout=30.0, first_byte_timeout=30.0, connect_timeout=30.0, retries=0, max_connections=1
    )
    async with RawServer(never) as origin:
        with black_hole() as nowhere:
            for url, expected in ((origin.url, Reason.QUEUE_TIMEOUT), (nowhere, Reason.FIRST_BYTE_TIMEOUT)):
                client = OriginClient(replace(long, url=url, total_first_byte=0.3), SystemClock())
                if url == origin.url:
                    await client.pool.take()
                with pytest.raises(OriginError) as failed:
                    async with asyncio.timeout(20), open_with_retries((client,), GET, client.clock):
                        pass
                assert failed.value.reason is expected
                assert client.breaker._failures == 0, "it had no time to show whether it serves"
                await client.close()


async def test_a_connection_opened_ahead_that_is_closed_at_its_first_use_is_replaced_unseen() -> None:
    """nginx closes those that bring no request after 60 s: some are always about to be closed."""
    errors: list[str] = []

    class Errors(Unobserved):
        def error(self, reason: str) -> None:
            errors.append(reason)

    async def closes_the_first(asked: Asked, wire: Wire) -> None:
        if wire.number == 1:
            wire.reset()
        else:
            await fine(asked, wire)

    async with RawServer(closes_the_first) as origin:
        client = OriginClient(replace(QUICK, url=origin.url), SystemClock(), Errors())
        await client.pool.keep_warm()
        assert client.pool.counts[1] == 1
        async with client.fetch(GET) as response:
            assert response.status == 200
        assert [asked.connection for asked in origin.asked] == [1, 2]
        assert errors == []
        assert client.breaker._failures == 0
        await client.close()


async def test_an_origin_that_resets_all_does_not_get_each_request_twice() -> None:
    async def dying(asked: Asked, wire: Wire) -> None:
        wire.reset()

    async with RawServer(dying) as origin:
        client = OriginClient(replace(QUICK, url=origin.url, far=0.0, warm=8), SystemClock())
        for _ in range(2):
            await client.pool.keep_warm()
        assert client.pool.counts[1] == 8
        for _ in range(FAILURES):
            with pytest.raises(OriginError):
                async with client.fetch(GET):
                    pass
        assert len(origin.asked) == FAILURES + 1
        assert client.pool.counts[1] > 0
        await client.close()


async def test_what_may_be_sent_once_only_is_not_sent_again_on_another_connection() -> None:
    async def closes(asked: Asked, wire: Wire) -> None:
        wire.reset()

    async with RawServer(closes) as origin:
        client = OriginClient(replace(QUICK, url=origin.url), SystemClock())
        await client.pool.keep_warm()
        with pytest.raises(OriginError):
            async with client.fetch(replace(GET, method=b"POST", retry=False)):
                pass
        assert len(origin.asked) == 1
        await client.close()


async def test_behind_an_address_that_takes_no_connection_the_next_member_is_asked(tmp_path: Path) -> None:
    errors: list[str] = []

    class Errors(Unobserved):
        def error(self, reason: str) -> None:
            errors.append(reason)

    quick = replace(QUICK, connect_timeout=0.2)
    with black_hole() as nowhere:
        async with (
            RawServer(fine) as good,
            fill_bench(tmp_path, nowhere, more=(good.url,), origin=quick) as bench,
        ):
            bench.client.observe(Errors())
            for number in range(FAILURES):
                assert (await bench.get(f"/{number}.ts")).bytes() == BODY
                assert len(good.asked) == number + 1
            assert errors[:FAILURES] == [Reason.CONNECT_TIMEOUT.value] * FAILURES
            assert bench.client.breaker.state is State.OPEN
            tried = len(errors)
            assert (await bench.get("/x.ts")).bytes() == BODY
            assert len(errors) == tried


async def test_one_that_takes_no_connection_does_not_keep_others_from_being_warm() -> None:
    with black_hole() as nowhere:
        async with RawServer(fine) as good:
            slow = replace(SOON, connect_timeout=60.0, far=0.0, warm=1)
            members = [Member(OriginClient(replace(slow, url=url), SystemClock())) for url in (nowhere, good.url)]
            group = Group(members)
            group.tend()
            async with asyncio.timeout(20):
                while members[1].client.pool.path.rtt is None:
                    await asyncio.sleep(0.001)
                pool = members[1].client.pool
                (await pool.take()).close()
                while pool.counts[1] < 2:
                    group.tend()
                    await asyncio.sleep(0.001)
            assert members[0].client.pool.path.rtt is None
            await group.close()


async def test_a_probe_whose_answer_drips_ends_and_has_failed() -> None:
    dripping = True

    async def drips(asked: Asked, wire: Wire) -> None:
        if not dripping:
            await fine(asked, wire)
            return
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await wire.send(b"x")
            await asyncio.sleep(0.01)

    clock = FakeClock()
    async with RawServer(drips) as first:
        group = two((first.url,), clock, probe="/healthz", probe_interval=0.1)
        for _ in range(UNWELL):
            clock.advance(0.1)
            await looked(group)
        assert group.members[0].client.breaker.state is State.OPEN
        dripping = False
        clock.advance(0.1)
        await looked(group)
        assert group.members[0].client.breaker.state is State.CLOSED
        await group.close()


async def test_by_least_latency_one_request_tries_a_slow_member_also_while_it_waits_for_a_connection() -> None:
    """A connect takes round trips, and all who came meanwhile went to the slow one, too."""
    clock = FakeClock()
    async with RawServer(fine) as first, RawServer(fine) as second:
        members = [
            Member(OriginClient(replace(SOON, url=url, max_connections=1), clock)) for url in (first.url, second.url)
        ]
        group = Group(members, Selection.LEAST_LATENCY)
        slow, fast = (member.client for member in members)
        for client, seconds in ((slow, 0.8), (fast, 0.1)):
            client.latency.asked()
            client.latency.answered(seconds)
        clock.advance(100.0)
        fast.latency.asked()
        assert group.order(b"k")[0] is slow
        held = await slow.pool.take()
        trying = asyncio.ensure_future(ask(group, clock))
        while slow.pool.counts[2] == 0:
            await asyncio.sleep(0)
        assert group.order(b"k")[0] is fast
        slow.pool.give_back(held)
        assert await trying == 200
        assert len(first.asked) == 1
        await group.close()


@pytest.mark.parametrize("by", ["us", "the member"])
async def test_a_body_that_breaks_after_we_took_nothing_for_long_says_nothing_of_the_member(by: str) -> None:
    """Servers give up connections from which nothing is taken, as where a player has paused."""
    clock, gate = FakeClock(), asyncio.Event()

    async def gives_up(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY)[: 100 * KIB])
        await gate.wait()
        wire.reset()

    async with RawServer(gives_up) as origin:
        client = OriginClient(replace(SOON, url=origin.url, stall_timeout=20.0, first_byte_timeout=20.0), clock)

        async def play() -> None:
            async with client.fetch(GET) as response:
                async for _ in response:
                    if not gate.is_set() and by == "us":
                        clock.advance(HELD_UP + 1.0)
                    gate.set()

        for _ in range(BROKEN):
            gate.clear()
            with pytest.raises(OriginError):
                await play()
        assert client.breaker.state is (State.CLOSED if by == "us" else State.OPEN)
        await client.close()


# -- what a shield hands on --------------------------------------------------------------------------


def shed(cache_status: str) -> bytes:
    return f"HTTP/1.1 503 No\r\nCache-Status: {cache_status}\r\nContent-Length: 0\r\n\r\n".encode()


RELAYED = shed('"a, b"; hit, shield1; fwd=uri-miss; fwd-status=503')
KEPT = shed("shield1; hit; ttl=3")
ITS_OWN = shed('origin; fwd=miss; fwd-status=503, shield1; detail="x; hit"')


@pytest.mark.parametrize(("says", "asked_of"), [(RELAYED, "one shield"), (KEPT, "one shield"), (ITS_OWN, "all")])
async def test_what_a_shield_only_hands_on_is_the_answer_and_no_failure_of_the_shield(
    says: bytes, asked_of: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.origin")

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.send(says)

    clock = SystemClock()
    async with RawServer(script) as one, RawServer(script) as other, RawServer(script) as origin:
        signer = PassSigner(clock, None, sibling=False)
        shields = [OriginClient(replace(QUICK, url=each.url), clock, signer=signer) for each in (one, other)]
        members = [Member(shield, role=MemberRole.SHIELD) for shield in shields]
        group = Group([*members, Member(OriginClient(replace(QUICK, url=origin.url), clock))])
        for number in range(12):
            clients = tuple(group.order(b"%d" % number))
            async with open_with_retries(clients, GET, clock) as (_, response):
                assert response.status == 503
        shielded = len(one.asked) + len(other.asked)
        if asked_of == "one shield":
            assert shielded == 12
            assert origin.asked == []
            assert {shield.breaker.state for shield in shields} == {State.CLOSED}
            assert caplog.records == []
        else:
            assert shielded > 12
            assert origin.asked
            assert State.OPEN in {shield.breaker.state for shield in shields}
        await group.close()


async def test_an_origin_that_says_that_it_hands_on_is_asked_again_all_the_same() -> None:
    """Only a member of ours is known to have tried again itself."""

    async def script(asked: Asked, wire: Wire) -> None:
        if len(first.asked) == 1:
            await wire.send(RELAYED)
        else:
            await fine(asked, wire)

    clock = SystemClock()
    async with RawServer(script) as first:
        client = OriginClient(replace(QUICK, url=first.url), clock)
        async with open_with_retries((client,), GET, clock) as (_, response):
            assert response.status == 200
        await client.close()
