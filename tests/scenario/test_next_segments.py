"""The next segments of a far origin are there before they are asked for: in measure, and from nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from edge.words import MIB
from tests.support.edgeproc import Edge, client, running_edge

SIZE = 300_000
COUNT = 9


class FilmOrigin:
    """Titles of `COUNT` segments, `DIR/list.m3u8` and `DIR/seg-N.ts`; each answer comes after `delay`."""

    def __init__(self, delay: float = 0.1, size: int = SIZE) -> None:
        self.delay, self.size = delay, size
        self.asked: list[str] = []
        self.url = ""
        self.moved = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        self.moved.set()
        await asyncio.sleep(self.delay)
        name = request.path.rpartition("/")[2]
        if name == "list.m3u8":
            body = "".join(f"#EXTINF:4,\nseg-{n}.ts\n" for n in range(1, COUNT + 1))
            text = f'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI="init.mp4"\n{body}#EXT-X-ENDLIST\n'
            return web.Response(text=text, content_type="application/vnd.apple.mpegurl")
        if name.startswith(("seg-", "init")) and not name.startswith(f"seg-{COUNT + 1}"):
            return self._part(request, bytes(1000) if name == "init.mp4" else name.encode() * (self.size // len(name)))
        return web.Response(status=404)

    def _part(self, request: web.Request, body: bytes) -> web.Response:
        fields = {"ETag": f'"{len(body)}"', "Accept-Ranges": "bytes", "Cache-Control": "max-age=3600"}
        asked = request.http_range
        if asked.start is None:
            return web.Response(body=body, headers=fields)
        stop = min(asked.stop or len(body), len(body))
        fields["Content-Range"] = f"bytes {asked.start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[asked.start : stop], headers=fields)

    def of(self, file: str) -> int:
        return sum(target.partition("?")[0].endswith("/" + file) for target in self.asked)

    async def was_asked_for(self, *files: str) -> None:
        async with asyncio.timeout(20):
            while not all(self.of(file) for file in files):
                self.moved.clear()
                await self.moved.wait()


@asynccontextmanager
async def film_origin(delay: float = 0.1, size: int = SIZE) -> AsyncIterator[FilmOrigin]:
    origin = FilmOrigin(delay, size)
    app = web.Application()
    app.router.add_get("/{rest:.*}", origin.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield origin
    finally:
        await runner.cleanup()


@asynccontextmanager
async def far_edge(tmp_path: Path, origin: FilmOrigin, site: str = "", far: float = 1e-6) -> AsyncIterator[Edge]:
    """All upstreams count as far that are farther than `far` seconds: loopback is 30 us."""
    config = tmp_path / "edge.toml"
    config.write_text(
        f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n'
        f'[cache]\ndir = "{tmp_path / "cache"}"\nsize = "256MiB"\n[origin]\nurl = "{origin.url}"\nfar = {far:f}\n'
        f'hedge = false\n[[site]]\nname = "films"\nhosts = ["films.example", "127.0.0.1"]\n{site}\n'
        '[[site]]\nname = "other"\nhosts = ["other.example"]\n'
    )
    async with running_edge(None, "", "--config", str(config), listen=False) as edge:
        yield edge


async def get(edge: Edge, target: str, **fields: str) -> str:
    async with client() as http, http.get(edge.url + target, headers=fields) as got:
        await got.read()
        assert got.status == 200, target
        return got.headers["X-Cache"]


async def kept(edge: Edge, objects: int) -> None:
    """Until so many objects are in the index."""
    async with asyncio.timeout(20):
        while await edge.metric("edge_cache_objects") < objects:
            await asyncio.sleep(0.05)


async def outcome(edge: Edge, result: str, least: int = 1) -> None:
    async with asyncio.timeout(20):
        while await edge.metric(f'edge_prefetch_total{{result="{result}"}}') < least:
            await asyncio.sleep(0.05)


async def test_the_next_two_are_there_before_they_are_asked_for_and_so_on(tmp_path: Path) -> None:
    async with film_origin() as origin, far_edge(tmp_path, origin) as edge:
        await get(edge, "/t/list.m3u8")
        assert await get(edge, "/t/seg-1.ts") == "MISS"
        await origin.was_asked_for("init.mp4", "seg-2.ts", "seg-3.ts")
        await kept(edge, 5)
        assert await get(edge, "/t/seg-2.ts") == "HIT"
        await origin.was_asked_for("seg-4.ts")
        await kept(edge, 6)
        assert await get(edge, "/t/seg-3.ts") == "HIT"
        assert await get(edge, "/t/seg-4.ts") == "HIT"
        await outcome(edge, "used", 3)
        assert origin.of("seg-2.ts") >= 1
        assert await get(edge, "/t/seg-2.ts") == "HIT"  # a second viewer makes nobody look ahead
        assert await edge.metric('edge_prefetch_total{result="failed"}') == 0


async def test_a_player_that_stops_has_caused_two_more_fetches_and_the_last_segment_none(tmp_path: Path) -> None:
    async with film_origin() as origin, far_edge(tmp_path, origin) as edge:
        await get(edge, "/t/list.m3u8")
        await get(edge, "/t/seg-4.ts")
        await kept(edge, 5)
        await get(edge, "/u/list.m3u8")  # a while later
        files = {target.rpartition("/")[2] for target in origin.asked}
        assert files == {"list.m3u8", "init.mp4", "seg-4.ts", "seg-5.ts", "seg-6.ts"}
        await get(edge, f"/t/seg-{COUNT}.ts")  # after the last one nothing follows
        await get(edge, "/v/list.m3u8")
        assert origin.of(f"seg-{COUNT + 1}.ts") == 0


async def test_without_a_list_a_number_counts_once_two_neighbours_were_asked_for(tmp_path: Path) -> None:
    async with film_origin() as origin, far_edge(tmp_path, origin) as edge:
        await get(edge, "/t/seg-2.ts")
        await get(edge, "/t/seg-6.ts")
        await get(edge, "/t/seg-3.ts")
        await origin.was_asked_for("seg-4.ts")
        await kept(edge, 4)
        assert {target.rpartition("-")[2] for target in origin.asked} == {"2.ts", "6.ts", "3.ts", "4.ts"}
        await get(edge, f"/t/seg-{COUNT - 1}.ts")
        await get(edge, f"/t/seg-{COUNT}.ts")
        await outcome(edge, "failed")  # a guess beyond the end ...
        assert origin.of(f"seg-{COUNT + 1}.ts") == 1
        async with client() as http, http.get(edge.url + f"/t/seg-{COUNT + 1}.ts") as got:
            assert got.status == 404
            assert got.headers["X-Cache"] == "MISS"  # ... is not remembered for who really asks


async def test_what_a_player_announces_comes_before_what_the_list_says(tmp_path: Path) -> None:
    async with film_origin() as origin, far_edge(tmp_path, origin) as edge:
        await get(edge, "/t/list.m3u8")
        await get(edge, "/t/seg-1.ts?CMCD=" + quote('bl=400,nor="seg-7.ts"'))
        await origin.was_asked_for("seg-7.ts")
        await kept(edge, 3)
        await get(edge, "/t/seg-4.ts", **{"CMCD-Request": 'nor=("seg-8.ts" "seg-9.ts"),v=2'})
        await kept(edge, 6)
        assert {t.rpartition("-")[2] for t in origin.asked if "seg" in t} == {f"{n}.ts" for n in (1, 7, 4, 8, 9)}
        assert not any("CMCD" in target for target in origin.asked)


ATTEMPTS = {
    "another host": "http://evil.example/t/seg-8.ts",
    "another host without a scheme": "//evil.example/t/seg-8.ts",
    "another site of this node": "http://other.example/t/seg-8.ts",
    "another port": "http://films.example:81/t/seg-8.ts",
    "a user name": "http://films.example@evil.example/t/seg-8.ts",
    "another scheme": "ftp://films.example/t/seg-8.ts",
    "a file": "file:///t/seg-8.ts",
    "upwards": "../secret/seg-8.ts",
    "upwards and down again elsewhere": "../../admin/seg-8.ts",
    "upwards in disguise": "..%2fsecret%2fseg-8.ts",
    "upwards in double disguise": "%252e%252e/secret/seg-8.ts",
    "backslashes": "..\\secret\\seg-8.ts",
    "another directory": "/secret/seg-8.ts",
    "a directory below": "deeper/seg-8.ts",
    "a query that is in the key": "seg-8.ts?x=1",
    "a playlist": "other.m3u8",
    "an interface": "delete?id=8",
    "a line break": "seg-8.ts\r\nX-Evil: 1",
    "a space": "seg-8.ts HTTP/1.1",
    "a null byte": "seg-8.ts%00.ts",
    "a fragment": "seg-8.ts#x",
    "too long": "seg-8" + "8" * 3000 + ".ts",
}


async def test_nothing_that_a_client_says_leads_anywhere_but_to_its_neighbours(tmp_path: Path) -> None:
    async with film_origin(delay=0.0) as origin, far_edge(tmp_path, origin) as edge:
        await get(edge, "/t/list.m3u8")
        for number, what in enumerate(ATTEMPTS):
            nor = ATTEMPTS[what].replace("\r\n", "%0d%0a")
            for version in (1, 2):
                text = f'nor="{quote(nor, safe="")}"' if version == 1 else f'nor=("{nor}"),v=2'
                if version == 2 and len(nor) > 1000:
                    continue
                target = f"/t/seg-5{number:02}{version}.ts"
                if version == 1:
                    await get(edge, f"{target}?CMCD={quote(text)}")
                else:
                    await get(edge, target, **{"CMCD-Request": text})
        await get(edge, "/t/seg-1.ts?CMCD=" + quote('nor="seg-8.ts?token=abc&utm_source=x"'))  # what the key drops
        await origin.was_asked_for("seg-8.ts")
        asked = [t for t in origin.asked if not t.startswith(("/t/seg-5", "/t/seg-1.ts")) and t != "/t/list.m3u8"]
        assert set(asked) == {"/t/seg-8.ts"}
        assert not any("?" in t for t in origin.asked)


@pytest.mark.parametrize(("site", "far"), [("prefetch = 0", 1e-6), ("", 10.0)])
async def test_nothing_is_fetched_ahead_where_it_is_switched_off_or_the_origin_is_near(
    tmp_path: Path, site: str, far: float
) -> None:
    async with film_origin(delay=0.0) as origin, far_edge(tmp_path, origin, site, far) as edge:
        await get(edge, "/t/list.m3u8")
        for number in (1, 2, 3):
            await get(edge, f"/t/seg-{number}.ts?CMCD=" + quote('nor="seg-7.ts"'))
        await kept(edge, 3)
        files = [target.rpartition("/")[2] for target in origin.asked]
        assert {file.partition("?")[0] for file in files} == {"list.m3u8", "seg-1.ts", "seg-2.ts", "seg-3.ts"}


async def test_what_nobody_asked_for_stays_within_its_share(tmp_path: Path) -> None:
    titles = 30
    async with film_origin(delay=0.0, size=MIB) as origin, far_edge(tmp_path, origin) as edge:
        for title in range(titles):
            await get(edge, f"/{title}/list.m3u8")
            await get(edge, f"/{title}/seg-1.ts")
        await outcome(edge, "refused")
        brought = await edge.metric('direction="received"')
        asked_for = titles * MIB
        ahead = brought - asked_for
        assert ahead <= max(32 * MIB, 0.15 * brought) + MIB
        assert ahead > 8 * MIB  # and something was
