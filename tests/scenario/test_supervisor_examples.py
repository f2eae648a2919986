"""The example configurations, as they are shipped, serve a film from origin to player."""

import json
import re
import socket
from pathlib import Path

import pytest

from edge.words import MIB
from tests.support.certificate import self_signed
from tests.support.edgeproc import client, describing_origin, proven, running_edge

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
FILM = f"/s/{MIB + 5}/seg.ts"


async def test_an_edge_behind_a_shield_asks_it_once_and_it_asks_the_origin_once(tmp_path: Path) -> None:
    shield_file = str(EXAMPLES / "two-locations-shield.toml")
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "s", origin.url, "--config", shield_file, workers=1) as shield,
        running_edge(
            tmp_path / "e", "", "--config", moved(tmp_path, "two-locations.toml", {"127.0.0.1:8081": shield.url[7:]})
        ) as edge,
        client() as http,
    ):
        for status in ("MISS", "HIT"):
            async with http.get(edge.url + FILM) as got:
                body = await got.read()
                assert len(body) == MIB + 5
                proven(FILM, body)
                assert got.headers["X-Cache"] == status
                hops = ",".join(got.headers.getall("Cache-Status")).split(",")
                assert [hop.partition(";")[0].strip() for hop in hops] == ["shield-local", "edge-local"]
        assert origin.origin.counts[FILM] == 1
        assert await shield.metric('edge_http_requests_total{site="films",code="200",kind="segment"}') == 1


def moved(directory: Path, name: str, places: dict[str, str]) -> str:
    """A copy of an example whose addresses, files and directories are the test's own."""
    text = (EXAMPLES / name).read_text()
    for before, after in places.items():
        assert before in text, f"{name} has no {before}"
        text = text.replace(before, after)
    text = re.sub(r'(?m)^(#?listen) = .*"\[::\]:\d+".*', r'\1 = ["127.0.0.1:0"]', text)
    text = re.sub(r'(?m)^listen = "127.0.0.1:9180"', 'listen = "127.0.0.1:0"', text)
    copy = directory / name
    copy.write_text(text)
    return str(copy)


def nobody() -> str:
    """An address at which nothing answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize(
    ("shield_file", "edge_files", "site"),
    [
        ("shield.toml", ("edge-moscow.toml", "edge-novosibirsk.toml"), "films"),
        ("mirror-shield-moscow.toml", ("mirror-edge-shanghai.toml",), "mult"),
    ],
)
async def test_edges_and_their_shield_start_with_their_files_and_do_without_the_other_shield(
    tmp_path: Path, shield_file: str, edge_files: tuple[str, ...], site: str
) -> None:
    cert, key = self_signed(tmp_path)
    keys = tmp_path / "edges.keys"
    keys.write_text("2026a " + "k" * 32)
    everywhere = {"/etc/edge/edges.keys": str(keys)}
    async with describing_origin() as origin, client() as http:
        places = {
            "/etc/edge/shield.pem": str(cert),
            "/etc/edge/shield.key": str(key),
            f"http://origin.{site}.example:8080/vod": origin.url,
            "/var/cache/edge": str(tmp_path / "shield"),
            "2000GB": "64MiB",
            "/var/log/edge/access.log": str(tmp_path / "shield.log"),
        }
        config = moved(tmp_path, shield_file, {**everywhere, **places})
        async with running_edge(None, "", "--config", config, "--workers", "1", listen=False) as shield:
            for number, name in enumerate(edge_files):
                places = {
                    f"https://shield1.{site}.example:8443": shield.url,
                    f"https://shield2.{site}.example:8443": f"https://{nobody()}",
                    f"https://origin.{site}.example/vod": f"http://{nobody()}",
                    "/var/cache/edge": str(tmp_path / f"cache-{name}"),
                    "3500GB" if "moscow" in name else "1800GB": "64MiB",
                    "/var/log/edge/access.log": str(tmp_path / "edge.log"),
                    "[origin]\n": f'[origin]\nca_file = "{cert}"\n',
                }
                more = ("--config", moved(tmp_path, name, {**everywhere, **places}), "--workers", "1")
                async with running_edge(None, "", *more, listen=False) as edge:
                    for film in (FILM, f"/s/1000/{number}.ts", f"/s/1001/{number}.ts"):
                        async with http.get(edge.url + film, headers={"Host": f"{site}.example"}) as got:
                            assert got.status == 200
                            proven(film, await got.read())
        assert origin.origin.counts[FILM] == 1  # for all edges
    lines = [json.loads(line) for line in (tmp_path / "shield.log").read_text().splitlines()]
    assert all(line["player_net"] == "127.0.0.0" for line in lines if line["path"].startswith("/s/"))
