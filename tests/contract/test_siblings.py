"""Siblings: who keeps an object is asked for it by the others, who keep only what is asked for again and again."""

import os
from dataclasses import replace
from pathlib import Path

from edge.clock import SystemClock
from edge.fill.settings import FillSettings
from edge.origin.breaker import FAILURES
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member, MemberRole, Own
from edge.words import KIB, CacheStatus
from tests.support.fillbench import QUICK, FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(200 * KIB)
SHARED = FillSettings(sibling_hits=3)


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


async def dead(asked: Asked, wire: Wire) -> None:
    wire.reset()


def beside(shield: str) -> object:
    """A group: the bench's own client is a sibling, and behind both is a shield."""

    def grouped(client: OriginClient) -> Group:
        upper = OriginClient(replace(QUICK, url=shield), SystemClock())
        members = (Member(client, role=MemberRole.SIBLING), Member(upper, role=MemberRole.SHIELD))
        return Group(members, own=Own(b"self.example"))

    return grouped


def named(bench: FillBench, *, ours: bool) -> str:
    """A path whose object is ours, or the sibling's."""
    group = bench.shop.group
    return next(f"/{n}.ts" for n in range(999) if (group.owner(b"default/%d.ts" % n) is None) == ours)


async def test_an_object_of_ours_is_fetched_from_above_and_kept(tmp_path: Path) -> None:
    async with (
        RawServer(correct) as sibling,
        RawServer(correct) as shield,
        fill_bench(tmp_path, sibling.url, settings=SHARED, grouped=beside(shield.url)) as bench,  # type: ignore[arg-type]
    ):
        path = named(bench, ours=True)
        assert (await bench.get(path)).bytes() == BODY
        assert (len(sibling.asked), len(shield.asked)) == (0, 1)
        assert bench.stored(path) is not None


async def test_a_siblings_object_is_handed_on_and_kept_only_when_it_is_hot(tmp_path: Path) -> None:
    async with (
        RawServer(correct) as sibling,
        RawServer(correct) as shield,
        fill_bench(tmp_path, sibling.url, settings=SHARED, grouped=beside(shield.url)) as bench,  # type: ignore[arg-type]
    ):
        path = named(bench, ours=False)
        for number in range(1, SHARED.sibling_hits + 1):
            got = await bench.get(path)
            assert got.bytes() == BODY
            assert got.head is not None
            assert got.head.status is CacheStatus.MISS
            assert (bench.stored(path) is not None) == (number == SHARED.sibling_hits)
        assert (len(sibling.asked), len(shield.asked)) == (SHARED.sibling_hits, 0)
        assert (await bench.get(path)).again  # it is in the index now


async def test_a_player_that_reads_a_film_in_ranges_does_not_make_it_hot(tmp_path: Path) -> None:
    async with (
        RawServer(correct) as sibling,
        RawServer(correct) as shield,
        fill_bench(tmp_path, sibling.url, settings=SHARED, grouped=beside(shield.url)) as bench,  # type: ignore[arg-type]
    ):
        path = named(bench, ours=False)
        for start in range(0, 100 * KIB, 10 * KIB):
            got = await bench.get(path, start, start + 10 * KIB)
            assert got.bytes() == BODY[start : start + 10 * KIB]
        assert bench.stored(path) is None


async def test_past_a_dead_sibling_the_shield_is_asked_and_soon_at_once(tmp_path: Path) -> None:
    async with (
        RawServer(dead) as sibling,
        RawServer(correct) as shield,
        fill_bench(tmp_path, sibling.url, settings=SHARED, grouped=beside(shield.url)) as bench,  # type: ignore[arg-type]
    ):
        group = bench.shop.group
        theirs = [path for n in range(99) if group.owner(b"default" + (path := f"/{n}.ts").encode()) is not None]
        for number, path in enumerate(theirs[: 2 * FAILURES]):
            assert (await bench.get(path)).bytes() == BODY
            assert len(sibling.asked) == min(number + 1, FAILURES)


async def test_a_body_that_a_sibling_breaks_off_goes_on_at_the_shield(tmp_path: Path) -> None:
    async def dies(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(sibling.asked) == 1:
            await wire.send(raw[: 100 * KIB])
        wire.reset()

    async with (
        RawServer(dies) as sibling,
        RawServer(correct) as shield,
        fill_bench(tmp_path, sibling.url, settings=SHARED, grouped=beside(shield.url)) as bench,  # type: ignore[arg-type]
    ):
        got = await bench.get(named(bench, ours=False))
        assert got.failed is None
        assert got.bytes() == BODY
        assert "if-range" in shield.asked[0].fields
