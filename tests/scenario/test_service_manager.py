"""Under a service manager: told of each state, fed its watchdog, started on sockets that it holds."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

from edge.words import KIB
from tests.support.edgeproc import Edge, _read, client, describing_origin, end_edge, proven, running_edge
from tests.support.manager import manager

AS_A_MANAGER_STARTS = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 50) for number in sys.argv[1:3]]
for number in sys.argv[1:3]:
    os.close(int(number))
for place, number in enumerate(high, 3):
    os.dup2(number, place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[3], sys.argv[3:])
"""
SEGMENT = f"/s/{100 * KIB}/seg.ts"


async def test_the_manager_is_told_of_ready_reload_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with describing_origin() as origin, manager(tmp_path) as heard:
        monkeypatch.setenv("NOTIFY_SOCKET", str(heard.path))
        monkeypatch.setenv("WATCHDOG_USEC", "900000")
        async with running_edge(tmp_path / "cache", origin.url) as edge:
            said = await heard.hears("READY")
            assert said["MAINPID"] == str(edge.process.pid)
            assert said["STATUS"].startswith("ready: 2 workers")
            await heard.hears("WATCHDOG", times=3)
            edge.process.send_signal(signal.SIGHUP)
            await heard.hears("RELOADING")
            assert (await heard.hears("READY", times=2))["STATUS"] == "reloaded"
            assert await edge.stop() == 0
            assert int((await heard.hears("STOPPING"))["EXTEND_TIMEOUT_USEC"]) > 30_000_000


async def test_a_server_starts_on_the_sockets_that_its_manager_holds(tmp_path: Path) -> None:
    with socket.socket() as players, socket.socket() as admin:
        for sock in (players, admin):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        listen, control = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (players, admin))
        async with describing_origin() as origin:
            serve = [sys.executable, "-m", "edge", "serve", "--origin", origin.url, "--listen", listen]
            serve += ["--admin", control, "--workers", "2", "--cache-dir", str(tmp_path / "cache")]
            given = str(players.fileno()), str(admin.fileno())
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", AS_A_MANAGER_STARTS, *given, *serve, pass_fds=(players.fileno(), admin.fileno()),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            edge = Edge(process)
            edge.reading = asyncio.create_task(_read(edge))  # type: ignore[attr-defined]
            try:
                async with client() as http, http.get(f"http://{listen}{SEGMENT}") as got:  # it waits in the backlog
                    proven(SEGMENT, await got.read())
                await edge.wait_for_line("^ready$")
                async with client() as http, http.get(f"http://{control}/readyz") as got:
                    assert got.status == 200
                assert await edge.stop() == 0
            finally:
                await end_edge(edge)
        with socket.create_connection(("127.0.0.1", players.getsockname()[1])):
            pass  # the manager still listens: who comes now waits for the next start
