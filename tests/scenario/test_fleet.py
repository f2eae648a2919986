"""Two real servers, a real Redis, the command line: a purge of the fleet holds everywhere, also on who was away."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.scenario.test_control import Library, Running
from tests.support.edgeproc import Edge, running_edge
from tests.support.rawserver import RawServer
from tests.support.redisserver import RedisServer, needs_redis, redis_server

pytestmark = needs_redis
KEY = "a key of the fleet, as long as it should be\n"


async def verb(*words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@asynccontextmanager
async def node(name: str, directory: Path, redis: RedisServer, origin: RawServer) -> AsyncIterator[Running]:
    home = directory / name
    home.mkdir(exist_ok=True)
    (home / "fleet.key").write_text(KEY)
    (home / "edge.toml").write_text(
        f'[server]\nnode = "{name}"\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n'
        f'[cache]\ndir = "{home / "cache"}"\nsize = "64MiB"\n[origin]\nurl = "{origin.url}"\n'
        f'[fleet]\nredis = "{redis.url}"\nkey_file = "{home / "fleet.key"}"\n'
    )
    async with running_edge(None, "", "--config", str(home / "edge.toml"), listen=False) as edge:
        yield Running(edge, origin, Library(), home)


async def joined(edge: Edge) -> None:
    await edge.wait_for_line("takes part in the fleet")


async def test_a_purge_of_the_fleet_holds_on_every_node_and_on_those_that_come_back(tmp_path: Path) -> None:
    library = Library()
    async with redis_server(tmp_path / "redis") as redis, RawServer(library) as origin:
        async with node("msk", tmp_path, redis, origin) as msk:
            await joined(msk.edge)
            purge = "purge", "--cache-dir", str(msk.cache), "--fleet", "--wait"
            async with node("nsk", tmp_path, redis, origin) as nsk:
                await joined(nsk.edge)
                for each in (msk, nsk):
                    assert await each.version("/film/a") == (1, "MISS")
                    assert await each.version("/film/a") == (1, "HIT")
                library.version = 2
                code, said = await verb(*purge, "http://films.example/film/a")
                assert (code, "done by msk, nsk" in said) == (0, True), said
                for each in (msk, nsk):
                    assert await each.version("/film/a") == (2, "MISS")
                assert await nsk.edge.metric('edge_fleet_orders_total{result="done"}') == 1
                assert await msk.edge.metric('edge_fleet_orders_total{result="own"}') == 1
            library.version = 3
            code, said = await verb(*purge, "--tag", "film")
            assert code == 0
            assert "done by msk\n" in said
            assert "away, they will when they come back: nsk" in said
            async with node("nsk", tmp_path, redis, origin) as nsk:
                await joined(nsk.edge)
                code, said = await verb(*purge, "http://films.example/nothing")  # orders are done one after the other
                assert (code, "done by msk, nsk" in said) == (0, True), said
                assert await nsk.version("/film/a") == (3, "MISS")
                code, said = await verb("fleet", "--cache-dir", str(nsk.cache))
                assert code == 0
                assert said.count("has done all up to") == 2


async def test_a_node_that_lives_and_has_not_done_it_in_time_is_named_and_does_it_later(tmp_path: Path) -> None:
    library = Library()
    async with (
        redis_server(tmp_path / "redis") as redis,
        RawServer(library) as origin,
        node("msk", tmp_path, redis, origin) as msk,
        node("nsk", tmp_path, redis, origin) as nsk,
    ):
        await joined(msk.edge)
        await joined(nsk.edge)
        assert await nsk.version("/film/a") == (1, "MISS")
        library.version = 2
        purge = "purge", "--cache-dir", str(msk.cache), "--fleet", "--wait", "--wait-most", "4"
        async with asyncio.timeout(30):
            while "nsk" not in (await verb(*purge, "--tag", "none"))[1]:
                pass  # it has not told the others yet that it lives
        os.kill(nsk.edge.process.pid, signal.SIGSTOP)  # it hangs
        try:
            code, said = await verb(*purge, "http://films.example/film/a")
        finally:
            os.kill(nsk.edge.process.pid, signal.SIGCONT)
        assert (code, "done by msk\n" in said, "not done yet: nsk" in said) == (1, True, True), said
        assert (await verb(*purge[:-1], "20", "--tag", "none"))[0] == 0  # orders are done one after the other
        assert await nsk.version("/film/a") == (2, "MISS")


async def test_a_fleet_that_is_out_of_reach_leaves_the_purge_here_and_is_named(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "redis") as redis, RawServer(Library()) as origin:
        await redis.stop()
        async with node("msk", tmp_path, redis, origin) as msk:
            await msk.edge.wait_for_line("this node works alone, without its fleet")
            assert await msk.version("/film/a") == (1, "MISS")
            code, said = await verb(
                "purge", "--cache-dir", str(msk.cache), "--fleet", "--wait", "http://films.example/film/a"
            )
            assert code == 1
            assert "1 objects" in said
            assert "the fleet: this node works alone" in said
            assert await msk.version("/film/a") == (1, "MISS")
            code, said = await verb("fleet", "--cache-dir", str(msk.cache))
            assert (code, "works alone" in said) == (1, True)
            await redis.start()
            await joined(msk.edge)


async def test_a_warm_job_of_the_fleet_runs_on_every_node(tmp_path: Path) -> None:
    async with (
        redis_server(tmp_path / "redis") as redis,
        RawServer(Library()) as origin,
        node("msk", tmp_path, redis, origin) as msk,
        node("nsk", tmp_path, redis, origin) as nsk,
    ):
        await joined(msk.edge)
        await joined(nsk.edge)
        code, said = await verb(
            "warm",
            "--cache-dir",
            str(msk.cache),
            "--fleet",
            "http://films.example/film/a",
            "http://films.example/film/b",
        )
        assert (code, "2 fetched" in said) == (0, True), said
        job = said.split()[0]
        code, said = await verb("warm", "--cache-dir", str(nsk.cache), "--watch", job)
        assert (code, "2 fetched" in said) == (0, True), said
        assert await nsk.version("/film/b") == (1, "HIT")


async def test_a_node_without_a_fleet_refuses_orders_for_one(tmp_path: Path) -> None:
    async with RawServer(Library()) as origin, running_edge(tmp_path / "cache", origin.url, workers=1):
        cache = str(tmp_path / "cache")
        code, said = await verb("purge", "--cache-dir", cache, "--fleet", "http://a/x")
        assert (code, "in no fleet" in said) == (1, True), said
        code, said = await verb("fleet", "--cache-dir", cache)
        assert (code, "works alone" in said) == (1, True)
