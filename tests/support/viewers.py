"""Viewers at a given rate over kept connections, each of whose answers is proven."""

import asyncio
import random
import re
import time
from dataclasses import dataclass

from edge.demo.describing import body_slice
from edge.words import KIB
from tests.support.edgeproc import proven

LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """An object (its size stands in its path) and, if `count` is not 0, a range of it."""

    path: str
    size: int
    start: int = 0
    count: int = 0

    @property
    def head(self) -> bytes:
        more = f"Range: bytes={self.start}-{self.start + self.count - 1}\r\n" if self.count else ""
        return f"GET {self.path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


class Mixture:
    """What they ask for: small objects again and again, ranges of large ones, and a share `new` that nobody had yet."""

    def __init__(self, seed: int, new: float) -> None:
        self._rng, self._new = random.Random(seed), new
        self._number = 0
        self._small = [self._object(f"small-{n}", 2 * KIB + n * 700) for n in range(40)]
        self._large = [self._object(f"large-{n}", (300 + 60 * n) * KIB) for n in range(6)]

    def _object(self, name: str, size: int) -> Asked:
        return Asked(f"/s/{size}/{name}.ts", size)

    def next(self) -> Asked:
        rng = self._rng
        if rng.random() < self._new:
            self._number += 1
            return self._object(f"new-{self._number}", 2 * KIB + (self._number * 7919) % (300 * KIB))
        if rng.random() < 0.2:
            large = rng.choice(self._large)
            return Asked(large.path, large.size, rng.randrange(0, large.size - 16 * KIB, KIB), 16 * KIB)
        return rng.choice(self._small)


class Viewers:
    """`rate` requests a second in all, shared out evenly; who is late asks at once: the rate holds on the mean."""

    def __init__(self, url: str, mixture: Mixture, rate: float, connections: int = 16) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._at = host, int(port)
        self._mixture, self._pause, self._connections = mixture, connections / rate, connections
        self._bodies: dict[str, bytes] = {}
        self.good = 0

    async def watch(self, seconds: float) -> None:
        """Until the time is over; AssertionError with the first answer that is not right."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._connections):
                group.create_task(self._one(number, time.monotonic() + seconds))

    async def _one(self, number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection(*self._at, limit=64 * KIB)
        due = time.monotonic() + number * self._pause / self._connections
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += self._pause
            asked = self._mixture.next()
            writer.write(asked.head)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 206" if asked.count else b"HTTP/1.1 200"), head
            length = LENGTH.search(head)
            assert length is not None, head
            self._check(asked, await reader.readexactly(int(length[1])))
            self.good += 1
            if b"\r\nConnection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection(*self._at, limit=64 * KIB)
        writer.close()

    def _check(self, asked: Asked, body: bytes) -> None:
        assert len(body) == (asked.count or asked.size)
        if "/new-" in asked.path:
            proven(asked.path, body)
            return
        whole = self._bodies.get(asked.path)
        if whole is None:
            whole = self._bodies[asked.path] = body_slice(asked.path, 1, 0, asked.size)
        if body != whole[asked.start : asked.start + len(body)]:
            proven(asked.path, body, asked.start)
            raise AssertionError(f"another version of {asked.path}")
