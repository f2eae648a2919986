"""A real edge: supervisor, workers, keeper as processes, on ports of its own, before a describing origin."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from edge.demo.describing import check
from edge.demo.origin_server import Origin
from tests.support.processes import children_of_edge, cpu_seconds

STARTED = 30.0


@dataclass
class Edge:
    """A running `edge serve`; `lines` is what it has said."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    url: str = ""
    admin: str = ""
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_line(self, pattern: str, seconds: float = STARTED) -> str:
        async with asyncio.timeout(seconds):
            while True:
                for line in self.lines:
                    if re.search(pattern, line):
                        return line
                if self.process.returncode is not None:
                    raise AssertionError(f"edge has ended: {self.lines}")
                self.said.clear()
                await self.said.wait()

    def children(self, role: str) -> list[int]:
        """Pids of this edge's children of a role."""
        return children_of_edge(self.process.pid, role)

    def family(self) -> list[int]:
        """Pids of all its processes: the supervisor and all that come from it."""
        parents: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(
                    int(stat.parent.name)
                )
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
        found = [self.process.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found

    def cpu_seconds(self) -> float:
        """What supervisor, keepers and workers have used so far; what forks them is not in it."""
        return sum(map(cpu_seconds, [self.process.pid, *self.children("keeper"), *self.children("worker")]))

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def metric(self, *texts: str) -> float:
        """The sum of all samples whose line contains each of `texts`."""
        async with aiohttp.ClientSession() as session, session.get(self.admin + "/metrics") as response:
            body = await response.text()
        return sum(
            float(line.rpartition(" ")[2])
            for line in body.splitlines()
            if not line.startswith("#") and all(text in line for text in texts)
        )


async def _read(edge: Edge) -> None:
    assert edge.process.stdout is not None
    async for raw in edge.process.stdout:
        line = raw.decode(errors="replace").rstrip()
        edge.lines.append(line)
        if "for players on" in line:
            edge.url = re.sub(r".*(https?)://(.*)", r"\1://\2", line)
        if line.startswith("admin ("):
            edge.admin = "http://" + line.rpartition("//")[2]
        edge.said.set()
    await edge.process.wait()  # only now is there a return code, which tells who waits that no line will come
    edge.said.set()


async def start_edge(
    directory: Path | None,
    origin_url: str,
    *more: str,
    workers: int = 2,
    wait: bool = True,
    listen: bool = True,
    prefix: Sequence[str] = (),
) -> Edge:
    """`directory` None: `more` says where the cache lies; `listen` False: it says all the rest, too.

    `prefix`: what executes the command.
    """
    command = [*prefix, sys.executable, "-m", "edge", "serve"]
    if listen:
        command += ["--origin", origin_url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        command += ["--workers", str(workers)]
    if directory is not None:
        command += ["--cache-dir", str(directory), "--cache-size", "256MiB"]
    command += more
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    edge = Edge(process)
    edge.reading = asyncio.create_task(_read(edge))  # type: ignore[attr-defined]
    if wait:
        await edge.wait_for_line("^ready$")
    return edge


async def end_edge(edge: Edge) -> None:
    if edge.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(edge.process.pid, signal.SIGKILL)
        await edge.process.wait()
    await edge.reading  # type: ignore[attr-defined]


@asynccontextmanager
async def running_edge(
    directory: Path | None,
    origin_url: str,
    *more: str,
    workers: int = 2,
    listen: bool = True,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Edge]:
    edge = await start_edge(directory, origin_url, *more, workers=workers, listen=listen, prefix=prefix)
    try:
        yield edge
    except BaseException as error:
        error.add_note("the edge said:\n" + "\n".join(edge.lines))
        raise
    finally:
        if edge.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await edge.stop()
        await end_edge(edge)


@dataclass
class Describing:
    """The describing origin in this process."""

    origin: Origin
    url: str
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def describing_origin(port: int = 0) -> AsyncIterator[Describing]:
    origin = Origin()
    runner = web.AppRunner(origin.app(), access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Describing(origin, f"http://127.0.0.1:{runner.addresses[0][1]}", runner.cleanup)
    finally:
        await runner.cleanup()


def proven(url_path: str, data: bytes, start: int = 0, version: int | None = None) -> None:
    """Fail with the first wrong byte."""
    mismatch = check(url_path.partition("?")[0], version, start, data)
    assert mismatch is None, str(mismatch)


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield session
    await asyncio.sleep(0)
