"""Two sites with an upstream each in one server, with real processes: what is asked, told, reloaded, and what fails."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.words import KIB
from tests.scenario.test_reload import reload
from tests.support.edgeproc import Describing, Edge, client, describing_origin, proven, running_edge

FILMS, SERIES = "films.example", "series.example"
SIZE = 100 * KIB


class File:
    """Films come from [origin], series from an upstream of their own."""

    def __init__(self, directory: Path) -> None:
        self.path, self.cache = directory / "edge.toml", directory / "cache"

    def write(self, films: str, series: str) -> None:
        self.path.write_text(
            f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = 2\n[admin]\nlisten = "127.0.0.1:0"\n'
            f'[cache]\ndir = "{self.cache}"\nsize = "128MiB"\n[origin]\nurl = "{films}"\nhedge = false\n'
            f'[[upstream]]\nurl = "{series}"\ngroup = "series"\n'
            f'[[group]]\nname = "series"\nretries = 0\ntotal_first_byte = "3s"\n'
            f'[[site]]\nname = "films"\nhosts = ["{FILMS}"]\n'
            f'[[site]]\nname = "series"\nhosts = ["{SERIES}"]\nupstream = "series"\n'
        )


@asynccontextmanager
async def served(directory: Path, films: Describing, series: Describing) -> AsyncIterator[tuple[Edge, File]]:
    file = File(directory)
    file.write(films.url, series.url)
    async with running_edge(None, films.url, "--config", str(file.path), listen=False) as edge:
        yield edge, file


async def get(edge: Edge, host: str, name: str) -> int:
    """The status; what comes with 200 is proven."""
    path = f"/s/{SIZE}/{name}.ts"
    async with client() as http, http.get(edge.url + path, headers={"Host": host}) as got:
        body = await got.read()
        if got.status == 200:
            proven(path, body)
        return got.status


async def asked_for(edge: Edge, upstream: str, origin: Describing) -> float:
    """Answers that metrics have under an upstream and its member."""
    member = origin.url.removeprefix("http://")
    return await edge.metric(f'edge_upstream_requests_total{{upstream="{upstream}",member="{member}"')


async def test_each_origin_is_asked_only_for_its_own_site_and_metrics_tell_them_apart(tmp_path: Path) -> None:
    async with describing_origin() as films, describing_origin() as series:
        async with served(tmp_path, films, series) as (edge, _):
            for name in ("one", "two", "both"):
                assert await get(edge, FILMS, name) == 200
            for name in ("three", "both"):
                assert await get(edge, SERIES, name) == 200
            assert set(films.origin.counts) == {f"/s/{SIZE}/{name}.ts" for name in ("one", "two", "both")}
            assert set(series.origin.counts) == {f"/s/{SIZE}/{name}.ts" for name in ("three", "both")}
            assert await asked_for(edge, "origin", films) == 3
            assert await asked_for(edge, "series", series) == 2
            assert await asked_for(edge, "origin", series) == await asked_for(edge, "series", films) == 0
            for upstream in ("origin", "series"):
                assert await edge.metric(f'edge_upstream_up{{upstream="{upstream}"') == 1
                async with asyncio.timeout(20):  # looked at each second
                    while not await edge.metric(f'edge_upstream_connections{{upstream="{upstream}"'):
                        await asyncio.sleep(0.05)
            assert any(f"misses of series are fetched from {series.url}" in line for line in edge.lines)


async def test_a_dead_origin_fails_its_own_sites_misses_alone_and_a_reload_gives_that_site_another_one(
    tmp_path: Path,
) -> None:
    async with describing_origin() as films, describing_origin() as series, describing_origin() as other:
        async with served(tmp_path, films, series) as (edge, file):
            assert await get(edge, SERIES, "kept") == 200
            assert await get(edge, FILMS, "first") == 200
            await series.stop()
            for number in range(12):
                assert await get(edge, SERIES, f"gone-{number}") in (502, 503, 504)
                assert await get(edge, FILMS, f"there-{number}") == 200
            assert await get(edge, SERIES, "kept") == 200  # what is stored is served on
            assert await edge.metric('edge_upstream_errors_total{upstream="origin"') == 0
            assert await edge.metric('edge_upstream_retries_total{upstream="origin"') == 0
            assert await edge.metric('edge_upstream_retries_total{upstream="series"') == 0  # its group says so
            connects = await edge.metric('edge_upstream_connect_seconds_count{upstream="origin"')
            keepers = edge.children("keeper")
            file.write(films.url, other.url)
            await reload(edge)
            assert edge.children("keeper") == keepers
            assert await get(edge, SERIES, "back") == 200
            assert other.origin.counts[f"/s/{SIZE}/back.ts"] == 1
            assert await get(edge, FILMS, "last") == 200
            # The upstream that has not changed goes on with the connections that it has.
            assert await edge.metric('edge_upstream_connect_seconds_count{upstream="origin"') == connects
            gone = series.url.removeprefix("http://")
            async with asyncio.timeout(20):  # members are looked at once a second
                while await edge.metric(f'edge_upstream_up{{upstream="series",member="{gone}"') != 0:
                    await asyncio.sleep(0.2)
            assert edge.process.returncode is None


async def test_a_site_that_goes_to_no_upstream_is_refused_at_a_reload_and_the_server_goes_on(tmp_path: Path) -> None:
    async with describing_origin() as films, describing_origin() as series:
        async with served(tmp_path, films, series) as (edge, file):
            file.path.write_text(file.path.read_text().replace('upstream = "series"', 'upstream = "serie"'))
            line = await reload(edge, "^not reloaded")
            assert "did you mean series?" in line
            assert await get(edge, SERIES, "a") == 200
            assert await edge.stop(signal.SIGTERM) == 0
