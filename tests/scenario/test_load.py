"""The load test that users run: plays what it is given, proves every byte, and says so when one is wrong."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edge.demo.describing import body_slice
from tests.support.edgeproc import describing_origin, running_edge

PNG = b"\x89PNG\r\n\x1a\n"


async def load(*flags: str) -> tuple[int, str]:
    """Exit code and output of a load test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(40):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def wrong_once(request: web.Request) -> web.StreamResponse:
    """The self-describing origin's objects, every one right but the fourth segment of each title: one bit of it."""
    size = int(request.match_info["size"])
    body = bytearray(body_slice(request.path, 1, 0, size))
    if request.path.endswith("-3.ts"):
        body[size // 2] ^= 1
    return web.Response(body=bytes(body), headers={"ETag": '"1"'})


async def test_it_plays_the_film_in_every_way_and_reports_what_it_saw(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url) as edge:
        flags = ["--target", edge.url, "--admin", edge.admin, "--players", "6", "--seconds", "4"]
        code, out = await load(*flags, "--json", str(tmp_path / "l.json"), "--plot", str(tmp_path / "l.png"))
    assert code == 0, out
    found: dict[str, Any] = json.loads((tmp_path / "l.json").read_text())
    assert set(found["sessions"]) == {"hls", "dash", "mp4"}
    assert set(found["codes"]) <= {"200", "206"}
    assert found["requests"] == sum(found["codes"].values()) > 50
    assert 0 < found["ttfb_ms"]["p50"] <= found["ttfb_ms"]["p95"] <= found["ttfb_ms"]["p99"]
    assert 0 < found["hit_ratio"] < 1
    assert found["rebuffer_ratio"] >= 0
    assert len(found["timeline"]) >= 3
    assert found["wrong_bytes"] == []
    assert (tmp_path / "l.png").read_bytes().startswith(PNG)


async def test_every_byte_of_self_describing_titles_is_proven_through_the_edge(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url) as edge:
        code, out = await load("--target", edge.url, "--players", "4", "--seconds", "3", "--objects", "3")
    assert code == 0, out
    assert "wrong_bytes          []" in out


async def test_one_wrong_bit_ends_it_with_exit_code_1_and_names_the_object(tmp_path: Path) -> None:
    app = web.Application()
    app.router.add_get("/s/{size}/{name:.*}", wrong_once)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    flags = ["--players", "4", "--seconds", "4", "--objects", "1", "--json", str(tmp_path / "l.json")]
    code, out = await load("--target", f"http://127.0.0.1:{runner.addresses[0][1]}", *flags)
    await runner.cleanup()
    assert code == 1, out
    wrong = json.loads((tmp_path / "l.json").read_text())["wrong_bytes"]
    assert wrong
    assert all("title-0-3.ts" in line for line in wrong)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--target", "ftp://x"], "must be an http(s) URL"),
        (["--target", "http://127.0.0.1:1", "--players", "0"], "players 1 to 2000"),
        (["--target", "http://127.0.0.1:1", "--seconds", "1e9"], "seconds 1 to 3600"),
        (["--target", "http://127.0.0.1:1", "--catalogue", "/nonexistent"], "--catalogue cannot be used"),
    ],
)
async def test_bad_usage_is_exit_code_2_with_the_reason(flags: list[str], said: str) -> None:
    code, out = await load(*flags)
    assert code == 2
    assert said in out


async def test_a_catalogue_of_unknown_kinds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "titles.json").write_text(json.dumps([{"kind": "smooth", "url": "/x"}]))
    code, out = await load("--target", "http://127.0.0.1:1", "--catalogue", str(tmp_path / "titles.json"))
    assert code == 2
    assert "hls, dash, mp4, object" in out
