"""Warm jobs on a running server: what they name is there afterwards, whatever happens in between."""

import asyncio
import datetime
import os
import signal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.scenario.test_control import Running, running
from tests.support.edgeproc import running_edge

HOST = "http://films.example"
SEGMENTS = [f"/t/{name}/seg-{n}.m4s" for name in ("low", "high") for n in range(4)]


async def over(node: Running, id_: str) -> dict[str, Any]:
    """The job when it is done or cancelled."""
    async with asyncio.timeout(60):
        while True:
            _, job = await node.call("GET", f"/v1/warm/{id_}")
            if job["state"] in ("done", "cancelled"):
                found: dict[str, Any] = job
                return found
            await asyncio.sleep(0.05)


async def begin(node: Running, **ask: object) -> str:
    status, job = await node.call("POST", "/v1/warm", ask)
    assert status == 200, job
    return str(job["id"])


async def test_a_title_with_its_chosen_rendition_is_hit_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        title = {"titles": [HOST + "/t/master.m3u8"], "renditions": ["*/high/*"], "parallel": 3}
        job = await over(node, await begin(node, **title))
        assert (job["total"], job["fetched"] + job["present"], job["failed"]) == (7, 7, 0), job
        assert await node.version("/t/high/seg-3.m4s") == (1, "HIT")
        assert (await node.get("/t/high/list.m3u8"))[1] == "HIT"
        assert await node.version("/t/low/seg-3.m4s") == (1, "MISS")
        again = await over(node, await begin(node, **title))
        assert (again["present"], again["fetched"], again["length"]) == (7, 0, 0)


async def test_what_cannot_be_had_is_told_and_the_rest_comes(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        urls = [HOST + "/a/1.m4s", "http://films.example:99999/no", HOST + "/a/2.m4s", HOST + "/b/3.m4s"]
        job = await over(node, await begin(node, urls=urls, prefix=HOST))
        assert (job["total"], job["fetched"]) == (4, 3)
        assert job["failed"] + job["refused"] == 1
        assert len(job["failures"]) == 1
        filtered = await over(node, await begin(node, urls=urls, prefix=HOST + "/b/"))
        assert filtered["total"] == 1


async def test_a_rate_is_kept_to_and_a_job_can_be_paused_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        urls = [f"{HOST}/slow/{n}.m4s" for n in range(30)]
        id_ = await begin(node, urls=urls, mbit=1.0)  # 21,000 bytes each: about six a second
        async with asyncio.timeout(30):
            while (await node.call("GET", f"/v1/warm/{id_}"))[1]["done"] < 3:
                await asyncio.sleep(0.02)
        _, paused = await node.call("POST", f"/v1/warm/{id_}/pause")
        assert paused["state"] == "paused"
        assert paused["mbit_per_second"] < 1.5
        at = paused["done"]
        assert at < 30
        await node.call("GET", "/v1/stats")
        assert (await node.call("GET", f"/v1/warm/{id_}"))[1]["done"] == at
        _, going = await node.call("POST", f"/v1/warm/{id_}/resume")
        assert going["state"] in ("waiting", "running")
        assert await node.edge.stop(signal.SIGTERM) == 0
        async with running_edge(None, "", "--config", str(tmp_path / "edge.toml"), listen=False) as again:
            node.edge = again
            _, job = await node.call("GET", f"/v1/warm/{id_}")
            assert job["state"] in ("waiting", "running")
            assert at <= job["done"] < 30
            _, job = await node.call("POST", f"/v1/warm/{id_}/cancel")
            assert job["state"] == "cancelled"
            assert (await node.call("POST", f"/v1/warm/{id_}/resume"))[1]["state"] == "cancelled"


async def test_the_command_line_begins_watches_and_lists_jobs(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        code, out = await node.edge_verb("warm", HOST + "/a/1.m4s", HOST + "/a/2.m4s")
        assert code == 0, out
        assert "100% 2/2 done" in out
        code, out = await node.edge_verb("warm", "--jobs")
        assert out.count("done") == 1
        code, out = await node.edge_verb("warm", "--title", HOST + "/a/1.m4s")
        assert (code, "is no playlist or manifest, or names nothing" in out) == (1, True)
        code, out = await node.edge_verb("warm", HOST + "/a/3.m4s", "--window", "25:00-26:00")
        assert code == 1
        assert "not a time window" in out
        code, out = await node.edge_verb("warm", HOST + "/a/3.m4s", "--window", "02:00-08:00", "--zone", "Mars/Base")
        assert "no time zone" in out


async def test_a_job_goes_on_after_kill_9_and_nothing_of_it_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        urls = [f"{HOST}/slow/{n}.m4s" for n in range(12)]
        id_ = await begin(node, urls=urls, mbit=2.0)
        async with asyncio.timeout(30):
            while (await node.call("GET", f"/v1/warm/{id_}"))[1]["done"] < 2:
                await asyncio.sleep(0.02)
        os.killpg(node.edge.process.pid, signal.SIGKILL)
        await node.edge.process.wait()
        async with running_edge(None, "", "--config", str(tmp_path / "edge.toml"), listen=False) as again:
            node.edge = again
            job = await over(node, id_)
            assert (job["state"], job["done"], job["failed"], job["refused"]) == ("done", 12, 0, 0)
            assert job["present"] + job["fetched"] == 12
            for url in urls:
                assert await node.version(url.removeprefix(HOST)) == (1, "HIT")


async def test_a_job_is_at_work_only_while_its_window_is_open_by_the_clocks_of_its_zone(tmp_path: Path) -> None:
    zone = "Asia/Yekaterinburg"
    now = datetime.datetime.now(ZoneInfo(zone))

    def window(first: int, last: int) -> str:
        return "-".join(f"{now + datetime.timedelta(hours=hours):%H:%M}" for hours in (first, last))

    async with running(tmp_path) as node:
        shut = await begin(node, urls=[HOST + "/a/1.m4s"], window=window(3, 6), zone=zone)
        open_ = await begin(node, urls=[HOST + "/a/2.m4s"], window=window(-3, 3), zone=zone)
        assert (await over(node, open_))["fetched"] == 1
        _, job = await node.call("GET", f"/v1/warm/{shut}")
        assert (job["state"], job["done"], job["total"]) == ("waiting", 0, None)
        assert await node.version("/a/1.m4s") == (1, "MISS")
        assert (await node.call("POST", f"/v1/warm/{shut}/cancel"))[1]["state"] == "cancelled"
