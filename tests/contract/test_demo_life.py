"""`edge demo` as a newcomer runs it: two addresses, the film through the edge, and nothing left however it ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from edge.demo.edge_process import EdgeProcess
from edge.demo.files import FILM
from edge.demo.main import run
from edge.tasks import Tasks
from tests.support.processes import processes

STARTED, ENDED = 40.0, 20.0  # s; ENDED has room for a busy machine and its disk, the demo itself promises one second


@dataclass
class Demo:
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    page: str = ""
    metrics: str = ""
    cache: str = ""

    async def started(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(STARTED):
            while not self.lines or not self.lines[-1].startswith("Ctrl-C"):
                line = (await self.process.stdout.readline()).decode()
                assert line, self.lines
                self.lines.append(line.strip())
        text = "\n".join(self.lines)
        self.page = re.findall(r"^play the film: +(\S+)$", text, re.M)[0]
        self.metrics = re.findall(r"^metrics: +(\S+)$", text, re.M)[0]
        self.cache = re.findall(r"^cache (\S+):", text, re.M)[0]

    def family(self) -> set[int]:
        """Pids of all that descends from the demo."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


async def start(*more: str, address: str = "127.0.0.1:0") -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "edge", "demo", "--listen", address, "--admin", "127.0.0.1:0", *more]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, start_new_session=True)


@asynccontextmanager
async def demo() -> AsyncIterator[Demo]:
    process = await start()
    running = Demo(process)
    try:
        await running.started()
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


async def ended(running: Demo) -> None:
    """It ends by itself and well; its pipes are read to their end."""
    async with asyncio.timeout(ENDED):
        await running.process.communicate()
    assert running.process.returncode == 0


async def gone(running: Demo, family: set[int]) -> None:
    async with asyncio.timeout(ENDED):
        while alive(family) or Path(running.cache).parent.exists():
            await asyncio.sleep(0.02)


async def test_the_page_the_film_and_the_counters_come_from_the_addresses_that_are_printed() -> None:
    async with demo() as running, aiohttp.ClientSession() as http:
        async with http.get(running.page) as got:
            assert "<video" in await got.text()
            assert "X-Cache" in got.headers  # the page comes through the edge
        edge = running.page.removesuffix("/demo/")
        seen = []
        for _ in range(2):
            async with http.get(f"{edge}/film/seg-0-001.m4s") as got:
                assert await got.read() == (FILM / "seg-0-001.m4s").read_bytes()
                seen.append(got.headers["X-Cache"])
        assert seen == ["MISS", "HIT"]
        async with http.get(f"{running.page}where.json") as got:
            where = await got.json()
        assert where["origin_delay_ms"] == 200
        async with http.get(f"http://127.0.0.1:{where['counters']}/") as got:
            told = await got.json()
        assert told["hits"] == 1
        assert told["misses"] >= 1
        async with http.get(running.metrics) as got:
            assert "edge_cache_requests_total" in await got.text()
        async with http.get(f"{edge}/", allow_redirects=False) as got:
            assert (got.status, got.headers["Location"]) == (302, "/demo/")
    await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_everything_and_leaves_nothing(number: signal.Signals) -> None:
    async with demo() as running:
        family = running.family()
        assert len(family) >= 4  # the edge, its workers and its keeper
        assert Path(running.cache).is_dir()
        running.process.send_signal(number)
        await ended(running)
        assert not alive(family)
        assert not Path(running.cache).parent.exists()


async def test_an_edge_that_dies_takes_the_demo_with_it() -> None:
    async with demo() as running:
        family = running.family()
        bound = [pid for pid in family if b"edge.demo.bound" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        (edge,) = (pid for pid, parent, _ in processes() if pid in bound and parent not in bound)
        os.kill(edge, signal.SIGKILL)
        async with asyncio.timeout(ENDED):
            _, err = await running.process.communicate()
        assert running.process.returncode == 1
        assert b"the edge has ended (exit code -9)" in err
        await gone(running, family)


async def test_a_demo_that_is_killed_takes_its_edge_and_its_files_with_it() -> None:
    async with demo() as running:
        family = running.family()
        running.process.kill()
        async with asyncio.timeout(ENDED):
            await running.process.communicate()  # to the end: its edge has the same pipe
        await gone(running, family)


async def test_an_edge_that_hangs_is_killed() -> None:
    async with demo() as running:
        family = running.family()
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        await ended(running)
        await gone(running, family)


async def test_a_port_that_is_taken_is_named_and_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start(address=f"127.0.0.1:{port}")
        async with asyncio.timeout(STARTED):
            out, err = await process.communicate()
    assert process.returncode == 1
    assert str(port).encode() in out + err
    assert b"--listen and --admin choose other ports" in err


async def test_a_signal_during_the_start_ends_it() -> None:
    process = await start()
    assert process.stdout is not None
    async with asyncio.timeout(STARTED):
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0


def test_wrong_options_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nowhere", "127.0.0.1:0") == 2
    assert "HOST:PORT" in capsys.readouterr().err
    assert run("127.0.0.1:0", "127.0.0.1:0", "soon") == 2
    assert "250ms" in capsys.readouterr().err


async def test_stopping_an_edge_that_never_started_is_harmless(tmp_path: Path) -> None:
    edge = EdgeProcess(tmp_path, Tasks("test"))
    await edge.stop()
    assert "not ready" in repr(edge)
