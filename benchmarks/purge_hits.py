"""Hits beside purges of 100,000 objects: does a player notice when an operator forgets a title?

    python -m benchmarks.purge_hits [--records 1000000] [--rate 1000] [--seconds 10] [--json FILE]

A running edge (two workers, one keeper) whose index has a million records of segments beside the objects that players
ask for: hits of 64 KiB that are stored and in memory, and twenty misses a second, which need the store's thread, too.
Both go by a schedule over kept connections, and who has to wait for the answer before is booked that, too, so that a
server that stands still pays for all that was due meanwhile. Every byte is compared. Meanwhile objects are counted and
forgotten through the admin API, 100,000 by one tag and as many by one prefix. A process that only counts, as busy as a
keeper that purges, shows what of the difference is the machine's, which has but so many cores.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp

from benchmarks.bench import edge, end, machine, origin, scratch_directory
from benchmarks.scale import SEGMENT, SERIES, SHARED, apart, rebuild, tag_of, write_journals
from edge.demo.describing import body_slice
from edge.words import GIB, KIB

HIT, MISS = 64 * KIB, 20 * KIB
OBJECTS = 200  # that hits ask for
HIT_CONNECTIONS, MISS_CONNECTIONS = 32, 16
MISSES = 20  # a second
PAUSE = 3.0  # seconds between two purges


@dataclass(frozen=True, slots=True)
class Answered:
    """When it was sent, or was to be sent while the one before was still under way; how long it took from then."""

    begun: float
    seconds: float
    hit: bool


@dataclass
class Load:
    """What players ask for, and what they got. `wrong` is what should not have come."""

    port: int
    rate: float
    answers: list[Answered] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: bool = False
    _made: int = 0

    def __post_init__(self) -> None:
        self.stored = [f"/s/{HIT}/stored-{n}.ts" for n in range(OBJECTS)]
        self.expected = {path: body_slice(path, 1, 0, HIT) for path in self.stored}

    def new(self) -> str:
        """What nobody has asked for yet."""
        self._made += 1
        return f"/s/{MISS}/new-{self._made}.ts"


class Player(asyncio.Protocol):
    """One connection: one request at a time, each at its turn; who is late asks at once."""

    def __init__(self, load: Load, first: float, each: float, *, hits: bool, number: int) -> None:
        self._load, self._due, self._each, self._hits, self._count = load, first, each, hits, number
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._path, self._data, self._waits, self._begun = "", bytearray(), False, 0.0
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop.call_at(self._due, self._ask)

    def _ask(self) -> None:
        self._send(time.monotonic())

    def _send(self, begun: float) -> None:
        assert self._transport is not None
        if self._load.over:
            self._transport.close()
            return
        self._count += 1
        self._path = self._load.stored[self._count * 7 % OBJECTS] if self._hits else self._load.new()
        self._begun, self._waits = begun, True
        self._data.clear()
        self._transport.write(f"GET {self._path} HTTP/1.1\r\nHost: films.example\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or len(self._data) < end + 4 + (HIT if self._hits else MISS):
            return
        now, load = time.monotonic(), self._load
        head, body = bytes(self._data[:end]), bytes(self._data[end + 4 :])
        expected = load.expected[self._path] if self._hits else body_slice(self._path, 1, 0, MISS)
        if body != expected or (b"X-Cache: HIT" in head) is not self._hits:
            load.wrong.append(f"{self._path}: {head!r}")
        load.answers.append(Answered(self._begun, now - self._begun, self._hits))
        self._waits = False
        self._due += self._each
        if self._due <= now:
            self._send(self._due)  # it has waited since then
        else:
            self._loop.call_at(self._due, self._ask)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waits or not self._load.over:
            self._load.wrong.append(f"{self._path}: connection lost: {error!r}")
        self.ended.set_result(None)


@asynccontextmanager
async def playing(load: Load) -> AsyncIterator[None]:
    """All players, until the block ends."""
    loop = asyncio.get_running_loop()
    begin, players = loop.time() + 0.2, []
    for hits, count, rate in ((True, HIT_CONNECTIONS, load.rate), (False, MISS_CONNECTIONS, MISSES)):
        for number in range(count):
            player = Player(load, begin + number / rate, count / rate, hits=hits, number=number)
            await loop.create_connection(lambda one=player: one, "127.0.0.1", load.port)
            players.append(player)
    try:
        yield
    finally:
        load.over = True
        await asyncio.gather(*(player.ended for player in players))


def figures(answers: list[Answered], begin: float, end: float) -> dict[str, float]:
    """Of what was due within a stretch of time."""
    found: dict[str, float] = {}
    for called, hit in (("hit", True), ("miss", False)):
        took = [one.seconds * 1000 for one in answers if one.hit is hit and begin <= one.begun < end]
        cuts = statistics.quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        found |= {f"{called}_count": len(took), f"{called}_p50_ms": cuts[49], f"{called}_p99_ms": cuts[98]}
        found[f"{called}_most_ms"] = max(took, default=0.0)
    return found


@contextlib.contextmanager
def busy() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        end(process)


async def purge(control: str, **what: Any) -> dict[str, Any]:
    """Through the control socket, as `edge purge` does it."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(control)) as http,
        http.post("http://edge/v1/purge", json=what) as got,
    ):
        told: dict[str, Any] = await got.json()
        assert got.status == 200, told
        return told


async def measure(url: str, control: str, records: int, rate: float, seconds: float) -> list[dict[str, Any]]:
    load = Load(int(url.rpartition(":")[2]), rate)
    films = records // SERIES
    asked: list[tuple[str, dict[str, Any]]] = [
        ("nothing", {}),
        ("a busy process", {}),
        ("dry run, tag", {"tag": tag_of(0, records).decode(), "dry_run": True}),
        ("tag", {"tag": tag_of(0, records).decode()}),
        ("prefix", {"prefix": f"http://films.example/films/{films // 100 - 1:06d}"}),
        ("nothing, after", {}),
    ]
    found = []
    async with aiohttp.ClientSession() as http:
        for path in load.stored:
            async with http.get(url + path) as got:
                assert await got.read() == load.expected[path]
        await asyncio.sleep(1.5)  # journals have been written, nothing is new any more
        gc.collect()
        gc.freeze()
        async with playing(load):
            await asyncio.sleep(1.0)
            for called, what in asked:
                begin = time.monotonic()
                with busy() if called == "a busy process" else contextlib.nullcontext():
                    told = await purge(control, **what) if what else await asyncio.sleep(seconds)
                until = time.monotonic()
                await asyncio.sleep(PAUSE)
                line = {"beside": called, "objects": told["objects"] if told else 0, "seconds": until - begin}
                found.append(line | figures(load.answers, begin, until))
    if load.wrong:
        raise SystemExit(f"{len(load.wrong)} answers were not right: {load.wrong[:3]}")
    return found


def configuration(directory: Path) -> Path:
    """The journals' bodies are holes: they are read by nobody."""
    path = directory / "edge.toml"
    path.write_text("[scrub]\nrate = 0\n[cache]\nmin_free = 0\n")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="at least 200,000 (default %(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="hits a second (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="without a purge, before and after")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine())
    with scratch_directory() as scratch, origin(core=None) as from_where:
        cache, records = scratch / "cache", max(args.records, 2 * SHARED)
        cache.mkdir()
        write_journals(cache, records)
        apart(rebuild, cache, records)
        size = ["--cache-size", str(records * SEGMENT + 8 * GIB), "--config", str(configuration(scratch))]
        with edge(cache, from_where, *size, workers=2, core=None) as server:
            control = (cache / "control").read_text().strip()
            found = asyncio.run(measure(server.url, control, records, args.rate, args.seconds))
    for line in found:
        print(
            f"{line['beside']:15} {line['objects']:7,} objects in {line['seconds']:5.2f} s; "
            f"{line['hit_count']:6,} hits: p50 {line['hit_p50_ms']:.2f}, p99 {line['hit_p99_ms']:.2f}, "
            f"most {line['hit_most_ms']:.1f} ms; {line['miss_count']:4} misses: p50 {line['miss_p50_ms']:.1f}, "
            f"most {line['miss_most_ms']:.1f} ms"
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "records": records, "found": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
