"""A real Prometheus scrapes a running edge under load: every panel of every dashboard has something to show."""

import asyncio
import math
from pathlib import Path

import aiohttp

from tests.support.certificate import self_signed
from tests.support.dashboards import DASHBOARDS, expressions
from tests.support.edgeproc import client, describing_origin, running_edge
from tests.support.prometheus import Prometheus, prometheus
from tests.support.queries import rules_of
from tests.support.redisserver import RedisServer, needs_redis, redis_server

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"
CMCD = "CMCD=bl%3D12000%2Cbr%3D3200%2Cmtp%3D25400%2Crtp%3D15000%2Csid%3D%22a%22%2Cst%3Dv%2Csu%2Cot%3Dv"


def configuration(directory: Path, origin: str, redis: RedisServer) -> Path:
    """A node with all that there are metrics of: TLS beside plain HTTP, a fleet, a port of a known capacity."""
    cert, key = self_signed(directory)
    (directory / "fleet.key").write_text("a key of the fleet, as long as it should be\n")
    said = directory / "edge.toml"
    said.write_text(
        '[server]\nlisten = ["127.0.0.1:0"]\nlisten_plain = ["127.0.0.1:0"]\nworkers = 2\n'
        'link_capacity = 1250000000\n[admin]\nlisten = "127.0.0.1:0"\n'
        f'[cache]\ndir = "{directory / "cache"}"\nsize = "64MiB"\ndaily_writes = "50GB"\n'
        f'[origin]\nurl = "{origin}"\n[[tls]]\ncert = "{cert}"\nkey = "{key}"\n'
        f'[fleet]\nredis = "{redis.url}"\nkey_file = "{directory / "fleet.key"}"\n'
    )
    return said


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


@needs_redis
async def test_every_panel_and_recorded_series_has_data_under_load_and_no_alert_cries(tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    done = asyncio.Event()
    async with (
        describing_origin() as origin,
        redis_server(tmp_path / "redis") as redis,
        running_edge(None, "", "--config", str(configuration(tmp_path, origin.url, redis)), listen=False) as edge,
        prometheus(tmp_path / "prometheus", edge.admin.rpartition("/")[2]) as prom,
        client() as http,
    ):
        plain = (await edge.wait_for_line(r"players on http://")).rpartition("/")[2]
        players = asyncio.create_task(load(http, f"http://{plain}", done))
        wanted = {
            f"{name}: {title}: {expression}": expression
            for name in DASHBOARDS
            for title, expression in expressions(name)
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
