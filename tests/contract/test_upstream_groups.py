"""Several upstreams in one keeper: a site's objects come from its own, and what ails one is no other's affair."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.fill.messages import Mode
from edge.fill.settings import FillSettings
from edge.fill.shop import Upstream
from edge.origin.client import OriginClient
from edge.origin.group import Group
from edge.origin.settings import OriginSettings
from edge.policy.rules import PathRules, SiteRules, path_pattern
from edge.words import MIB
from tests.contract.test_spread import FarPath
from tests.support.fillbench import QUICK, FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

SITES = {name: SiteRules(name=name, upstream=name) for name in ("films", "series")}


class Origin(RawServer):
    """Its answers are known by their bytes."""

    def __init__(self, byte: bytes, size: int = 3 * MIB) -> None:
        self.body = byte * size

        async def serve(asked: Asked, wire: Wire) -> None:
            await wire.send(answer(asked, self.body))

        super().__init__(serve)

    @property
    def paths(self) -> set[str]:
        return {asked.target for asked in self.asked}


@dataclass
class Bench:
    fill: FillBench
    groups: Mapping[str, Group]


@asynccontextmanager
async def bench_of(
    directory: Path,
    urls: Mapping[str, str],
    settings: Mapping[str, FillSettings] | None = None,
    origins: Mapping[str, OriginSettings] | None = None,
) -> AsyncIterator[Bench]:
    """A keeper with one upstream for each of these, and a site of the same name that goes to it."""
    said, own = settings or {}, origins or {}
    groups = {
        name: Group.of(OriginClient(replace(own.get(name, QUICK), url=url, name=name), SystemClock()))
        for name, url in urls.items()
    }
    upstreams = {name: Upstream(said.get(name, FillSettings()), group) for name, group in groups.items()}
    try:
        async with fill_bench(directory, "http://127.0.0.1:1") as bench:
            bench.desk.adopt(FillSettings(), {name: SITES[name] for name in urls}, upstreams)
            yield Bench(bench, groups)
    finally:
        for group in groups.values():
            await group.close()


async def test_the_same_path_of_two_sites_comes_from_the_upstream_of_each_and_no_fetch_of_one_serves_the_other(
    tmp_path: Path,
) -> None:
    async with (
        Origin(b"f") as films,
        Origin(b"s") as series,
        bench_of(tmp_path, {"films": films.url, "series": series.url}) as bench,
    ):
        asked = [bench.fill.ask("/a.ts", site=site) for site in ("films", "series", "films", "series")]
        found = [(await got.finish()).bytes() for got in asked]
        assert found == [films.body, series.body, films.body, series.body]
        assert (await bench.fill.ask("/b.ts", site="series").finish()).bytes() == series.body
        assert films.paths == {"/a.ts"}
        assert series.paths == {"/a.ts", "/b.ts"}


async def test_some_paths_of_a_site_may_have_an_upstream_of_their_own(tmp_path: Path) -> None:
    async with (
        Origin(b"f", 1000) as films,
        Origin(b"s", 1000) as series,
        bench_of(tmp_path, {"films": films.url, "series": series.url}) as bench,
    ):
        elsewhere = PathRules("/live/**", path_pattern("/live/**"), SITES["series"])
        rules = {"films": replace(SITES["films"], paths=(elsewhere,)), "series": SITES["series"]}
        bench.fill.desk.adopt(FillSettings(), rules, bench.fill.desk._shops._upstreams)
        for path, expected in (("/live/a.ts", series.body), ("/a.ts", films.body)):
            assert (await bench.fill.ask(path, site="films").finish()).bytes() == expected
        assert (films.paths, series.paths) == ({"/a.ts"}, {"/live/a.ts"})


async def test_an_upstream_that_is_dead_with_all_its_connections_taken_leaves_the_others_untouched(
    tmp_path: Path,
) -> None:
    async def hangs(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with (
        RawServer(hangs) as dead,
        Origin(b"s", 1000) as series,
        bench_of(
            tmp_path,
            {"films": dead.url, "series": series.url},
            origins={"films": replace(QUICK, max_connections=1, queue_limit=2, first_byte_timeout=20.0)},
        ) as bench,
    ):
        waiting = [bench.fill.ask(f"/{number}.ts", site="films") for number in range(8)]
        for number in range(8):
            got = await bench.fill.ask(f"/{number}.ts", site="series").finish()
            assert (got.failed, got.bytes()) == (None, series.body)
        for got in waiting:
            assert got.asking is not None
            got.asking.cancel()
        assert len(series.asked) == 8
        assert bench.groups["series"].members[0].client.breaker.state.value == "closed"


async def test_each_upstream_has_its_own_number_of_pieces(tmp_path: Path) -> None:
    async with (
        Origin(b"f") as films,
        Origin(b"s") as series,
        bench_of(
            tmp_path, {"films": films.url, "series": series.url}, {"films": FillSettings(parallel_max=1)}
        ) as bench,
    ):
        for group in bench.groups.values():
            group.members[0].client.pool.path = FarPath()
        for site, origin in (("films", films), ("series", series)):
            assert (await bench.fill.ask("/a.ts", site=site).finish()).bytes() == origin.body
        assert len(films.asked) == 1
        assert len(series.asked) > 4


async def test_many_bodies_of_one_upstream_take_no_connections_from_those_of_another(tmp_path: Path) -> None:
    """Pieces were counted together: an upstream with few connections asked for one at a time while another was busy."""
    body, at_once, most = b"s" * (6 * MIB), 0, 0

    async def hangs(asked: Asked, wire: Wire) -> None:
        if not asked.fields.get("range", "").startswith("bytes=0-"):
            await wire.reader.read()
        await wire.send(answer(asked, body))

    async def serves(asked: Asked, wire: Wire) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1
        await wire.send(answer(asked, body))

    async with (
        RawServer(hangs) as films,
        RawServer(serves) as series,
        bench_of(
            tmp_path,
            {"films": films.url, "series": series.url},
            origins={
                "films": replace(QUICK, first_byte_timeout=60.0, total_first_byte=60.0),
                "series": replace(QUICK, max_connections=16, connect_timeout=20.0, first_byte_timeout=20.0),
            },
        ) as bench,
    ):
        pools = {name: group.members[0].client.pool for name, group in bench.groups.items()}
        for pool in pools.values():
            pool.path = FarPath()
        assert (await bench.fill.ask("/first.ts", site="series").finish()).bytes() == body
        alone, most = most, 0
        waiting = [bench.fill.ask(f"/{number}.ts", site="films") for number in range(8)]
        async with asyncio.timeout(20):
            while len(films.asked) < 8 + 2 * pools["series"].for_pieces:
                await asyncio.sleep(0.01)
        assert (await bench.fill.ask("/x.ts", site="series").finish()).bytes() == body
        for got in waiting:
            assert got.asking is not None
            got.asking.cancel()
        assert alone > 4
        assert most > 4


async def test_what_is_fetched_ahead_comes_from_the_sites_own_upstream(tmp_path: Path) -> None:
    async with (
        Origin(b"f", 1000) as films,
        Origin(b"s", 1000) as series,
        bench_of(tmp_path, {"films": films.url, "series": series.url}) as bench,
    ):
        # Only over a far path is anything fetched ahead: that of the site counts, not that of another.
        bench.groups["series"].members[0].client.pool.path = FarPath()
        for site in ("films", "series"):
            bench.fill.ask("/x.ts", site=site, mode=Mode.AHEAD)
        async with asyncio.timeout(20):
            while not series.asked:
                await asyncio.sleep(0.01)
        assert series.paths == {"/x.ts"}
        assert films.asked == []


@pytest.mark.parametrize("reloads", [1, 3])
async def test_workers_of_before_have_a_site_that_is_no_more_from_its_own_upstream(
    tmp_path: Path, reloads: int
) -> None:
    """Its rules had stayed for one reload; from then on another site's held, and with them its upstream would."""
    async with (
        Origin(b"f", 1000) as films,
        Origin(b"s", 1000) as series,
        bench_of(tmp_path, {"films": films.url, "series": series.url}) as bench,
    ):
        desk = bench.fill.desk
        left = {"series": desk._shops._upstreams["series"]}
        for _ in range(reloads):
            desk.adopt(FillSettings(), {"series": SITES["series"]}, left)
        got = await bench.fill.ask("/late.ts", site="films").finish()
        assert got.bytes() == films.body
        assert series.asked == []
