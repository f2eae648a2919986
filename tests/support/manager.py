"""A service manager's side of sd_notify: a datagram socket that remembers what it was told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class Manager:
    """`told` = the datagrams, each as a dictionary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[dict[str, str]] = []
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(self.path))
            sock.setblocking(False)
            self._heard.set()
            while True:
                data = await loop.sock_recv(sock, 65536)
                self.told.append(dict(line.split("=", 1) for line in data.decode().splitlines()))
                self._heard.set()

    async def hears(self, word: str, times: int = 1) -> dict[str, str]:
        """The latest datagram with a word, once there are so many."""
        async with asyncio.timeout(30):
            while True:
                found = [said for said in self.told if word in said]
                if len(found) >= times:
                    return found[-1]
                self._heard.clear()
                await self._heard.wait()

    async def bound(self) -> None:
        await self._heard.wait()


@asynccontextmanager
async def manager(directory: Path) -> AsyncIterator[Manager]:
    listening = Manager(directory / "notify")
    task = asyncio.ensure_future(listening.listen())
    await listening.bound()
    try:
        yield listening
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
