"""What /metrics says of an upstream while bodies break, first bytes are late, and a member dies and comes back."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from edge.origin.breaker import START_SHARE, UNWELL
from edge.origin.hedge import ENOUGH
from edge.words import KIB, MIB
from tests.support.edgeproc import Edge, client, running_edge
from tests.support.farbench import MODES
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Harm, Reset
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

SOON = 40.0  # seconds in which something has to be told that happens at once, on a machine however busy
PROBE = "/healthz"
SMALL, FILM = os.urandom(100 * KIB), os.urandom(3 * MIB)
TWO = f"""
[origin]
selection = "primary-backup"
far = {MODES["one-stream"]}
probe_interval = "500ms"
[[upstream]]
url = "{{one}}"
probe = "{PROBE}"
[[upstream]]
url = "{{other}}"
"""
FAR = f"[origin]\nfar = {MODES['parallel']}\nhedge = false\n"


@dataclass
class Told:
    """What an edge tells of one member."""

    edge: Edge
    url: str

    async def of(self, name: str, *labels: str) -> float:
        member = f'member="{self.url.removeprefix("http://")}"'
        return await self.edge.metric(f"edge_{name}{{", member, *labels)

    async def breaker(self) -> dict[str, float]:
        return {
            state: await self.of("circuit_breaker_state", f'state="{state}"')
            for state in ("closed", "open", "half_open")
        }

    async def extra(self) -> dict[str, float]:
        """Requests beyond the first one for each object."""
        return {name: await self.of(f"upstream_{name}_total") for name in ("retries", "hedges", "resumes", "repeats")}

    async def becomes(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(SOON):
            while not await is_so():
                await asyncio.sleep(0.05)

    async def grows(self, least: float, name: str, *labels: str) -> float:
        """Wait until it is more than `least`; what it is then."""

        async def is_more() -> bool:
            return await self.of(name, *labels) > least

        await self.becomes(is_more)
        return await self.of(name, *labels)


async def ask(http: aiohttp.ClientSession, edge: Edge, path: str, expected: bytes = SMALL) -> None:
    async with http.get(edge.url + path) as got:
        assert got.status == 200, path
        assert await got.read() == expected, path


async def test_what_becomes_of_a_member_is_told_step_by_step(tmp_path: Path) -> None:
    asked_again: dict[str, asyncio.Event] = {}

    async def serve(asked: Asked, wire: Wire) -> None:
        if asked.target.startswith("/late"):  # a first request is answered when there is a second one
            first = asked.target not in asked_again
            again = asked_again.setdefault(asked.target, asyncio.Event())
            if first:
                await again.wait()
            again.set()
        await wire.send(answer(asked, SMALL, "Cache-Control: max-age=600"))

    config = tmp_path / "edge.toml"
    async with RawServer(serve) as origin, RawServer(serve) as backup, FaultProxy(origin.url) as proxy:
        config.write_text(TWO.format(one=proxy.url, other=backup.url))
        words = ("--config", str(config))
        async with running_edge(tmp_path / "c", origin.url, *words, workers=1) as edge, client() as http:
            one, other = Told(edge, proxy.url), Told(edge, backup.url)
            await starts_well(one, other)
            await a_broken_body_is_a_resume(one, other, proxy, edge, http)
            await a_late_first_byte_is_a_hedge(one, edge, http)
            counts = Counter(asked.target for asked in origin.asked if asked.target != PROBE)
            assert sum((await one.extra()).values()) == sum(counts.values()) - len(counts)
            assert [asked.target for asked in backup.asked] == ["/broken.ts"]
            await a_member_dies_and_comes_back(one, other, proxy, edge, http)
            assert len(backup.asked) > 1
            assert await other.extra() == {"retries": 0, "hedges": 0, "resumes": 1, "repeats": 0}


async def starts_well(one: Told, other: Told) -> None:
    await one.grows(0, "upstream_probes_total", 'result="ok"')
    for told in (one, other):
        await told.grows(0, "upstream_up")
        assert await told.of("upstream_up") == 1
        assert await told.breaker() == {"closed": 1, "open": 0, "half_open": 0}
        assert await told.of("upstream_share_ratio") == 1
        assert await told.extra() == dict.fromkeys(("retries", "hedges", "resumes", "repeats"), 0)
    assert await one.of("upstream_probes_total", 'result="failed"') == 0
    assert await other.of("upstream_probes_total") == 0, "nobody has told what to probe there"


async def a_broken_body_is_a_resume(
    one: Told, other: Told, proxy: FaultProxy, edge: Edge, http: aiohttp.ClientSession
) -> None:
    """What is missing is asked of the next member."""
    proxy.script = harm = Harm((Reset(len(SMALL) // 2),), times=1, path="/broken.ts")
    await ask(http, edge, "/broken.ts")
    assert harm.fired == 1
    assert await one.extra() == dict.fromkeys(("retries", "hedges", "resumes", "repeats"), 0)
    assert await other.extra() == {"retries": 0, "hedges": 0, "resumes": 1, "repeats": 0}
    assert await one.breaker() == {"closed": 1, "open": 0, "half_open": 0}


async def a_late_first_byte_is_a_hedge(one: Told, edge: Edge, http: aiohttp.ClientSession) -> None:
    """As soon as enough is known of what is late, and the budget has one; a busy machine is late by itself."""
    for number in range(2 * ENOUGH):
        await ask(http, edge, f"/quick-{number}.ts")
    before = await one.of("upstream_hedges_total")
    await ask(http, edge, "/late.ts")
    assert await one.of("upstream_hedges_total") == before + 1


async def a_member_dies_and_comes_back(
    one: Told, other: Told, proxy: FaultProxy, edge: Edge, http: aiohttp.ClientSession
) -> None:
    well = await one.of("upstream_probes_total", 'result="ok"')
    await proxy.down()
    assert await one.grows(UNWELL - 1, "upstream_probes_total", 'result="failed"') >= UNWELL

    async def is_away() -> bool:
        return await one.of("upstream_up") == 0

    await one.becomes(is_away)
    assert await one.breaker() == {"closed": 0, "open": 1, "half_open": 0}
    assert await one.of("upstream_errors_total", 'reason="connect_failed"') >= UNWELL
    assert await other.of("upstream_up") == 1
    await ask(http, edge, "/meanwhile.ts")
    assert await other.of("upstream_requests_total", 'code="200"') == 1

    await proxy.up()
    await one.grows(0, "upstream_up")
    assert await one.breaker() == {"closed": 1, "open": 0, "half_open": 0}
    assert await one.of("upstream_probes_total", 'result="ok"') > well
    back = await one.of("upstream_share_ratio")
    assert START_SHARE <= back < 1, "it may have lost its cache"
    assert back < await one.grows(back, "upstream_share_ratio") <= 1
    assert await other.of("upstream_share_ratio") == 1


async def test_a_piece_of_a_far_body_that_lags_and_is_asked_for_again_is_a_repeat(tmp_path: Path) -> None:
    middle, held = len(FILM) // 2, asyncio.Event()

    async def serve(asked: Asked, wire: Wire) -> None:
        raw, part = answer(asked, FILM, "Cache-Control: max-age=600"), range_of(asked, len(FILM))
        if asked.target == "/lags.ts" and part and part[0] <= middle < part[1] and not held.is_set():
            held.set()
            await wire.send(raw[:-1000])
            await wire.reader.read()  # the rest never comes
            return
        await wire.send(raw)

    config = tmp_path / "edge.toml"
    config.write_text(FAR)
    async with (
        RawServer(serve) as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config), workers=1) as edge,
        client() as http,
    ):
        told = Told(edge, origin.url)
        await ask(http, edge, "/known.ts", FILM)

        async def has_some_to_spare() -> bool:
            return await edge.metric('edge_upstream_connections{upstream="origin",state="idle"}') > 16

        await told.becomes(has_some_to_spare)
        origin.asked.clear()
        before = await told.of("upstream_repeats_total")
        await ask(http, edge, "/lags.ts", FILM)
        assert held.is_set()
        again = await told.of("upstream_repeats_total") - before
        starts = [part[0] for asked in origin.asked if (part := range_of(asked, len(FILM))) is not None]
        assert 1 <= again <= len(starts)
        ends = sorted(part[1] for asked in origin.asked if (part := range_of(asked, len(FILM))) is not None)
        assert len(ends) > len(set(ends)), "the end of a piece was asked for twice"
