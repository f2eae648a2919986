"""What a running edge tells of its requests: the access log, over real sockets and processes."""

import asyncio
import contextlib
import json
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.edgeproc import Edge, describing_origin, running_edge, start_edge


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def counted(edge: Edge, expected: dict[str, float], seconds: float = 10.0) -> None:
    """Until the metrics say so: a worker counts a moment after its client has the answer."""
    found: dict[str, float] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while found != expected:
                found = {text: await edge.metric(text) for text in expected}
    assert found == expected


async def test_the_access_log_has_a_line_a_request_without_tokens_or_addresses(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    flags = ("--access-log", str(log))
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, *flags) as edge:
        async with client() as http:
            for _ in range(3):
                async with http.get(edge.url + "/s/1000/a.ts?token=secret&x=1", headers={"Range": "bytes=0-9"}) as got:
                    assert len(await got.read()) == 10
        member = origin.url.partition("//")[2]
    lines = lines_of(log)
    assert len(lines) == 3
    assert {line["cache_status"] for line in lines} == {"miss", "hit"}
    assert all(line["status"] == 206 and line["range"] == "bytes=0-9" for line in lines)
    assert all(line["client_net"] == "127.0.0.0" for line in lines)
    assert "secret" not in log.read_text()
    assert all("token=***" in line["path"] for line in lines)
    assert len({line["key_hash"] for line in lines}) == 1
    missed = next(line for line in lines if line["cache_status"] == "miss")
    assert missed["upstream_addr"] == member
    assert missed["upstream_status"] == 206  # to a range of our own, that holds what was asked
    assert 0 < missed["upstream_time"] <= missed["ttfb"]
    assert all("upstream_addr" not in line for line in lines if line["cache_status"] == "hit")


async def test_workers_write_the_same_hash_for_a_player_also_after_a_reload(tmp_path: Path) -> None:
    log, config = tmp_path / "access.log", tmp_path / "edge.toml"
    config.write_text(f'[log]\naccess = "{log}"\nformat = "json"\nanonymise = "hash"\n')
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config), workers=2) as edge,
    ):
        for _ in range(12):
            async with client() as http, http.get(edge.url + "/s/1000/a.ts") as got:  # a connection each
                await got.read()
        edge.process.send_signal(signal.SIGHUP)
        await edge.wait_for_line("^reloaded")
        async with client() as http, http.get(edge.url + "/s/1000/a.ts") as got:
            await got.read()
    lines = lines_of(log)
    assert len(lines) == 13
    assert len({line["client_hash"] for line in lines}) == 1
    assert not any("client" in line or "client_net" in line for line in lines)


async def test_the_access_log_can_be_nginx_combined(tmp_path: Path) -> None:
    log, config = tmp_path / "access.log", tmp_path / "edge.toml"
    config.write_text(f'[log]\naccess = "{log}"\nformat = "combined"\n')
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config)) as edge,
        client() as http,
        http.get(edge.url + "/s/1000/a.ts?md5=abc", headers={"User-Agent": "P/1"}) as got,
    ):
        await got.read()
    pattern = r"127\.0\.0\.0 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
    pattern += r'"GET /s/1000/a\.ts\?md5=\*\*\* HTTP/1\.1" 200 1000 "-" "P/1"\n'
    assert re.fullmatch(pattern, log.read_text())


async def test_what_the_server_says_of_itself_can_be_json(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('[log]\nevents = "json"\n')
    edge = await start_edge(tmp_path / "c", "http://127.0.0.1:9", "--config", str(config), workers=1, wait=False)
    await edge.wait_for_line('"event": "ready"')
    assert await edge.stop() == 0
    said = [json.loads(line) for line in edge.lines]
    assert {line["level"] for line in said} == {"info"}
    assert {line["process"] for line in said} == {"supervisor"}
    assert said[-1]["event"] == "stopped"


async def test_what_players_tell_is_logged_and_counted_and_goes_no_further(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    flags = ("--access-log", str(log))
    fields = {"CMCD-Request": "bl=1500,mtp=25400", "CMCD-Status": "bs,rtp=15000", "CMCD-Session": 'sid="s1",st=v'}
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, *flags) as edge,
        client() as http,
    ):
        for number in range(4):
            target = f"/s/1000/a.ts?CMCD=bl%3D{number}000%2Csid%3D%22s{number}%22&x=1"
            async with http.get(edge.url + target) as got:
                await got.read()
        async with http.get(edge.url + "/s/1000/a.ts?x=1", headers=fields) as got:
            await got.read()
            assert got.headers["X-Cache"] == "HIT"
        asked = list(origin.origin.ledger.requests)
        assert [(each.path, each.query) for each in asked] == [("/s/1000/a.ts", "x=1")]
        assert not [name for each in asked for name in each.fields if "cmcd" in name.lower()]
        await counted(
            edge,
            {
                "edge_cmcd_requests_total": 5,
                'edge_cmcd_buffer_starvation_total{site="default",stream="vod"}': 1,
                "edge_cmcd_buffer_length_seconds_count": 5,
                "edge_cmcd_buffer_length_seconds_sum": 7.5,
                "edge_cmcd_measured_throughput_bytes_per_second_sum": 3_175_000,
            },
        )
    lines = lines_of(log)
    assert sorted(line["cmcd"]["bl"] for line in lines) == [0, 1000, 1500, 2000, 3000]
    assert {line["path"] for line in lines} == {"/s/1000/a.ts?x=1"}
    assert len({line["key_hash"] for line in lines}) == 1


async def test_a_trace_goes_on_to_the_origin_and_into_the_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    trace = "0af7651916cd43dd8448eb211c80319c"
    fields = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "rojo=00f067aa0ba902b7"}
    flags = ("--access-log", str(log))
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, *flags) as edge,
        client() as http,
    ):
        for told in (fields, fields, {"traceparent": "junk"}):
            async with http.get(edge.url + "/s/1000/a.ts", headers=told) as got:
                await got.read()
        (asked,) = origin.origin.ledger.requests
        assert {name: asked.fields[name] for name in fields} == fields
    assert [line.get("trace_id") for line in lines_of(log)].count(trace) == 2
    assert len(lines_of(log)) == 3
