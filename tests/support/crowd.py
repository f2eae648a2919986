"""Players on kept connections at a paced rate, who count every way in which a request can fail."""

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field

from tests.support.edgeproc import proven

SIZE = 2000


@dataclass
class Crowd:
    """`rate` requests a second in all, by a schedule: who is late catches up. `new_each`: so many requests apart is
    one for what nobody has asked for yet; 0: never."""

    urls: list[str]
    rate: float
    clients: int = 20
    new_each: int = 0
    done: int = 0
    refused: list[str] = field(default_factory=list)  # connections
    resets: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)  # closed before, or within, an answer
    wrong: list[str] = field(default_factory=list)  # another status than 200
    closes: int = 0  # answers after which the server closes, as it has said
    by_url: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0

    @property
    def failures(self) -> list[str]:
        return [*self.refused, *self.resets, *self.cut, *self.wrong]

    def start(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._play(number)) for number in range(self.clients)]

    async def stop(self) -> None:
        """Each finishes the answer that it waits for."""
        self._stop.set()
        self.seconds = asyncio.get_running_loop().time() - self._began
        await asyncio.gather(*self._tasks)

    def __str__(self) -> str:
        return (
            f"{self.done} answers in {self.seconds:.1f} s ({self.done / max(self.seconds, 0.001):.0f} a second), "
            f"{len(self.refused)} refused, {len(self.resets)} resets, {len(self.cut)} cut, {len(self.wrong)} wrong, "
            f"{self.closes} connections ended by the server"
        )

    async def _play(self, number: int) -> None:
        url = self.urls[number % len(self.urls)]
        period, turn = self.clients / self.rate, number / self.rate
        count = 0
        while not self._stop.is_set():
            connection = await self._connect(url)
            if connection is None:
                return
            reader, writer = connection
            goes_on = True
            while goes_on and not self._stop.is_set():
                await self._wait(self._began + turn)
                turn += period
                count += 1
                goes_on = await self._ask(reader, writer, self._path(number, count), url)
            writer.close()

    async def _wait(self, until: float) -> None:
        left = until - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    def _path(self, number: int, count: int) -> str:
        if self.new_each and count % self.new_each == 0:
            return f"/s/{SIZE}/new-{number}-{count}.ts"
        return f"/s/{SIZE}/{number % 7}-{count % 20}.ts"

    async def _connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        scheme, _, authority = url.partition("://")
        host, _, port = authority.rpartition(":")
        context = None
        if scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            return await asyncio.open_connection(host, int(port), ssl=context)
        except OSError as error:
            self.refused.append(f"{url}: {error!r}")
            return None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, url: str) -> bool:
        """May the next request follow on this connection?"""
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                self.wrong.append(head.decode())
                return False
            body = await reader.readexactly(SIZE)
        except asyncio.IncompleteReadError as error:
            self.cut.append(f"{path}: {error!r}")
            return False
        except OSError as error:
            self.resets.append(f"{path}: {error!r}")
            return False
        proven(path, body)
        self.done += 1
        self.by_url[url] += 1
        closing = b"Connection: close" in head
        self.closes += closing
        return not closing
