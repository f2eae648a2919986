"""The demo's edge: `edge serve` as a process of its own, started, watched and ended."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

from edge.demo.lines import say
from edge.tasks import Tasks

STOP_SECONDS: Final = 0.6  # all of the demo is to end within a second; what the cache holds is thrown away anyway
READY: Final = "ready"
PLAYERS: Final = "for players on "
ADMIN: Final = "admin (metrics, health) on "
SETTINGS: Final = '[server]\ndrain_timeout = "300ms"\n'


class EdgeProcess:
    """One running edge. `players` and `admin` are URLs that a browser on this machine can open."""

    def __init__(self, directory: Path, tasks: Tasks) -> None:
        self.players = ""
        self.admin = ""
        self._directory = directory
        self._tasks = tasks
        self._ready = asyncio.Event()
        self._ending = False
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        pid = self._process.pid if self._process else None
        return f"<EdgeProcess {pid} {'ready' if self._ready.is_set() else 'not ready'} {self.players}>"

    async def start(self, origin: str, listen: str, admin: str) -> None:
        """Start it before `origin` (a URL). What it says is passed on."""
        config = self._directory / "edge.toml"
        config.write_text(SETTINGS)
        command = [sys.executable, "-m", "edge.demo.bound", str(os.getpid()), str(self._directory), "serve"]
        command += ["--config", str(config), "--origin", origin, "--listen", listen, "--admin", admin]
        command += ["--cache-dir", str(self._directory / "cache"), "--cache-size", "256MiB", "--workers", "2"]
        # A session of its own: Ctrl-C in the terminal reaches the demo alone, which ends the edge in order.
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._tasks.spawn(self._relay(self._process.stdout), "edge's output")

    async def ready(self) -> None:
        """Until it serves; forever if it never does: wait for `ended` beside it."""
        await self._ready.wait()

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left a moment later."""
        process = self._process
        if process is None:
            return
        self._ending = True
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # its session: also children of one that was killed
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _relay(self, output: asyncio.StreamReader) -> None:
        async for raw in output:
            line = raw.decode(errors="replace").rstrip()
            if not self._ending:
                say(f"  {line}")
            if PLAYERS in line and not self.players:
                self.players = reachable(line.partition(PLAYERS)[2])
            elif line.startswith(ADMIN):
                self.admin = reachable(line.removeprefix(ADMIN))
            elif line == READY:
                self._ready.set()


def reachable(url: str) -> str:
    """A URL that a browser here can open: a listener on all addresses is reached at localhost."""
    return url.replace("//[::]:", "//localhost:").replace("//0.0.0.0:", "//localhost:")
