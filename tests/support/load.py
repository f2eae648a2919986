"""Players of a server under fault: new objects and old ones, every byte proven, and what went wrong noted."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp

from edge.delivery.places import Home
from edge.policy.rendezvous import ranked
from edge.words import KIB
from tests.support.edgeproc import Edge, client, proven

SITE = b"default"


PAUSE = 0.015  # seconds: on a fast machine what is held would have to be asked for within a turn of a small cache


def path_of(number: int, most: int = 700 * KIB) -> str:
    """Sizes are as mixed as numbers."""
    return f"/s/{5 * KIB + (number * 7919) % most}/{number}.ts"


class Load:
    """New objects and old ones in turn, each proven; `failed` has what was not answered rightly.

    `held`: objects that are asked for all the time by a player of their own; `lost`: those that were no hits.
    """

    def __init__(self, edge: Edge, seed: int, held: Sequence[str] = ()) -> None:
        self._edge, self._rng = edge, random.Random(seed)
        self.held = held
        self.number = self.good = self.hits = 0
        self.failed: list[str] = []
        self.lost: list[str] = []
        self.slowest = self.slowest_hit = 0.0  # seconds to an answer's end, of those that were right, of those held

    def __repr__(self) -> str:
        return f"<Load good={self.good} hits={self.hits} failed={len(self.failed)}>"

    async def one(self, http: aiohttp.ClientSession, number: int) -> str:
        return await self.ask(http, path_of(number))

    async def ask(self, http: aiohttp.ClientSession, path: str) -> str:
        """X-Cache, or FAILED."""
        begun = time.monotonic()
        try:
            async with http.get(self._edge.url + path) as got:
                body = await got.read()
                assert got.status == 200, f"{got.status} {got.headers.get('Cache-Status')}"
                assert len(body) == int(path.split("/")[2])
                proven(path, body)
                self.good += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                return got.headers["X-Cache"]
        except (aiohttp.ClientError, AssertionError, TimeoutError) as error:
            self.failed.append(f"{path}: {type(error).__name__}: {error} after {time.monotonic() - begun:.1f} s")
            return "FAILED"

    async def again(self, numbers: Sequence[int]) -> Counter[str]:
        """Ask for each twice, one right after the other: the load turns a small cache over in seconds.

        How they were answered the second time.
        """
        found = Counter[str]()
        async with client() as http:
            for number in numbers:
                await self.one(http, number)
                found[await self.one(http, number)] += 1
        return found

    async def run(self) -> None:
        async with client() as http:
            while True:
                self.number += 1
                number = self.number if self._rng.random() < 0.6 else self._rng.randrange(self.number)
                await self.one(http, number)
                await asyncio.sleep(PAUSE)

    async def hold(self) -> None:
        async with client() as http:
            while True:
                for path in self.held:
                    begun = time.monotonic()
                    how = await self.ask(http, path)
                    if how == "HIT":
                        self.hits += 1
                        self.slowest_hit = max(self.slowest_hit, time.monotonic() - begun)
                    if how not in ("HIT", "FAILED"):
                        self.lost.append(path)
                    await asyncio.sleep(0.005)


class Loads:
    """Some players at once, and one for what is held, for as long as the block lasts."""

    def __init__(self, load: Load, count: int = 4) -> None:
        self._load, self._count = load, count
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._load.run()) for _ in range(self._count)]
        if self._load.held:
            self._tasks.append(asyncio.create_task(self._load.hold()))

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float, what: str) -> float:
    """How long it took."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            while True:
                holds = condition()
                if holds if isinstance(holds, bool) else await holds:
                    return time.monotonic() - begun
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


def homes(volumes: Sequence[Path]) -> list[tuple[int, bytes, float]]:
    """The members among which objects are shared out, of volumes of one size that have been made."""
    secrets = [bytes.fromhex(json.loads((path / "volume.json").read_text())["key"]) for path in volumes]
    return [(number, Home(secret).identity, 1.0) for number, secret in enumerate(secrets)]


def volume_of(path: str, members: Sequence[tuple[int, bytes, float]]) -> int:
    """Where an object of the only site lives."""
    return ranked(SITE + path.encode(), members)[0]
