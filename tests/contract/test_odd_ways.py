"""What a player names in CDN-Loop goes on to the next node; what that says of it is for who has named the same."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge.access.passes import Context
from edge.fill.messages import Fetch, Mode
from edge.fill.settings import FillSettings
from edge.fill.ways import by_way_of, is_as_long, is_odd, way_of
from edge.policy.rules import SiteRules
from edge.words import KIB, MIB, Kind, Reason
from tests.support.fillbench import Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(300 * KIB)
FILM = os.urandom(4 * MIB)
NODES_MOST = 8
HOSTILE = ("a, b, c, d, e, f, g, h", "evil")


def coming(*nodes: str) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of a request that has named these, and us after them."""
    return ((b"CDN-Loop", ", ".join([*nodes, "edge"]).encode()),)


def refuses(asked: Asked) -> bool:
    """As a shield with the name `evil` does, and one for which more than eight nodes are a loop."""
    nodes = asked.fields["cdn-loop"].split(", ")
    return len(nodes) > NODES_MOST or "evil" in nodes


class Shield:
    """Refuses loops with `status`, and holds each answer back until `gate` is open."""

    def __init__(self, body: bytes = BODY, status: int = 508) -> None:
        self.body, self.status = body, status
        self.gate = asyncio.Event()

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        await self.gate.wait()
        if refuses(asked):
            await wire.send(answer(asked, b"", "Cache-Control: max-age=60", etag="", status=self.status))
        else:
            await wire.send(answer(asked, self.body))


async def begun(server: RawServer, count: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(server.asked) < count:
            await asyncio.sleep(0.001)


def status(got: Got) -> int:
    return got.record.status


@pytest.mark.parametrize("refusal", [508, 403, 431])
@pytest.mark.parametrize("named", HOSTILE)
async def test_a_refusal_for_the_way_of_one_is_not_for_those_who_waited_with_it(
    tmp_path: Path, named: str, refusal: int
) -> None:
    shield = Shield(status=refusal)
    async with RawServer(shield) as server, fill_bench(tmp_path, server.url) as bench:
        hostile = bench.ask("/a.ts", fields=coming(named))
        await begun(server)
        others = [bench.ask("/a.ts", fields=coming()) for _ in range(5)]
        same = bench.ask("/a.ts", fields=coming(named))
        await bench.store.call(lambda: None)
        await asyncio.sleep(0)
        shield.gate.set()
        for each in others:
            assert (await each.finish()).bytes() == BODY
            assert status(each) == 200
        for each in (hostile, same):
            assert status(await each.finish()) == refusal
        await bench.settled()
        assert [asked.fields["cdn-loop"] for asked in server.asked] == [f"{named}, edge", "edge"]
        assert (await bench.get("/a.ts", fields=coming())).again


async def test_many_odd_ways_cost_who_waits_behind_them_one_refusal(tmp_path: Path) -> None:
    shield = Shield()
    async with RawServer(shield) as server, fill_bench(tmp_path, server.url) as bench:
        hostile = [bench.ask("/a.ts", fields=coming("evil", f"n{number}")) for number in range(10)]
        await begun(server)
        player = bench.ask("/a.ts", fields=coming())
        await asyncio.sleep(0)
        shield.gate.set()
        assert (await player.finish()).bytes() == BODY
        assert status(await hostile[0].finish()) == 508
        assert [(await each.finish()).bytes() for each in hostile[1:]] == [BODY] * 9  # with the player, as he asked
        assert len(server.asked) == 2


async def test_a_loop_of_our_own_is_told_to_all_who_wait_in_one_request(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def loops(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.send(answer(asked, b"", etag="", status=508))

    async with RawServer(loops) as server, fill_bench(tmp_path, server.url) as bench:
        players = [bench.ask("/a.ts", fields=coming()) for _ in range(5)]
        await begun(server)
        gate.set()
        assert [status(await each.finish()) for each in players] == [508] * 5
        assert len(server.asked) == 1


async def test_a_stale_copy_stands_in_for_a_loop(tmp_path: Path) -> None:
    async def shield(asked: Asked, wire: Wire) -> None:
        refused = refuses(asked)
        life = () if refused else ("Cache-Control: max-age=0, stale-if-error=60",)
        await wire.send(answer(asked, b"" if refused else BODY, *life, status=508 if refused else 200))

    async with RawServer(shield) as server, fill_bench(tmp_path, server.url) as bench:
        await bench.get("/a.ts", fields=coming())
        got = await bench.get("/a.ts", fields=coming("evil"))
        assert got.failed is not None  # the worker serves the stale copy for it
        assert got.failed[1] is Reason.BAD_RESPONSE
        assert bench.stored("/a.ts") is not None


@pytest.mark.parametrize("retry", [True, False])
async def test_later_runs_go_the_way_of_who_waits_for_them(tmp_path: Path, retry: bool) -> None:
    """The run that was refused goes on that way; where nothing is tried again, another one does, and only for him."""
    shield = Shield(FILM)
    shield.gate.set()
    settings, rules = FillSettings(run_max=MIB), SiteRules(retry=retry)
    async with RawServer(shield) as server, fill_bench(tmp_path, server.url, settings=settings, rules=rules) as bench:
        await bench.get("/a.mp4", 0, MIB, fields=coming())
        shield.gate.clear()
        hostile = bench.ask("/a.mp4", MIB, 2 * MIB, fields=coming("evil"))
        await begun(server, 2)
        player = bench.ask("/a.mp4", MIB, 2 * MIB, fields=coming())
        await player.headed()
        shield.gate.set()
        assert (await player.finish()).bytes() == FILM[MIB : 2 * MIB]
        assert ((await hostile.finish()).failed is None) is retry
        await bench.settled()
        assert [asked.fields["cdn-loop"] for asked in server.asked] == ["edge", "evil, edge", "edge"]


async def test_a_body_that_breaks_goes_on_the_way_of_who_waits_for_it(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def breaks(asked: Asked, wire: Wire) -> None:
        if len(server.asked) == 1:
            await wire.send(answer(asked, BODY)[: 100 * KIB])
            await gate.wait()
            wire.reset()
        elif "b" in asked.fields["cdn-loop"].split(", "):
            await wire.send(answer(asked, b"", etag="", status=508))
        else:
            await wire.send(answer(asked, BODY))

    async with RawServer(breaks) as server, fill_bench(tmp_path, server.url) as bench:
        odd = bench.ask("/a.ts", fields=coming("a", "b"))
        await odd.headed()
        player = bench.ask("/a.ts", fields=coming())
        await player.headed()
        gate.set()
        assert (await player.finish()).bytes() == BODY
        assert (await odd.finish()).bytes() == BODY


FETCH = Fetch(1, Mode.FILL, "s", b"GET", b"/a", b"/a", b"/a", Kind.SEGMENT, (*coming(), (b"X", b"1")))


def test_nodes_of_ours_that_have_vouched_for_a_request_are_not_odd() -> None:
    assert not is_odd(FETCH)
    named = replace(FETCH, fields=coming("first"))
    assert is_odd(named)
    assert not is_odd(replace(named, context=Context("192.0.2.1", b"h", 2)))


def test_a_fetch_goes_another_way_with_all_else_its_own() -> None:
    other = replace(FETCH, fields=(*coming("a"), (b"X", b"2")))
    moved = by_way_of(FETCH, other)
    assert way_of(moved) == (b"a", b"edge")
    assert (b"X", b"1") in moved.fields
    assert by_way_of(FETCH, replace(other, fields=coming())) is FETCH


def test_who_names_more_is_refused_as_well() -> None:
    assert is_as_long((b"a", b"b", b"e"), (b"b", b"e"))
    assert is_as_long((b"e",), (b"e",))
    assert not is_as_long((b"e",), (b"b", b"e"))
    assert not is_as_long((b"a", b"c", b"e"), (b"b", b"e"))
