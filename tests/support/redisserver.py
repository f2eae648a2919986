"""A real redis-server of a test's own, on a Unix socket."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class RedisServer:
    """`stop` and `start` it as a test wants; what it holds stays unless `lose` is called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "redis.sock"
        self.url = f"unix://{self.path}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--dir", str(self.directory)]
        command += ["--appendonly", "yes", "--appendfsync", "no", "--save", "", "--daemonize", "no"]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            async for line in self._process.stdout:
                if b"ready to accept connections" in line.lower():
                    break
        self._reading = asyncio.ensure_future(self._process.stdout.read())
        await self.command("PING")

    async def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()
            await self._reading
            self._process = None

    def lose(self) -> None:
        """All that it holds, while it is stopped."""
        shutil.rmtree(self.directory / "appendonlydir")

    async def command(self, *words: str | bytes) -> object:
        from redis import asyncio as client

        async with client.Redis.from_url(self.url) as redis:
            return await redis.execute_command(*words)


@asynccontextmanager
async def redis_server(directory: Path) -> AsyncIterator[RedisServer]:
    directory.mkdir(exist_ok=True)
    server = RedisServer(directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
