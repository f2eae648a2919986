"""HAProxy before an edge, as `deploy/haproxy` has it: HTTP/2 for players, and the edge knows who they are."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificate import self_signed
from tests.support.edgeproc import describing_origin, proven, running_edge

SHIPPED = Path(__file__).parents[2] / "deploy/haproxy/haproxy.cfg"
SEGMENT = "/s/3000000/seg.ts"


def test_the_example_that_nobody_has_tried_says_so() -> None:
    assert "untested" in SHIPPED.with_name("haproxy-http3.cfg").read_text().splitlines()[0].lower()


@asynccontextmanager
async def haproxy(directory: Path, players: str, admin: str) -> AsyncIterator[str]:
    """The shipped configuration before an edge; its address."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    cert, key = self_signed(directory)
    (directory / "front.pem").write_text(cert.read_text() + key.read_text())
    config = directory / "haproxy.cfg"  # only root can become another user
    text = SHIPPED.read_text()
    config.write_text(text if os.geteuid() == 0 else re.sub(r" +(user|group) haproxy\n", "", text))
    with socket.socket() as front:
        front.bind(("127.0.0.1", 0))
        front.listen()
        front.set_inheritable(True)
        given = {
            "EDGE_FRONT": f"fd@{front.fileno()}",
            "EDGE_CERTIFICATE": str(directory / "front.pem"),
            "EDGE_PLAYERS": players,
            "EDGE_ADMIN_PORT": admin,
            "EDGE_FRONT_PLAYERS": "450",  # its sockets, two each, must have numbers beyond the one that it is given
        }
        said = directory / "haproxy.said"
        with said.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                program, "-db", "-f", str(config), env=os.environ | given, pass_fds=[front.fileno()],
                stdout=file, stderr=file,
            )  # fmt: skip
        try:
            yield f"https://127.0.0.1:{front.getsockname()[1]}"
        except Exception as error:
            error.add_note(f"haproxy ({process.returncode}) said: {said.read_text()}")
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def curl(*arguments: str) -> bytes:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    process = await asyncio.create_subprocess_exec(
        program, "-sSk", "--max-time", "30", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said


async def test_players_have_http_2_and_the_edge_logs_their_own_addresses(tmp_path: Path) -> None:
    log, config = tmp_path / "access.log", tmp_path / "edge.toml"
    config.write_text(f'[server]\nproxy_protocol_from = ["127.0.0.1"]\n[log]\naccess = "{log}"\nanonymise = "off"\n')
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, "--config", str(config), workers=1) as edge,
        haproxy(tmp_path, edge.url.rpartition("/")[2], edge.admin.rpartition(":")[2]) as front,
    ):
        body = tmp_path / "body"
        for player in ("127.0.0.7", "127.0.0.8"):
            said = await curl(
                "--http2", "--interface", player, "-o", str(body), "-w", "%{http_version} %{http_code}",
                "-H", "X-Forwarded-For: 203.0.113.9", front + SEGMENT,
            )  # fmt: skip
            assert said.split()[:2] == [b"2", b"200"]
            proven(SEGMENT, body.read_bytes())
        said = await curl("--http2", "-r", "10-19", "-w", "%{http_code}", front + SEGMENT)
        assert (len(said), said[-3:]) == (13, b"206")
        async with asyncio.timeout(20):
            while not log.exists() or log.read_text().count("\n") < 3:
                await asyncio.sleep(0.02)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["client"] for line in lines] == ["127.0.0.7", "127.0.0.8", "127.0.0.1"]
    assert [line["cache_status"] for line in lines][:2] == ["miss", "hit"]
    assert all("203.0.113.9" not in line for line in log.read_text().splitlines())
