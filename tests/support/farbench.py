"""A real edge behind a fault proxy behind the describing origin, and a player that believes nothing."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from edge.demo.describing import check
from edge.fill import shares
from edge.fill.spread import RIVALS
from edge.origin.budget import RETRIES_MOST, RETRIES_PER_REQUEST, RETRIES_PER_SECOND
from edge.words import KIB, MIB
from tests.support.edgeproc import Edge, client, describing_origin, running_edge
from tests.support.faultproxy import FaultProxy
from tests.support.faults import nothing

SIZE = 2 * MIB + 17
# Objects have numbers, and a fault is meant for who asks for them: nothing is fetched ahead.
# Short times, so that each fault shows soon; a broken body is resumed at most three times without progress. No fault
# waits for a first byte: on a busy machine (25 processes for two cores) the origin's own took more than a second.
CONFIG = """
[origin]
connect_timeout = "1s"
first_byte_timeout = "3s"
total_first_byte = "9s"
stall_timeout = "250ms"
retries = 2
resume_max = 3
far = {far}
[[site]]
name = "default"
prefetch = 0
"""
RESUME_MAX, TRIES = 3, 3  # as CONFIG has them: resumptions without progress, and tries of one request
BUSY = 2  # a machine that is busy for a stall's 250 ms makes a stall of its own: seen once in 900 bodies
MODES = {"one-stream": "3600", "parallel": "0.000001"}  # seconds of round trip from which on an origin is far
ROOM = ("--cache-size", "4GB")  # for all that a run brings: nothing is evicted, so what was kept is a hit
GIVEN_UP = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a player got: `status` 0 = not even a head; `whole` = all that was promised, proven byte by byte."""

    status: int
    got: int
    whole: bool
    wrong: tuple[int, ...] = ()
    detail: str = ""  # what the edge says of an error

    @property
    def broken(self) -> bool:
        """An honest failure: an error's status, or a connection that broke off."""
        return self.status in GIVEN_UP or not self.whole


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of an edge that has one worker; `at`: when, in seconds.

    `seen`: requests that came to the proxy. `refused`: those for which it could not be connected to, and those whose
    connection it ended before their answer's first byte. `twice`: at most so many were sent because one was late.
    """

    seen: float
    refused: float
    retries: float
    resumes: float
    twice: float
    at: float

    def since(self, before: "Tally") -> "Tally":
        return Tally(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))

    def retries_most(self, sent: float) -> float:
        """What the budget allows (DESIGN section 15): a stock, a share of all that is sent, and some with time."""
        return RETRIES_MOST + RETRIES_PER_REQUEST * sent + RETRIES_PER_SECOND * self.at


@dataclass
class FarBench:
    """The three of them; `ask` is the player."""

    mode: str
    edge: Edge
    proxy: FaultProxy
    http: aiohttp.ClientSession
    asked: int = 0

    def new_path(self, size: int = SIZE) -> str:
        """An object that nobody has asked for yet."""
        self.asked += 1
        return f"/s/{size}/far-{self.asked}.ts"

    async def ask(self, path: str, part: tuple[int, int] | None = None, *, may_be_wrong: int | None = None) -> Outcome:
        """GET it and prove each byte that comes, also of an answer that breaks off later.

        `may_be_wrong` names the one byte that the way here has changed.
        """
        start, end = part or (0, int(path.split("/")[2]))
        headers = {"Range": f"bytes={start}-{end - 1}"} if part else {}
        status, data = 0, bytearray()
        clean = False
        try:
            async with self.http.get(self.edge.url + path, headers=headers) as got:
                status = got.status
                if status in GIVEN_UP:
                    await got.read()
                    return Outcome(status, 0, whole=False, detail=got.headers.get("Cache-Status", ""))
                assert status == (206 if part else 200), f"{path}: {status}"
                length = int(got.headers["Content-Length"])
                assert length == end - start, f"{path} {part}: {length} bytes promised"
                async for chunk in got.content.iter_any():
                    data += chunk
            clean = True
        except aiohttp.ClientError:
            pass
        wrong = prove(path, start, bytes(data), may_be_wrong)
        assert not clean or len(data) == end - start, f"{path}: {len(data)} bytes and a clean end"
        return Outcome(status, len(data), clean, wrong)

    async def ask_status(self, path: str) -> tuple[int, bytes]:
        """Whatever the answer is: its status and body."""
        async with self.http.get(self.edge.url + path) as got:
            return got.status, await got.read()

    async def ask_again(self, path: str, **more: int | None) -> None:
        """On a good day all of it is right: nothing short or mixed was kept."""
        self.proxy.script = nothing
        outcome = await self.ask(path, **more)  # type: ignore[arg-type]
        assert outcome.whole, f"{path}: broken without a fault, {outcome}"
        size = int(path.split("/")[2])
        part = size // 3, size // 3 + 5000
        outcome = await self.ask(path, part, **more)  # type: ignore[arg-type]
        assert outcome.whole, f"{path} {part}: broken without a fault, {outcome}"

    def requests(self, path: str) -> int:
        """Origin requests for it so far."""
        return self.proxy.counts()[path]

    def parts(self, size: int) -> int:
        """Origin requests that bring an object of this size at most, if nothing fails."""
        return 1 if self.mode == "one-stream" else -(-size // shares.LEAST)

    async def tally(self) -> "Tally":
        """What has gone on between edge and origin so far."""
        upstream = self.edge.metric
        return Tally(
            seen=len(self.proxy.seen),
            refused=await upstream("edge_upstream_errors_total{", 'reason="connect_failed"'),
            retries=await upstream("edge_upstream_retries_total{"),
            resumes=await upstream("edge_upstream_resumes_total{"),
            twice=await upstream("edge_upstream_hedges_total{")
            + RIVALS * await upstream("edge_upstream_repeats_total{"),
            at=time.monotonic(),
        )

    def budget(self, passes: int, size: int = SIZE) -> int:
        """Origin requests that a fill may make which begins `passes` times.

        One stream: a request each. Parallel pieces: all of them each time, of which one is tried again, and two more
        are asked for twice because they lag.
        """
        if self.mode == "one-stream":
            return passes + BUSY
        return TRIES + passes * (-(-size // shares.LEAST) + RESUME_MAX + 2)


def prove(path: str, start: int, data: bytes, may_be_wrong: int | None) -> tuple[int, ...]:
    """The wrong bytes that were allowed to be; any other fails."""
    if may_be_wrong is None or not start <= may_be_wrong < start + len(data):
        mismatch = check(path, 1, start, data)
        assert mismatch is None, f"{path}: {mismatch}"
        return ()
    at = may_be_wrong - start
    assert check(path, 1, start, data[:at]) is None, path
    assert check(path, 1, may_be_wrong + 1, data[at + 1 :]) is None, path
    return (may_be_wrong,) if check(path, 1, may_be_wrong, data[at : at + 1]) else ()


@asynccontextmanager
async def far_bench(directory: Path, mode: str) -> AsyncIterator[FarBench]:
    """`mode` is one of MODES."""
    directory.mkdir(exist_ok=True)
    config = directory / "edge.toml"
    config.write_text(CONFIG.format(far=MODES[mode]))
    async with (
        describing_origin() as origin,
        FaultProxy(origin.url) as proxy,
        running_edge(directory / "c", proxy.url, "--config", str(config), *ROOM, workers=1) as edge,
        client() as http,
    ):
        bench = FarBench(mode, edge, proxy, http)
        await bench.ask_again(bench.new_path())  # from now on it is known how far the origin is
        yield bench


def positions(count: int, seed: int, size: int = SIZE) -> list[int]:
    """Bytes where a fault is likely to matter, and others drawn from `seed`; `count` of them in all."""
    borders = [0, size - 1, MIB, 64 * KIB, 1, MIB - 1, 64 * KIB - 1, size // 2, 2 * MIB, size - 2, MIB + 1, 2 * MIB - 1]
    drawn = random.Random(seed)
    return [*borders, *(drawn.randrange(size) for _ in range(count))][:count]
