"""The example configurations, as they are shipped, serve a film from origin to player."""

from pathlib import Path

from edge.words import MIB
from tests.support.edgeproc import client, describing_origin, proven, running_edge

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
FILM = f"/s/{MIB + 5}/seg.ts"


async def test_an_edge_behind_a_shield_asks_it_once_and_it_asks_the_origin_once(tmp_path: Path) -> None:
    shield_file, edge_file = (str(EXAMPLES / name) for name in ("shield.toml", "two-locations.toml"))
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "s", origin.url, "--config", shield_file, workers=1) as shield,
        running_edge(tmp_path / "e", shield.url, "--config", edge_file, workers=1) as edge,
        client() as http,
    ):
        for status in ("MISS", "HIT"):
            async with http.get(edge.url + FILM) as got:
                body = await got.read()
                assert len(body) == MIB + 5
                proven(FILM, body)
                assert got.headers["X-Cache"] == status
                hops = ",".join(got.headers.getall("Cache-Status")).split(",")
                assert [hop.partition(";")[0].strip() for hop in hops] == ["shield-1", "edge-local"]
        assert origin.origin.counts[FILM] == 1
        assert await shield.metric('edge_http_requests_total{site="films",code="200",kind="segment"}') == 1


async def test_the_edges_of_both_cities_start_with_their_files(tmp_path: Path) -> None:
    """But for what a test must not use: ports under 1024 and directories of the system."""
    for city in ("moscow", "novosibirsk"):
        config = str(EXAMPLES / f"edge-{city}.toml")
        more = ("--config", config, "--access-log", str(tmp_path / "access.log"))
        async with describing_origin() as origin, client() as http:
            async with running_edge(tmp_path / city, origin.url, *more, workers=1) as edge:
                async with http.get(edge.url + FILM, headers={"Host": "films.example"}) as got:
                    proven(FILM, await got.read())
                    assert city[0] in got.headers["Via"]
