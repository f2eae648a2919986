"""Operators and a running server: purges, the admin API over its socket and over TCP, the command line."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from edge.control.api import ROUTES
from edge.control.roles import Role
from tests.support.edgeproc import Edge, client, running_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer

TOKENS = {"read": "r" * 20, "purge": "p" * 20, "admin": "a" * 20}
MASTER = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/list.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh/list.m3u8\n"


MANIFEST = (
    b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT12S"><Period><AdaptationSet>'
    b'<SegmentTemplate duration="4" media="$RepresentationID$/$Number$.m4s" initialization="$RepresentationID$/i.mp4"/>'
    b'<Representation id="v1"/><Representation id="v2"/></AdaptationSet></Period></MPD>'
)


def media(directory: str) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:4", '#EXT-X-MAP:URI="init.mp4"']
    lines += [f"#EXTINF:4,\nseg-{n}.m4s" for n in range(4)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()


class Library:
    """An origin whose objects have a version that a test raises."""

    def __init__(self) -> None:
        self.version = 1
        self.down = False

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        path = asked.target.partition("?")[0]
        if self.down:
            wire.reset()
            return
        if path.endswith("master.m3u8"):
            body = MASTER
        elif path.endswith("mpd"):
            body = MANIFEST
        elif path.endswith("m3u8"):
            body = media(path)
        else:
            body = b"%06d " % self.version * 3000
        if path.startswith("/large/"):
            body = b"%06d " % self.version * 400_000
        more = ["Cache-Control: max-age=1000", f"Surrogate-Key: {path.split('/')[1]} v{self.version}", "Cache-Tag: a,b"]
        if path.startswith("/vary/"):
            more.append("Vary: Accept-Language")
        etag = f'"{self.version}"'
        if asked.fields.get("if-none-match") == etag:
            await wire.send(f"HTTP/1.1 304 Same\r\nETag: {etag}\r\n{more[0]}\r\n\r\n".encode())
            return
        await wire.send(answer(asked, body, *more, etag=etag))


class Running:
    """A server, its origin, and the ways to it."""

    def __init__(self, edge: Edge, origin: RawServer, titles: Library, directory: Path) -> None:
        self.edge, self.origin, self.titles = edge, origin, titles
        self.cache = directory / "cache"

    async def get(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        async with (
            client() as http,
            http.get(self.edge.url + path, headers={"Host": "films.example", **headers}) as got,
        ):
            return got.status, got.headers.get("X-Cache", ""), await got.read()

    async def version(self, path: str) -> tuple[int, str]:
        status, how, body = await self.get(path)
        assert status == 200
        versions = set(body.split())
        assert len(versions) == 1
        return int(versions.pop()), how

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        socket = (self.cache / "control").read_text().strip()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as http,
            http.request(method, "http://edge" + path, json=body) as got,
        ):
            return got.status, await got.json()

    async def purge(self, **ask: object) -> dict[str, Any]:
        status, told = await self.call("POST", "/v1/purge", ask)
        assert status == 200, told
        assert not told["failed"]
        found: dict[str, Any] = told
        return found

    async def edge_verb(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", *words, "--cache-dir", str(self.cache),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()


@asynccontextmanager
async def running(directory: Path, more: str = "") -> AsyncIterator[Running]:
    titles = Library()
    for role, token in TOKENS.items():
        (directory / f"{role}.token").write_text(token + "\n")
    operators = "\n".join(
        f'[[operator]]\nname = "{role}"\nrole = "{role}"\ntoken_file = "{directory}/{role}.token"' for role in TOKENS
    )
    async with RawServer(titles) as origin:
        file = directory / "edge.toml"
        file.write_text(
            '[server]\nlisten = ["127.0.0.1:0"]\nworkers = 2\n[admin]\nlisten = "127.0.0.1:0"\n'
            f'[cache]\ndir = "{directory}/cache"\nsize = "64MiB"\n[origin]\nurl = "{origin.url}"\n{operators}\n'
            '[[site]]\nname = "films"\nhosts = ["films.example"]\n'
            f'[[site]]\nname = "toons"\nhosts = ["toons.example"]\n{more}\n'
        )
        async with running_edge(None, origin.url, "--config", str(file), listen=False) as edge:
            yield Running(edge, origin, titles, directory)


async def test_a_purge_by_each_of_its_ways_is_felt_by_every_worker_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        host = "http://films.example"
        for ask, path, counted in (
            ({"url": host + "/a/1.m4s"}, "/a/1.m4s", 1),
            ({"url": host + "/a/2.m4s?q=1"}, "/a/2.m4s?q=1", 1),
            ({"url": host + "/a/2.m4s"}, "/a/2.m4s?q=2", 2),
            ({"prefix": host + "/b/"}, "/b/1.m4s", 1),
            ({"tag": "c"}, "/c/1.m4s", 1),
            ({"tag": "d", "site": "films"}, "/d/1.m4s", 1),
            ({"urls": [host + "/e/1.m4s", host + "/e/2.m4s"]}, "/e/2.m4s", 1),
            ({"site": "films"}, "/f/1.m4s", None),
            ({"everything": True}, "/g/1.m4s", None),
        ):
            old, _ = await node.version(path)
            node.titles.version += 1
            for _ in range(3):
                assert await node.version(path) == (old, "HIT")
            dry = await node.purge(**ask, dry_run=True)
            assert await node.version(path) == (old, "HIT")
            told = await node.purge(**ask)
            assert told["objects"] == dry["objects"] >= 1
            if counted is not None:
                assert told["objects"] == counted
            for _ in range(6):  # connections of their own: both workers are asked
                assert (await node.version(path))[0] == node.titles.version
        assert await node.edge.metric('edge_purges_total{result="done"}') == 9


async def test_many_urls_are_purged_at_once_however_long_they_are(tmp_path: Path) -> None:
    """A name in Cyrillic letters takes six bytes for each: five hundred were more than one message carries."""
    async with running(tmp_path) as node:
        host, name = "http://films.example", "/a/" + "Приключения-" * 8
        path = quote(name + "499.m4s")
        old, _ = await node.version(path)
        assert await node.version(path) == (old, "HIT")
        node.titles.version += 1
        told = await node.purge(urls=[f"{host}{name}{number}.m4s" for number in range(600)])
        assert (told["named"], told["objects"]) == (600, 1)
        assert (await node.version(path))[0] == node.titles.version


async def test_another_site_s_objects_stay(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.get("/a/1.m4s", Host="toons.example")
        assert (await node.purge(site="films"))["objects"] == 0
        assert (await node.purge(tag="a", site="films"))["objects"] == 0
        assert (await node.purge(url="http://films.example/a/1.m4s"))["objects"] == 0
        assert (await node.purge(url="http://toons.example/a/1.m4s"))["objects"] == 1


async def test_a_soft_purge_revalidates_and_stands_in_for_an_origin_that_is_down(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.version("/a/1.m4s")
        await node.purge(prefix="http://films.example/a/", soft=True)
        assert await node.version("/a/1.m4s") == (1, "REVALIDATED")
        assert await node.version("/a/1.m4s") == (1, "HIT")
        await node.purge(tag="a", soft=True)
        node.titles.down = True
        assert await node.version("/a/1.m4s") == (1, "STALE")
        node.titles.down, node.titles.version = False, 2
        assert (await node.version("/a/1.m4s"))[0] == 2
        assert await node.version("/a/1.m4s") == (2, "HIT")


async def test_a_title_is_its_lists_and_all_that_they_name(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        paths = ["/t/master.m3u8"]
        for name in ("low", "high"):
            paths += [f"/t/{name}/list.m3u8", f"/t/{name}/init.mp4", *(f"/t/{name}/seg-{n}.m4s" for n in range(4))]
        for path in [*paths, "/t/other.m4s"]:
            assert (await node.get(path))[0] == 200
        told = await node.purge(title="http://films.example/t/master.m3u8")
        assert told["objects"] == told["named"] == len(paths)
        node.titles.version = 2
        assert await node.version("/t/other.m4s") == (1, "HIT")
        assert await node.version("/t/high/seg-3.m4s") == (2, "MISS")


async def test_a_manifest_is_a_title_too_and_may_be_counted_first_or_made_stale(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        parts = [f"/d/{name}/{file}" for name in ("v1", "v2") for file in ("i.mp4", "1.m4s", "2.m4s", "3.m4s")]
        for path in ["/d/film.mpd", *parts, "/d/v1/4.m4s"]:
            assert (await node.get(path))[0] == 200
        title = {"title": "http://films.example/d/film.mpd"}
        dry = await node.purge(**title, dry_run=True)
        assert dry["objects"] == dry["named"] == 1 + len(parts)
        assert await node.version("/d/v1/1.m4s") == (1, "HIT")
        assert (await node.purge(**title, soft=True))["objects"] == dry["objects"]
        assert await node.version("/d/v2/3.m4s") == (1, "REVALIDATED")
        assert await node.version("/d/v1/4.m4s") == (1, "HIT")
        told = await node.purge(**title)
        assert (told["objects"], told["length"]) == (dry["objects"], dry["length"])
        node.titles.version = 2
        for path in parts:
            assert await node.version(path) == (2, "MISS")


async def test_a_title_that_cannot_be_read_is_refused_and_a_list_within_it_is_named(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        for path in (
            "/t/master.m3u8",
            "/t/low/list.m3u8",
            "/t/low/seg-1.m4s",
            "/t/high/list.m3u8",
            "/t/high/seg-1.m4s",
        ):
            await node.get(path)
        await node.purge(url="http://films.example/t/high/list.m3u8")
        node.titles.down = True
        for title, why in (("none.m3u8", "cannot be read"), ("low/seg-1.m4s", "is no playlist or manifest")):
            status, told = await node.call("POST", "/v1/purge", {"title": f"http://films.example/t/{title}"})
            assert (status, why in told["error"]) == (400, True), told
        code, said = await node.edge_verb("purge", "--title", "http://films.example/t/master.m3u8")
        assert code == 1
        assert "http://films.example/t/high/list.m3u8 could not be read, and what it names is as before" in said
        node.titles.down, node.titles.version = False, 2
        assert await node.version("/t/low/seg-1.m4s") == (2, "MISS")
        assert await node.version("/t/high/seg-1.m4s") == (1, "HIT")


async def test_one_url_is_all_its_variants_all_its_slices_and_whatever_query_unless_it_has_one(tmp_path: Path) -> None:
    async with running(
        tmp_path, '[[site]]\nname = "v"\nhosts = ["v.example"]\nforward_fields = ["Accept-Language"]'
    ) as node:
        asks = [(path, tongue) for path in ("/vary/1.m4s", "/vary/1.m4s?q=1") for tongue in ("ru", "zh")]

        async def versions() -> set[int]:
            found = set()
            for path, tongue in asks:
                _, how, body = await node.get(path, Host="v.example", **{"Accept-Language": tongue})
                found.add(int(body.split()[0]) if how == "HIT" else 0)
            return found

        await versions()
        assert await versions() == {1}
        node.titles.version = 2
        await node.purge(url="http://v.example/vary/1.m4s?q=1")
        assert await versions() == {1, 0}  # two of the four are asked for anew
        assert await versions() == {1, 2}
        await node.purge(url="http://v.example/vary/1.m4s")
        assert await versions() == {0}

        large = "/large/1.mp4"  # three slices
        assert await node.version(large) == (2, "MISS")
        assert (await node.get(large, Range="bytes=2500000-2500006"))[1] == "HIT"
        node.titles.version = 3
        told = await node.purge(url="http://films.example" + large)
        assert (told["objects"], told["length"]) == (1, 2_800_000)
        for position in (0, 7 * 150_000, 7 * 350_000):
            _, _, part = await node.get(large, Range=f"bytes={position}-{position + 6}")
            assert part == b"000003 "


async def test_tags_stay_between_origin_and_edge(tmp_path: Path) -> None:
    async with running(tmp_path, '[[site]]\nname = "shield"\nhosts = ["shield.example"]\nhide_tags = false') as node:
        for host, seen in (("films.example", False), ("shield.example", True)):
            async with client() as http:
                for _ in range(2):
                    async with http.get(node.edge.url + "/a/1.m4s", headers={"Host": host}) as got:
                        assert ("Surrogate-Key" in got.headers, "Cache-Tag" in got.headers) == (seen, seen)


async def test_over_tcp_a_role_may_do_what_it_may_and_nobody_else_anything(tmp_path: Path) -> None:
    asks = (
        ("GET", "/v1/stats", None, {"read", "purge", "admin"}),
        ("GET", "/v1/openapi.json", None, {"read", "purge", "admin"}),
        ("POST", "/v1/purge", {"everything": True, "dry_run": True}, {"purge", "admin"}),
        ("GET", "/v1/config", None, {"admin"}),
        ("POST", "/v1/log", {"level": "info"}, {"admin"}),
    )
    async with running(tmp_path) as node, client() as http:
        for method, path, body, may in asks:
            async with http.request(method, node.edge.admin + path, json=body) as got:
                assert got.status == 401
                assert got.headers["WWW-Authenticate"].startswith("Bearer")
            for role, token in {**TOKENS, "nobody": "x" * 20}.items():
                headers = {"Authorization": f"Bearer {token}"}
                async with http.request(method, node.edge.admin + path, json=body, headers=headers) as got:
                    assert got.status == (200 if role in may else 401 if role == "nobody" else 403), (role, path)
            async with http.get(node.edge.url + path) as got:  # the players' port knows nothing of it
                assert "purge" not in await got.text()
        for route in ROUTES:  # without their effects: who may too little is refused before anything is read
            path = node.edge.admin + route.path.replace("{id}", "1").replace("{verb}", "pause")
            async with http.request(route.method, path, json={}) as got:
                assert got.status == 401, route
            for role in list(Role)[: route.role - Role.READ]:
                headers = {"Authorization": f"Bearer {TOKENS[role.name.lower()]}"}
                async with http.request(route.method, path, json={}, headers=headers) as got:
                    assert got.status == 403, (role, route)


async def test_without_operators_the_api_is_closed_to_the_network(tmp_path: Path) -> None:
    async with RawServer(Library()) as origin, running_edge(tmp_path / "cache", origin.url) as edge, client() as http:
        async with http.get(edge.admin + "/v1/stats", headers={"Authorization": "Bearer "}) as got:
            assert got.status == 403
        socket = (tmp_path / "cache" / "control").read_text().strip()
        assert Path(socket).parent.stat().st_mode & 0o077 == 0


async def test_what_makes_no_sense_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        for ask, why in (
            ({}, "exactly one"),
            ({"url": "http://a/", "tag": "x"}, "exactly one"),
            ({"url": "/no/host"}, "not a URL"),
            ({"url": "http://films.example/" + "x" * 300_000}, "bytes"),
            ({"site": "nobody"}, "no site"),
            ({"url": "http://films.example/", "dryrun": True}, "dryrun"),
            ({"everything": "yes"}, "everything"),
            ({"title": "http://films.example/a/1.m4s"}, "is no playlist or manifest"),
        ):
            status, told = await node.call("POST", "/v1/purge", ask)
            assert status == 400
            assert why in told["error"], told
            assert not told["error"].startswith("Value error")
        assert (await node.call("GET", "/v1/top?count=0"))[0] == 400
        assert (await node.call("GET", "/v1/explain?url=nonsense"))[0] == 400
        assert (await node.call("GET", "/v1/warm/none"))[0] == 404


async def test_the_command_line_does_all_of_it(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.version("/a/1.m4s")
        code, out = await node.edge_verb("purge", "--prefix", "http://films.example/a/", "--dry-run")
        assert (code, out.split(",")[0]) == (0, "1 objects")
        code, out = await node.edge_verb("purge", "http://films.example/a/1.m4s")
        assert code == 0
        assert "are gone" in out
        for words, why in ((("--wait",), "--wait goes with --fleet"), (("--of-site", "films"), "goes with --tag")):
            code, out = await node.edge_verb("purge", "http://films.example/a/1.m4s", *words)
            assert (code, why in out) == (2, True)
        code, out = await node.edge_verb("purge", "--site", "nobody")
        assert code == 1
        assert "there is no site" in out
        code, out = await node.edge_verb("stats", "--json")
        assert json.loads(out)["requests"] == 1
        assert "hit ratio" in (await node.edge_verb("stats"))[1]
        code, out = await node.edge_verb("top", "--once")
        assert "films" in out
        assert json.loads((await node.edge_verb("top", "--json"))[1])["sites"][0]["site"] == "films"
        code, out = await node.edge_verb("drain")
        assert code == 0
        async with client() as http, http.get(node.edge.admin + "/readyz") as got:
            assert (got.status, await got.text()) == (503, "drained by an operator\n")
        await node.version("/a/1.m4s")
        await node.edge_verb("drain", "--off")
        async with client() as http, http.get(node.edge.admin + "/readyz") as got:
            assert got.status == 200
        assert (await node.edge_verb("log-level", "debug"))[0] == 0
        assert "/v1/purge" in json.loads((await node.edge_verb("openapi"))[1])["paths"]
        code, out = await node.edge_verb("show-config")
        assert json.loads(out)["server"]["workers"] == 2
        assert not any(token in out for token in TOKENS.values())


async def test_explain_tells_what_is_stored_and_the_api_s_reload_takes_up_the_file(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        _, told = await node.call("GET", "/v1/explain?url=http://films.example/a/1.m4s")
        assert told["stored"] is None
        assert (told["status"], told["because"]) == ("miss", "nothing is stored")
        await node.version("/a/1.m4s")
        async with asyncio.timeout(10):
            while told["stored"] is None:  # a moment later it is in the index
                _, told = await node.call("GET", "/v1/explain?url=http://films.example/a/1.m4s")
        assert told["stored"]["complete"]
        assert told["stored"]["tags"] == ["a", "v1", "b"]
        assert (told["stored"]["slices"], told["stored"]["missing"]) == (1, [])
        assert told["stored"]["stored"][0]["end"] == 21000
        assert told["status"] == "hit"
        assert [member["breaker"] for member in told["asked"]] == ["closed"]
        await node.purge(url="http://films.example/a/1.m4s", soft=True)
        code, out = await node.edge_verb("explain", "--live", "http://films.example/a/1.m4s")
        assert code == 0
        assert "now       expired: purged softly or no-cache: the upstream is asked first, by its validator" in out
        assert "slices    1 of 1 slices of 1048576 bytes" in out
        assert "(origin), breaker closed" in out
        status, _ = await node.call("POST", "/v1/reload")
        assert status == 200
        await node.edge.wait_for_line("^reloaded")


async def test_a_purge_waits_for_a_keeper_that_starts_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.version("/a/1.m4s")
        node.titles.version = 2
        (keeper,) = node.edge.children("keeper")
        async with asyncio.timeout(10):  # an answer has gone a moment before it is kept
            while (await node.purge(url="http://films.example/a/1.m4s", dry_run=True))["objects"] != 1:
                await asyncio.sleep(0.02)
        os.kill(keeper, signal.SIGKILL)
        assert (await node.purge(url="http://films.example/a/1.m4s"))["objects"] == 1
        assert (await node.version("/a/1.m4s"))[0] == 2


async def test_the_openapi_document_is_that_of_the_routes(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        _, document = await node.call("GET", "/v1/openapi.json")
        told = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
        assert told == {(route.method, route.path) for route in ROUTES}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                for parameter in operation.get("parameters", ()):
                    assert parameter["in"] == "query" or "{" + parameter["name"] + "}" in path
                real = path.replace("{id}", "none").replace("{verb}", "pause")
                status, _ = await node.call(method.upper(), real, {"nonsense": 1})
                assert status in (200, 400, 404), (method, path)
                if "requestBody" in operation:
                    assert status == 400
        text = json.dumps(document)
        for reference in set(text.split('"$ref": "')[1:]):
            name = reference.partition('"')[0].rpartition("/")[2]
            assert name in document["components"]["schemas"]
