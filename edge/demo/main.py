"""`edge demo`: origin, edge and counters, started together and ended together, leaving nothing."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from edge.config.units import parse_listen
from edge.demo.origin_server import serve as serve_origin
from edge.tasks import Tasks

READY_SECONDS = 20.0
STOP_SECONDS = 3.0
SHOWN = (
    "edge_http_requests_total",
    "edge_cache_requests_total",
    "edge_cache_response_bytes_total",
    "edge_upstream_requests_total",
    "edge_upstream_bytes_total",
    "edge_cache_size_bytes",
    "edge_cache_objects",
    "edge_http_connections",
)


def run(listen: str, admin: str) -> int:
    """Run until Ctrl-C; the exit code."""
    try:
        parse_listen(listen)
        parse_listen(admin)
    except ValueError as error:
        print(f"edge demo: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_Demo(listen, admin).run())


class _Demo:
    def __init__(self, listen: str, admin: str) -> None:
        self._listen = listen
        self._admin = admin
        self._tasks = Tasks("demo")
        self._stop = asyncio.Event()
        self._pages: list[str] = []

    async def run(self) -> int:
        directory = Path(tempfile.mkdtemp(prefix="edge-demo-"))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        edge: asyncio.subprocess.Process | None = None
        try:
            origin: asyncio.Future[int] = loop.create_future()
            self._tasks.spawn(serve_origin("127.0.0.1", 0, origin), "origin")
            counters = await self._serve_counters()
            edge = await self._start_edge(directory, await origin)
            if not await self._await_ready(edge):
                if not self._stop.is_set():
                    print(f"edge demo: the edge did not start (exit code {edge.returncode})", file=sys.stderr)
                return 0 if self._stop.is_set() else 1
            page, metrics = self._addresses(counters)
            print(f"\nplay the film:  {page}\nmetrics:        {metrics}\nCtrl-C ends it.", flush=True)
            ended = self._tasks.spawn(edge.wait(), "edge")
            stopped = self._tasks.spawn(self._stop.wait(), "stop")
            await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
            return 0 if self._stop.is_set() else 1
        finally:
            await self._end(edge)
            await self._tasks.close()
            shutil.rmtree(directory, ignore_errors=True)

    async def _start_edge(self, directory: Path, origin_port: int) -> asyncio.subprocess.Process:
        command = [
            sys.executable,
            "-m",
            "edge",
            "serve",
            "--origin",
            f"http://127.0.0.1:{origin_port}",
        ]
        command += ["--listen", self._listen, "--admin", self._admin, "--workers", "2"]
        config = directory / "edge.toml"
        config.write_text('[server]\ndrain_timeout = "300ms"\n')  # Ctrl-C ends all of it within a second
        command += [
            "--config",
            str(config),
            "--cache-dir",
            str(directory / "cache"),
            "--cache-size",
            "256MiB",
        ]
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we end the edge in order.
        return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True)

    async def _await_ready(self, edge: asyncio.subprocess.Process) -> bool:
        """Pass on what the edge says until it is ready; False if it ends first, or we are told to stop."""
        assert edge.stdout is not None
        ready = asyncio.Event()
        self._tasks.spawn(self._relay(edge.stdout, ready), "output")
        waits = [
            self._tasks.spawn(ready.wait(), "ready"),
            self._tasks.spawn(edge.wait(), "early end"),
            self._tasks.spawn(self._stop.wait(), "early stop"),
        ]
        await asyncio.wait(waits, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return ready.is_set()

    async def _relay(self, output: asyncio.StreamReader, ready: asyncio.Event) -> None:
        async for raw in output:
            line = raw.decode(errors="replace").rstrip()
            if not ready.is_set():
                print(f"  {line}", flush=True)
            if "for players on" in line or "admin (" in line:
                self._pages.append("http://" + line.rpartition("//")[2])
            if line == "ready":
                ready.set()

    def _addresses(self, counters: int) -> tuple[str, str]:
        players, admin = (_reachable(page) for page in self._pages[:2])
        return f"{players}/demo/?counters={counters}", f"{admin}/metrics"

    async def _end(self, edge: asyncio.subprocess.Process | None) -> None:
        if edge is None or edge.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            edge.terminate()
        try:
            await asyncio.wait_for(edge.wait(), STOP_SECONDS)
        except TimeoutError:
            os.killpg(edge.pid, signal.SIGKILL)
            await edge.wait()

    # -- the page's counters ---------------------------------------------------------------------

    async def _serve_counters(self) -> int:
        app = web.Application()
        app.router.add_get("/", self._counters)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    async def _counters(self, _: web.Request) -> web.Response:
        """The edge's metrics as JSON for the page, sums over labels kept apart by the first telling one."""
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        try:
            async with ClientSession(timeout=ClientTimeout(total=2)) as session:
                async with session.get(_reachable(self._pages[1]) + "/metrics") as response:
                    text = await response.text()
        except (ClientError, TimeoutError, IndexError) as error:
            return web.Response(status=503, headers=headers, text=json.dumps({"error": str(error)}))
        return web.Response(headers=headers, content_type="application/json", text=json.dumps(_samples(text)))


def _samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.partition("{")[0] in SHOWN:
            found[name] = float(value)
    return found


def _reachable(page: str) -> str:
    """An address that a browser here can open: a listener on all addresses is reached at localhost."""
    return page.replace("//[::]:", "//localhost:").replace("//0.0.0.0:", "//localhost:")
