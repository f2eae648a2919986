"""Sites of both profiles on one edge, rules by path, loops, and what is told of the cache."""

import asyncio
import time
from pathlib import Path

from tests.conformance.build import answer
from tests.conformance.case import BODY
from tests.conformance.origin import Script, scripted_origin
from tests.support.edgeproc import client, describing_origin, running_edge

SEGMENT = "/s/1000/seg.ts"
CONFIG = """
[server]
node = "here"
max_body = "1KiB"
[[site]]
name = "films"
hosts = ["films.example"]
cache_status_key = true
server_timing = true
[[site.rule]]
path = "/api/**"
methods = ["GET", "POST"]
[[site]]
name = "plain"
hosts = ["plain.example"]
profile = "rfc9111"
"""
FILMS, PLAIN = {"Host": "films.example"}, {"Host": "plain.example"}


async def test_each_site_goes_by_its_own_profile_and_each_path_by_its_rule(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG)
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config)) as edge,
        client() as http,
    ):
        for _ in range(2):
            async with http.get(edge.url + SEGMENT, headers=FILMS) as got:
                assert got.status == 200
                told = got.headers
        assert 'key="films/s/1000/seg.ts"' in told["Cache-Status"]
        assert told["Server-Timing"].startswith("cdn-cache;desc=")
        assert told["Access-Control-Allow-Origin"] == "*"
        async with http.get(edge.url + SEGMENT, headers=PLAIN) as got:
            assert "Server-Timing" not in got.headers
            assert "Access-Control-Expose-Headers" not in got.headers
        async with http.post(edge.url + "/film/x", headers=FILMS, data=b"x") as got:
            assert got.status == 405
        for url in ("/api/x", "/other"):
            async with http.post(edge.url + url, headers=PLAIN if url == "/other" else FILMS, data=b"x") as got:
                assert "fwd=method" in got.headers["Cache-Status"]
        async with http.post(edge.url + "/x", headers=PLAIN, data=b"x" * 2000) as got:
            assert got.status == 413


async def test_an_edge_that_is_its_own_origin_says_so(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "a", origin.url, "--node", "same") as far:
        async with running_edge(tmp_path / "b", far.url, "--node", "same") as near, client() as http:
            async with http.get(near.url + SEGMENT) as got:
                assert got.status == 200  # two nodes of one name are no loop
            async with http.get(near.url + "/s/1001/seg.ts", headers={"CDN-Loop": "same"}) as got:
                assert got.status == 508


async def test_what_a_location_names_is_invalid_on_whichever_volume_it_lives(tmp_path: Path) -> None:
    text = "".join(f'[[volume]]\npath = "{tmp_path / name}"\nsize = "64MiB"\n' for name in "ab")
    (tmp_path / "edge.toml").write_text(text)
    flags = ("--config", str(tmp_path / "edge.toml"), "--profile", "rfc9111")
    async with scripted_origin() as origin, running_edge(None, origin.url, *flags) as edge, client() as http:
        for number in range(12):  # on one volume or the other
            path = f"/c/x/{number}"
            script = origin.scripts["x"] = Script(time.time())
            script.answers.extend((answer("Cache-Control: max-age=60"), answer(f"Location: {path}", body="done")))
            async with http.get(edge.url + path) as got:
                assert await got.text() == BODY
            async with http.post(edge.url + "/c/x/act") as got:
                assert await got.text() == "done"
            script.answers.append(answer("Cache-Control: max-age=60", body="new"))
            async with asyncio.timeout(10):
                while True:  # another keeper hears of it in a moment
                    async with http.get(edge.url + path) as got:
                        if await got.text() == "new":
                            break
