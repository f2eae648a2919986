"""A real supervisor over the roles of `tests.support.roles`: what is started, said and ended is the real thing.

`python -m tests.support.fakeserve ...` takes the flags of `edge serve`.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from edge.cli import serve
from edge.runtime import pulse
from edge.runtime.signals import hold
from tests.support.processes import children_of_edge
from tests.support.roles import ENTRIES

SECONDS = 20.0
BEAT = "FAKE_BEAT_SECONDS"


@dataclass
class Server:
    """A running server; `lines` is all that it has said, on both streams."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    said: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            self.lines.append(raw.decode(errors="replace").rstrip())
            self.said.set()
        await self.process.wait()
        self.ended.set()
        self.said.set()

    async def line(self, pattern: str, after: int = 0) -> str:
        """The first line, of those after the first so many, in which `pattern` is found."""
        async with asyncio.timeout(SECONDS):
            while True:
                for line in self.lines[after:]:
                    if re.search(pattern, line):
                        return line
                assert not self.ended.is_set(), f"no {pattern!r} in {self.lines}"
                self.said.clear()
                await self.said.wait()

    async def port(self, nth: int = 0, pattern: str = "for players on") -> int:
        """Of the nth listener."""
        await self.line("misses are fetched")
        return int([line for line in self.lines if pattern in line][nth].rpartition(":")[2])

    async def ask(self, word: str, host: str = "127.0.0.1", nth: int = 0) -> str:
        """What some worker answers to a word."""
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, await self.port(nth))
            writer.write(word.encode() + b"\n")
            answer = await reader.read()
            writer.close()
            return answer.decode()

    async def admin(self, path: str) -> tuple[int, str]:
        port = await self.port(pattern="admin (metrics")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

    def children(self, role: str = "") -> list[int]:
        """Pids of its living children, those of one role if it is named."""
        return children_of_edge(self.process.pid, role)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        async with asyncio.timeout(SECONDS):
            await self.ended.wait()
        assert self.process.returncode is not None
        return self.process.returncode


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that have not ended."""
    left = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.append(pid)
    return left


@asynccontextmanager
async def server(
    directory: Path, *flags: str, workers: int = 1, node: str = "fake", beat: float = pulse.BEAT_SECONDS
) -> AsyncIterator[Server]:
    """A server of fake roles in a session of its own; killed at the end if it still runs. `beat`: of its children."""
    command = [sys.executable, "-P", "-m", "tests.support.fakeserve", "--origin", "http://origin.example"]
    command += ["--cache-dir", str(directory), "--cache-size", "64MiB", "--workers", str(workers), "--node", node]
    if "--listen" not in flags:
        command += ["--listen", "127.0.0.1:0"]
    if "--admin" not in flags:
        command += ["--admin", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), BEAT: str(beat)},
    )
    made = Server(process)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    except BaseException as error:
        error.add_note("the server said:\n" + "\n".join(made.lines))
        raise
    finally:
        if not made.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await reading


def main() -> int:
    hold()  # as `edge serve` does
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    pulse.BEAT_SECONDS = float(os.environ[BEAT])
    return serve.serve(serve.settings_of(parser.parse_args()), ENTRIES)


if __name__ == "__main__":
    sys.exit(main())
