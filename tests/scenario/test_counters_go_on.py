"""One scrape for all processes: over reloads, and deaths of workers and keepers, no counter falls and nothing grows."""

import asyncio
import os
import signal
from pathlib import Path

from tests.scenario.test_reload import cors, reload, served
from tests.support.edgeproc import Edge, client, describing_origin

COUNTED = ("_total", "_bucket", "_count", "_sum")
TURNS = 3
USUAL = {"worker": 2, "keeper": 1}


async def scraped(edge: Edge) -> dict[str, float]:
    """Every sample by its name and labels."""
    async with client() as http, http.get(edge.admin + "/metrics") as got:
        lines = (await got.text()).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def counters(samples: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in samples.items() if name.partition("{")[0].endswith(COUNTED)}


async def served_and_looked_at(edge: Edge, before: dict[str, float]) -> dict[str, float]:
    for _ in range(10):
        await cors(edge)
    was, answered = counters(before), 0.0
    async with asyncio.timeout(20):
        while answered < 10:  # an answer is counted when it has gone, which its client may see first
            now = await scraped(edge)
            are = counters(now)
            assert {name: (value, are.get(name)) for name, value in was.items() if are.get(name, -1.0) < value} == {}
            answered = sum(are[name] - was.get(name, 0) for name in are if name.startswith("edge_http_requests_total"))
    assert answered == 10
    return now


async def died(edge: Edge, role: str, before: dict[str, float]) -> None:
    """Kill one of that role, and wait for its successor."""
    name = f"edge_{role}_restarts_total"
    restarts = sum(value for key, value in before.items() if key.startswith(name))
    while len(pids := edge.children(role)) > USUAL[role]:  # those of before the reload finish what they have
        await asyncio.sleep(0.02)
    os.kill(pids[0], signal.SIGKILL)
    while await edge.metric(name) <= restarts or len(edge.children(role)) < len(pids) or pids[0] in edge.children(role):
        pass


async def test_no_counter_falls_and_no_series_is_added_over_reloads_and_deaths(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        samples = await served_and_looked_at(edge, {})
        counts = []
        for turn in range(TURNS):
            file.cors = f"https://{turn}.example"
            file.write()
            await reload(edge)
            samples = await served_and_looked_at(edge, samples)
            await died(edge, "worker", samples)
            samples = await served_and_looked_at(edge, samples)
            await died(edge, "keeper", samples)
            samples = await served_and_looked_at(edge, samples)
            counts.append(len(samples))
        assert counts[1:] == counts[:1] * (TURNS - 1), set(samples)
