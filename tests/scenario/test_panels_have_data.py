"""A real Prometheus scrapes a running edge under load: every panel of every dashboard has something to show."""

import asyncio
import math
from pathlib import Path

import aiohttp

from tests.support.dashboards import DASHBOARDS, expressions
from tests.support.edgeproc import client, describing_origin, running_edge
from tests.support.prometheus import Prometheus, prometheus
from tests.support.queries import rules_of

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"
# Without a fleet's Redis a node has no orders to wait for; without TLS no certificates.
EMPTY = {"Purges of the fleet: oldest order that waits", "Certificates end in"}
CMCD = "CMCD=bl%3D12000%2Cbr%3D3200%2Cmtp%3D25400%2Crtp%3D15000%2Csid%3D%22a%22%2Cst%3Dv%2Csu%2Cot%3Dv"


async def load(http: aiohttp.ClientSession, url: str, done: asyncio.Event) -> None:
    """Hits, misses, errors, players that tell of themselves, some that ran dry."""
    turn = 0
    while not done.is_set():
        turn += 1
        paths = ["/s/400000/hot.ts", f"/s/300000/cold{turn}.ts?{CMCD}", f"/s/1/x{turn}.ts?status=500"]
        paths += [f"/s/300000/hot2.ts?{CMCD}%2Cbs", "/s/1000/list.m3u8?" + CMCD]
        same = [f"/s/2000000/together{turn}.ts"] * 4  # misses that join one fill
        await asyncio.gather(*(fetch(http, url + path) for path in same))
        for path in paths:
            await fetch(http, url + path)


async def fetch(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url) as got:
        await got.read()


async def until_data(prom: Prometheus, wanted: dict[str, str]) -> dict[str, str]:
    """Which of the expressions still have none after a while."""
    left = dict(wanted)
    try:
        async with asyncio.timeout(45):
            while left:
                for name, expression in list(left.items()):
                    if await prom.samples(expression):
                        del left[name]
                await asyncio.sleep(0.5)
    except TimeoutError:
        pass
    return left


async def test_every_panel_and_recorded_series_has_data_under_load_and_no_alert_cries(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text("[server]\nlink_capacity = 1250000000\n")
    (tmp_path / "prometheus").mkdir()
    done = asyncio.Event()
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config)) as edge,
        prometheus(tmp_path / "prometheus", edge.admin.rpartition("/")[2]) as prom,
        client() as http,
    ):
        players = asyncio.create_task(load(http, edge.url, done))
        wanted = {
            f"{name}: {title}: {expression}": expression
            for name in DASHBOARDS
            for title, expression in expressions(name)
            if title not in EMPTY
        }
        wanted |= {rule.name: rule.name for rule in rules_of(RULES) if not rule.alert}
        missing = await until_data(prom, wanted)
        done.set()
        await players
        assert not missing
        firing = await prom.samples('ALERTS{alertstate="firing",severity="critical"}')
        assert not firing
        ratio = await prom.samples("node:edge_requests_hit:ratio_rate5m")
        assert 0 < float(ratio[0]["value"][1]) < 1
        late = await prom.samples("node:edge_hits_late:ratio_rate5m")
        assert math.isfinite(float(late[0]["value"][1]))
        (target,) = (await prom.ask("targets"))["activeTargets"]
        assert target["health"] == "up"
