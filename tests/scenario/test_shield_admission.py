"""A shield that takes requests from edges only, as real processes."""

import asyncio
import json
import os
import signal
import ssl
import time
from pathlib import Path

import aiohttp

from edge.access.keys import read_keys
from edge.access.passes import NOBODY, write_pass
from edge.demo.describing import body_slice
from tests.support.certificate import self_signed
from tests.support.certs import make_cert
from tests.support.edgeproc import Edge, client, describing_origin, running_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.tiers import node, upstream

BODY = bytes(range(256)) * 100


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_signed_edge_is_served_and_a_stranger_sees_nothing_of_the_cache(tmp_path: Path) -> None:
    asked: list[Asked] = []

    async def origin(one: Asked, wire: Wire) -> None:
        asked.append(one)
        await wire.send(answer(one, BODY))

    keys = tmp_path / "keys"
    keys.write_text("edges-1 " + "5" * 32)
    guard = f'[admission]\nkeys_file = "{keys}"\n'
    signs = f'[origin]\nkeys_file = "{keys}"\n'
    async with (
        RawServer(origin) as raw,
        node(tmp_path, "shield", [upstream(raw.url, "origin")], more=guard) as shield,
        node(tmp_path, "edge", [upstream(shield.url, "shield")], more=signs) as edge,
        client() as http,
    ):
        player = {"Host": "films.example", "Edge-Pass": "h=0;a=6.6.6.6;o=forged;r=sibling"}
        async with http.get(edge.url + "/a.ts", headers=player) as got:
            assert (got.status, await got.read()) == (200, BODY)
        for path in ("/a.ts", "/b.ts"):  # what the shield has, and what it has not
            async with http.get(shield.url + path) as got:
                assert got.status == 403
                assert "not admitted: no_proof" in got.headers["Cache-Status"] + await got.text()
        forged = {"Edge-Pass": "k=edges-1;t=1;n=xxxxxxxxxxxxxxxxxxxxxx;h=1;a=1.1.1.1;o=x;s=00"}
        async with http.get(shield.url + "/a.ts", headers=forged) as got:
            assert got.status == 403
        assert [one.target for one in asked] == ["/a.ts"]
        assert all("edge-pass" not in one.fields for one in asked)
        assert await shield.metric('edge_admission_refused_total{reason="no_proof"}') == 2
        assert await shield.metric('edge_admission_refused_total{reason="skew"}') == 1
        assert await shield.metric('edge_http_requests_total{site="default",code="200"') == 1
        assert await edge.metric("edge_admission_refused_total") == 0
        await shield.stop()
    (served,) = [line for line in lines(tmp_path / "shield.log") if line["status"] == 200]
    assert (served["player"], served["player_host"], served["hops"]) == ("127.0.0.1", "films.example", 1)


async def test_an_edge_shows_its_certificate_and_who_has_none_of_ours_gets_403_or_no_connection(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    (tmp_path / "edges").mkdir()
    ours, foreign = make_cert(tmp_path / "edges", "msk1.edges"), make_cert(tmp_path / "edges", "nobody")
    more = (
        f'[[tls]]\ncert = "{cert}"\nkey = "{key}"\n'
        f'[admission]\nclient_ca = "{ours.cert}"\nclient_names = ["msk1.edges"]\n'
    )
    shows = f'[origin]\nca_file = "{cert}"\nclient_cert = "{ours.cert}"\nclient_key = "{ours.key}"\n'
    path = f"/s/{len(BODY)}/a.ts"

    def context(*shown: object) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(cert))
        if shown:
            made.load_cert_chain(*shown)  # type: ignore[arg-type]
        return made

    async with (
        describing_origin() as origin,
        node(tmp_path, "shield", [upstream(origin.url, "origin")], more=more) as shield,
        node(tmp_path, "edge", [upstream(shield.url, "shield")], more=shows) as edge,
        client() as http,
    ):
        async with http.get(edge.url + path) as got:
            assert (got.status, len(await got.read())) == (200, len(BODY))
        async with http.get(shield.url + path, ssl=context()) as got:
            assert got.status == 403
        async with http.get(shield.url + path, ssl=context(ours.cert, ours.key)) as got:
            assert got.status == 200
        refused = False
        try:
            async with http.get(shield.url + path, ssl=context(foreign.cert, foreign.key)) as got:
                refused = got.status != 200
        except (aiohttp.ClientError, ssl.SSLError, OSError):
            refused = True
        assert refused


async def test_only_the_addresses_and_sites_that_are_named_are_guarded(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("edges-1 " + "5" * 32)
    config = tmp_path / "c.toml"
    path = "/s/1000/a.ts"
    async with describing_origin() as origin:
        config.write_text(
            '[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n'
            f'[cache]\ndir = "{tmp_path / "c"}"\nsize = "64MiB"\n[origin]\nurl = "{origin.url}"\n'
            f'[admission]\nkeys_file = "{keys}"\nsites = ["own"]\n'
            '[[site]]\nname = "free"\nhosts = ["free.example"]\n[[site]]\nname = "own"\nhosts = ["own.example"]\n'
        )
        async with running_edge(None, "", "--config", str(config), listen=False) as edge, client() as http:
            said = {}
            for host in ("free.example", "own.example"):
                async with http.get(edge.url + path, headers={"Host": host}) as got:
                    said[host] = got.status
            assert said == {"free.example": 200, "own.example": 403}


async def test_a_pass_that_was_caught_serves_nobody_not_even_after_its_worker_has_died(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("edges-1 " + "5" * 32)
    guard = f'[admission]\nkeys_file = "{keys}"\n'
    path = f"/s/{len(BODY)}/a.ts"

    async def ask(http: aiohttp.ClientSession, shield: Edge, value: bytes) -> tuple[int, str]:
        async with http.get(shield.url + path, headers={"Edge-Pass": value.decode(), "Connection": "close"}) as got:
            return got.status, await got.text("latin-1")

    async with (
        describing_origin() as origin,
        node(tmp_path, "shield", [upstream(origin.url, "origin")], more=guard) as shield,
        client() as http,
    ):
        caught = write_pass(NOBODY, b"GET", path.encode(), key=read_keys(keys)[0], now=time.time())
        assert (await ask(http, shield, caught))[0] == 200
        (worker,) = shield.children("worker")
        os.kill(worker, signal.SIGKILL)
        async with asyncio.timeout(30):
            while shield.children("worker") in ([], [worker]):
                await asyncio.sleep(0.05)
        status, said = await ask(http, shield, caught)
        assert (status, "not admitted: replay" in said) == (403, True)
        fresh = write_pass(NOBODY, b"GET", path.encode(), key=read_keys(keys)[0], now=time.time())
        assert (await ask(http, shield, fresh))[0] == 200


async def test_an_address_that_is_not_in_the_list_is_refused_and_one_that_is_gets_its_answer(tmp_path: Path) -> None:
    """The loopback is a network of its own: 127.0.0.0/8."""
    guard = '[admission]\nnetworks = ["127.0.0.2/32", "127.0.1.0/24"]\n'
    path = f"/s/{len(BODY)}/a.ts"
    async with (
        describing_origin() as origin,
        node(tmp_path, "shield", [upstream(origin.url, "origin")], more=guard) as shield,
    ):
        for address, status in {
            "127.0.0.2": 200,
            "127.0.1.77": 200,
            "127.0.0.1": 403,
            "127.0.0.3": 403,
            "127.0.2.0": 403,
        }.items():
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            async with aiohttp.ClientSession(connector=connector) as http, http.get(shield.url + path) as got:
                assert got.status == status, address
                assert (await got.read() == body_slice(path, 1, 0, len(BODY))) == (status == 200)
        assert await shield.metric('edge_admission_refused_total{reason="no_proof"}') == 3
        assert origin.origin.counts[path] == 1
