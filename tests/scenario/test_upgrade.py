"""`edge upgrade`: another program in the same process, the same sockets, and nobody notices."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from edge.runtime.upgrade import ANSWER_SECONDS
from edge.words import KIB, MIB
from tests.scenario.test_reload import served
from tests.support.crowd import Crowd
from tests.support.edgeproc import Edge, client, describing_origin, proven
from tests.support.fakeserve import alive
from tests.support.manager import manager

SEGMENT = f"/s/{100 * KIB}/seg.ts"


async def verb(*words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def upgraded(edge: Edge, cache: Path, times: int = 1) -> None:
    code, said = await verb("upgrade", "--cache-dir", str(cache))
    assert code == 0, (said, edge.lines)
    assert f"(pid {edge.process.pid})" in said


@pytest.mark.parametrize(
    ("upgrades", "rate"), [(1, 200.0), pytest.param(10, 2000.0, marks=(pytest.mark.long, pytest.mark.timeout(900)))]
)
async def test_no_request_fails_over_upgrades_under_load(tmp_path: Path, upgrades: int, rate: float) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        crowd = Crowd([edge.url], rate, clients=20 if rate < 1000 else 60, new_each=50)
        crowd.start()
        workers, keepers = edge.children("worker"), edge.children("keeper")
        counted = 0.0
        for _ in range(upgrades):
            await upgraded(edge, file.cache)
            now = await edge.metric("edge_http_requests_total")
            assert now > counted
            counted = now
            await crowd.catches_up(5.0)
        await crowd.stop()
        print(f"{upgrades} upgrades: {crowd}")
        assert crowd.failures == []
        assert crowd.done >= 0.95 * rate * crowd.seconds or upgrades < 10
        async with asyncio.timeout(20):  # one that has answered its last request is about to end
            while set(edge.children("worker")) & set(workers):
                await asyncio.sleep(0.1)
        assert not set(edge.children("keeper")) & set(keepers)
        assert len(edge.children("keeper")) == 1
        assert await edge.metric("edge_keeper_restarts_total") == 0
        assert await edge.metric("edge_http_requests_total") >= crowd.done  # counters go on
        assert await edge.stop() == 0


async def test_a_slow_download_a_warm_cache_and_a_signal_survive_it(tmp_path: Path) -> None:
    path = f"/s/{12 * MIB}/film.mp4"
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file), client() as http:
        async with http.get(edge.url + SEGMENT) as got:
            proven(SEGMENT, await got.read())
        async with http.get(edge.url + path) as got:
            data = await got.content.readexactly(MIB)
            edge.process.send_signal(signal.SIGUSR2)
            edge.process.send_signal(signal.SIGUSR1)  # log rotation does not look at the clock
            await edge.wait_for_line("^upgraded from")
            data += await got.content.read()
            proven(path, data)
            assert len(data) == 12 * MIB
        async with http.get(edge.url + SEGMENT) as got:
            proven(SEGMENT, await got.read())
            assert got.headers["X-Cache"] == "HIT"
        file.cors = "https://later.example"
        file.write()
        said = len(edge.lines)
        edge.process.send_signal(signal.SIGHUP)  # and it reloads like any other
        async with asyncio.timeout(30):
            while not any(line.startswith("reloaded") for line in edge.lines[said:]):
                edge.said.clear()
                await edge.said.wait()
        assert await edge.stop() == 0
        assert not (file.cache / "control").exists()


@pytest.mark.parametrize("moment", ["the new program tries itself on", "it is about to take over"])
async def test_a_stop_ends_an_upgrade_and_lets_answers_finish(tmp_path: Path, moment: str) -> None:
    path = f"/s/{48 * MIB}/film.mp4"  # more than lies in the buffers of two kernels
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, _), client() as http:
        async with http.get(edge.url + path) as got:
            data = await got.content.readexactly(MIB)
            before = edge.family()
            edge.process.send_signal(signal.SIGUSR2)
            async with asyncio.timeout(30):
                while moment.startswith("the new") and edge.family() == before:
                    await asyncio.sleep(0.001)
            if moment.startswith("it"):
                await edge.wait_for_line("^upgrading from")
            family = edge.family()
            edge.process.send_signal(signal.SIGTERM)
            await edge.wait_for_line("^draining")
            edge.process.send_signal(signal.SIGUSR2)
            await edge.wait_for_line("^not upgraded: the server stops")
            await asyncio.sleep(2 * ANSWER_SECONDS)  # in which it would have become the new program
            data += await got.content.read()
            proven(path, data)
        assert await edge.process.wait() == 0
        await edge.wait_for_line("^stopped$")
        assert alive(family) == []
        assert not any("Traceback" in line or "does not start" in line for line in edge.lines)


async def test_a_program_that_would_not_start_is_refused_with_its_words(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        workers = edge.children("worker")
        file.more = "surprise = 1"
        file.write()
        code, said = await verb("upgrade", "--cache-dir", str(file.cache))
        assert code == 1
        assert "surprise" in said
        os.truncate(file.path, 0)  # another cache directory than the one that is locked
        edge.process.send_signal(signal.SIGUSR2)
        await edge.wait_for_line("^not upgraded")
        assert edge.children("worker") == workers
        async with client() as http, http.get(edge.url + SEGMENT) as got:
            proven(SEGMENT, await got.read())


async def test_readiness_and_the_service_manager_see_one_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with describing_origin() as origin, manager(tmp_path) as heard:
        monkeypatch.setenv("NOTIFY_SOCKET", str(heard.path))
        async with served(tmp_path, origin.url) as (edge, file):
            await heard.hears("READY")
            asked: list[int] = []
            over = asyncio.Event()

            async def look() -> None:
                async with client() as http:
                    while not over.is_set():
                        async with http.get(edge.admin + "/readyz") as got:
                            asked.append(got.status)

            looking = asyncio.ensure_future(look())
            await upgraded(edge, file.cache)
            over.set()
            await looking
            assert set(asked) == {200}
            await heard.hears("RELOADING")
            assert await heard.hears("READY", times=2) == {
                "READY": "1", "STATUS": "upgraded", "MAINPID": str(edge.process.pid)
            }  # fmt: skip
