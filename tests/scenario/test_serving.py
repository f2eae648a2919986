"""A whole edge with real processes, sockets and files, before an origin whose content proves itself."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from edge.words import KIB, MIB
from tests.support.edgeproc import client, describing_origin, end_edge, proven, running_edge, start_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer

SEGMENT = f"/s/{3 * MIB + 777}/seg.ts"
SIZE = 3 * MIB + 777


async def test_a_player_gets_a_segment_cold_and_warm_with_all_that_it_expects(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        for x_cache in ("MISS", "HIT"):
            async with http.get(edge.url + SEGMENT) as got:
                body = await got.read()
                proven(SEGMENT, body)
                assert len(body) == SIZE
                assert got.headers["X-Cache"] == x_cache
                assert got.headers["Accept-Ranges"] == "bytes"
                assert got.headers["Access-Control-Allow-Origin"] == "*"
                assert got.headers["ETag"] == '"1"'
                assert "Via" in got.headers
                assert "Date" in got.headers
                assert int(got.headers["Age"]) <= 2
                assert ("hit" in got.headers["Cache-Status"]) == (x_cache == "HIT")
        assert origin.origin.counts[SEGMENT] == 1
        assert await edge.metric('edge_cache_requests_total{site="default",status="hit"') == 1


@pytest.mark.parametrize("warm", [False, True])
async def test_ranges_of_every_form_cold_and_warm(tmp_path: Path, warm: bool) -> None:
    cases = [
        ("bytes=0-0", (0, 1)),
        ("bytes=100-199", (100, 200)),
        (f"bytes={MIB - 10}-{MIB + 9}", (MIB - 10, MIB + 10)),
        (f"bytes={SIZE - 5}-", (SIZE - 5, SIZE)),
        ("bytes=-777", (SIZE - 777, SIZE)),
        (f"bytes=5-{SIZE * 2}", (5, SIZE)),
        ("bytes=0-", (0, SIZE)),
    ]
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        for number, (text, (start, end)) in enumerate(cases):
            path = SEGMENT if warm else f"/s/{SIZE}/cold{number}.ts"
            if warm:
                async with http.get(edge.url + path) as got:
                    await got.read()
            async with http.get(edge.url + path, headers={"Range": text}) as got:
                body = await got.read()
                assert got.status == 206, text
                assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
                assert "Transfer-Encoding" not in got.headers
                assert len(body) == end - start == int(got.headers["Content-Length"])
                proven(path, body, start, 1)


async def test_several_ranges_unsatisfiable_ones_conditions_and_methods(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        url = edge.url + SEGMENT
        for _ in range(2):
            async with http.get(url, headers={"Range": f"bytes=0-9,{2 * MIB}-{2 * MIB + 9}"}) as got:
                body = await got.read()
                assert got.status == 206
                assert got.headers["Content-Type"].startswith("multipart/byteranges")
                assert len(body) == int(got.headers["Content-Length"])
                assert body.count(b"Content-Range: bytes ") == 2
        async with http.get(url, headers={"Range": f"bytes={SIZE}-"}) as got:
            assert got.status == 416
            assert got.headers["Content-Range"] == f"bytes */{SIZE}"
            assert got.headers["Access-Control-Allow-Origin"] == "*"
        async with http.get(url, headers={"If-None-Match": '"1"'}) as got:
            assert got.status == 304
            assert got.headers["ETag"] == '"1"'
        async with http.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}) as got:
            assert got.status == 200
            assert len(await got.read()) == SIZE
        async with http.head(url) as got:
            assert got.status == 200
            assert int(got.headers["Content-Length"]) == SIZE
        async with http.options(url, headers={"Origin": "http://x"}) as got:
            assert got.status == 204
            assert got.headers["Access-Control-Max-Age"] == "86400"
        async with http.post(url) as got:
            assert got.status == 405
            assert got.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert origin.origin.counts[SEGMENT] == 4  # two slices, then the two that were left


async def test_one_origin_request_for_two_hundred_clients_over_four_workers(tmp_path: Path) -> None:
    path = f"/s/{2 * MIB}/crowd.ts?delay=150"
    more = ("--workers", "4")
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, *more) as edge:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:

            async def one(number: int) -> None:
                headers = {} if number % 2 else {"Range": f"bytes={number * 5000}-{number * 5000 + 999}"}
                async with http.get(edge.url + path, headers=headers) as got:
                    start = number * 5000 if not number % 2 else 0
                    body = await got.read()
                    assert len(body) == (2 * MIB if number % 2 else 1000)
                    proven(path, body, start, 1)

            whole = asyncio.create_task(one(1))
            while not origin.origin.counts:
                await asyncio.sleep(0.005)
            await asyncio.gather(whole, *(one(number) for number in range(200)))
        assert origin.origin.counts[f"/s/{2 * MIB}/crowd.ts"] == 1


async def test_an_origin_that_is_down_gives_a_clear_502_with_cors_and_hits_go_on(tmp_path: Path) -> None:
    async with describing_origin() as origin:
        url = origin.url
        async with running_edge(tmp_path / "c", url) as edge, client() as http:
            async with http.get(edge.url + SEGMENT) as got:
                await got.read()
            await origin.stop()
            async with http.get(edge.url + SEGMENT) as got:
                proven(SEGMENT, await got.read())
                assert got.headers["X-Cache"] == "HIT"
            async with http.get(edge.url + "/s/100/other.ts") as got:
                assert got.status == 502
                assert got.headers["Access-Control-Allow-Origin"] == "*"
                assert "connect_failed" in got.headers["Cache-Status"]
                assert "502" in await got.text()


async def test_a_truncated_body_never_ends_cleanly_for_the_player(tmp_path: Path) -> None:
    body = os.urandom(MIB)

    async def broken(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, body, etag="")[:500_000])
        wire.close()

    async with (
        RawServer(broken) as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            async with http.get(edge.url + "/a.ts") as got:
                await got.read()


async def test_a_worker_that_dies_is_replaced_and_counters_go_on(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        for _ in range(4):
            async with http.get(edge.url + SEGMENT, headers={"Connection": "close"}) as got:
                await got.read()
        while await edge.metric("edge_http_requests_total{") < 4:  # counted when it has gone, which we may see first
            await asyncio.sleep(0.01)
        for pid in edge.children("worker"):
            os.kill(pid, signal.SIGKILL)
        await edge.wait_for_line("worker . has ended")
        for _ in range(4):
            for _try in range(50):
                try:
                    async with http.get(edge.url + SEGMENT, headers={"Connection": "close"}) as got:
                        proven(SEGMENT, await got.read())
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        while await edge.metric("edge_http_requests_total{") < 8:
            await asyncio.sleep(0.01)
        assert await edge.metric("edge_http_requests_total{") == 8
        assert await edge.metric("edge_worker_restarts_total") == 2


async def test_hits_go_on_while_the_keeper_is_down_and_misses_wait_for_its_successor(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        cached = ""
        while cached != "HIT":  # what has just been sent may not be in the index yet
            async with http.get(edge.url + SEGMENT) as got:
                await got.read()
                cached = got.headers["X-Cache"]
        (keeper,) = edge.children("keeper")
        os.kill(keeper, signal.SIGKILL)
        async with http.get(edge.url + SEGMENT) as got:
            proven(SEGMENT, await got.read())
            assert got.headers["X-Cache"] == "HIT"
        async with http.get(edge.admin + "/readyz") as got:
            assert got.status == 200
        other = f"/s/{MIB}/other.ts"
        async with http.get(edge.url + other) as got:
            assert got.status == 200
            proven(other, await got.read())
        await edge.wait_for_line("keeper 0 has ended")


async def test_an_answer_under_way_survives_its_keepers_death(tmp_path: Path) -> None:
    path = f"/s/{4 * MIB}/slow.ts?rate=2000000"
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        async with http.get(edge.url + path) as got:
            first = await got.content.readexactly(MIB)
            (keeper,) = edge.children("keeper")
            os.kill(keeper, signal.SIGKILL)
            rest = await got.content.read()
            proven(path, first + rest)
            assert len(first + rest) == 4 * MIB


async def test_everything_dies_with_the_supervisor_and_the_cache_is_there_again(tmp_path: Path) -> None:
    async with describing_origin() as origin, client() as http:
        edge = await start_edge(tmp_path / "c", origin.url)
        how = ""
        while how != "HIT":  # from then on it is in the index: a player has the last byte before
            async with http.get(edge.url + SEGMENT) as got:
                await got.read()
                how = got.headers["X-Cache"]
        children = edge.children("worker") + edge.children("keeper")
        assert len(children) == 3
        os.kill(edge.process.pid, signal.SIGKILL)
        await end_edge(edge)
        for _ in range(1000):
            if not any(Path(f"/proc/{pid}").exists() for pid in children):
                break
            await asyncio.sleep(0.02)
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
        async with running_edge(tmp_path / "c", origin.url) as again:
            async with http.get(again.url + SEGMENT) as got:
                proven(SEGMENT, await got.read())
                assert got.headers["X-Cache"] == "HIT"
        assert origin.origin.counts[SEGMENT] == 1


async def test_a_second_server_on_one_directory_is_refused_by_pid(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url) as edge:
        other = await start_edge(tmp_path / "c", origin.url, wait=False)
        assert await other.process.wait() == 2
        await end_edge(other)
        assert any(f"pid {edge.process.pid}" in line for line in other.lines)


async def test_sighup_takes_up_the_settings_anew_and_sigterm_finishes_what_is_being_sent(
    tmp_path: Path,
) -> None:
    path = f"/s/{MIB}/slow.ts?rate=800000"
    async with describing_origin() as origin, client() as http:
        async with running_edge(tmp_path / "c", origin.url) as edge:
            edge.process.send_signal(signal.SIGHUP)
            await edge.wait_for_line("^reloaded")
            async with http.get(edge.url + path) as got:
                await got.content.readexactly(100 * KIB)
                edge.process.send_signal(signal.SIGTERM)
                await edge.wait_for_line("draining")
                async with http.get(edge.admin + "/readyz") as ready:
                    assert ready.status == 503
                rest = await got.content.read()
                assert len(rest) == MIB - 100 * KIB
            async with asyncio.timeout(10):
                assert await edge.process.wait() == 0


async def test_a_port_in_use_and_a_bad_url_are_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "edge",
            "serve",
            "--origin",
            "http://127.0.0.1:1",
            "--admin",
            "127.0.0.1:0",
        ]
        command += ["--cache-dir", str(tmp_path / "c"), "--listen", f"127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, said = await process.communicate()
        assert process.returncode == 2
        assert b"server.listen" in said
        assert b"another program listens there" in said
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "serve", "--origin", "ftp://x", stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"origin.url = 'ftp://x'" in said


async def test_inspect_tells_what_is_there_also_while_it_is_served(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        for n in range(5):
            async with http.get(f"{edge.url}/s/{100_000 + n}/x.ts") as got:
                await got.read()
        await asyncio.sleep(0.1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", "inspect", str(tmp_path / "c"), "--json", stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        found = json.loads(out)
        assert found["objects"] == 5
        assert found["bytes_stored"] == sum(100_000 + n for n in range(5))
        assert found["packs"] == 1


async def test_https_serves_the_same_bytes(tmp_path: Path) -> None:
    from tests.support.certificate import self_signed

    cert, key = self_signed(tmp_path)
    flags = ("--tls-cert", str(cert), "--tls-key", str(key))
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, *flags) as edge:
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=connector) as http:
            for _ in range(2):
                async with http.get(edge.url + SEGMENT) as got:
                    body = await got.read()
                    assert len(body) == SIZE
                    proven(SEGMENT, body)
            async with http.get(edge.url + SEGMENT, headers={"Range": "bytes=-1000"}) as got:
                proven(SEGMENT, await got.read(), SIZE - 1000, 1)
        await asyncio.sleep(0.1)
        assert await edge.metric("edge_tls_send_path") == 1
