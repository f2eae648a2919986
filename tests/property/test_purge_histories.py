"""Purge against fill: after a purge was acknowledged nobody gets what was older, in any order of events.

A history is a handful of players, changes at the origin and purges, all at once, over one keeper with a real store
and a real link. The checker knows which version the origin had when a purge was asked for: whoever asks after its
acknowledgement gets that version or a newer one, whole and of one piece.
"""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.fill.messages import Mode
from edge.origin.settings import OriginSettings
from edge.policy.purges import Purge, Scope
from edge.store.live import split_live
from edge.store.names import name_of
from edge.store.record import Flag
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

PATIENT = OriginSettings(url="http://127.0.0.1:1", first_byte_timeout=20.0, total_first_byte=30.0, stall_timeout=20.0)
FILES = ("a.ts", "b.ts", "list.m3u8", "plain.mp4")
LOOKS = 50  # a player looks again after AGAIN; more often than this is a fault


@dataclass
class History:
    """What happens to the objects under one directory; `floor` = the oldest version that a file may still have."""

    number: int
    rng: random.Random
    version: int = 1
    floor: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILES, 1))
    told: list[str] = field(default_factory=list)

    @property
    def directory(self) -> str:
        return f"/h{self.number}/"

    async def some_time(self) -> None:
        for _ in range(self.rng.choice((0, 1, 5, 20, 80, 200))):
            await asyncio.sleep(0)


class Origin:
    """Answers with the version that a history has when the request comes, after a while, in two pieces."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        history = self.histories[asked.target.split("/")[1]]
        file = asked.target.rpartition("/")[2]
        version = history.version
        length = 70_000 if file.endswith("ts") else 900
        body = (b"%06d " % version * (length // 7 + 1))[:length]
        etag = "" if file == "plain.mp4" else f'"{version}"'
        age = 20 if file == "list.m3u8" else 1000
        more = [f"Cache-Control: max-age={age}", f"Surrogate-Key: h{history.number} all"]
        await history.some_time()
        if etag and asked.fields.get("if-none-match") == etag:
            await wire.send(f"HTTP/1.1 304 Same\r\nETag: {etag}\r\n{more[0]}\r\n\r\n".encode())
            return
        raw = answer(asked, body, *more, etag=etag)
        half = len(raw) // 2
        await wire.send(raw[:half])
        await history.some_time()
        await wire.send(raw[half:])


def stored(bench: FillBench, name: bytes) -> tuple[bytes, bytes | None] | None:
    """What a worker would serve at once: (validator or version, body)."""
    raw = bench.volume.live.raw(name)
    now = bench.shop.clock.wall()
    if raw is not None:
        record, body = split_live(raw)
        return (b"", body) if now < record.fresh_until and not record.flags & Flag.STALE else None
    record_ = bench.volume.lookup(name)
    if record_ is None or record_.flags & Flag.STALE or now >= record_.fresh_until:
        return None
    whole = bytearray()
    for extent in bench.volume.extents(record_):
        if extent.start != len(whole):
            return None
        with bench.volume.packs.pack_path(extent.pack).open("rb") as file:
            file.seek(extent.offset)
            whole += file.read(extent.length)
    return (b"", bytes(whole)) if len(whole) == record_.total else None


def promised(bench: FillBench, got: Got) -> bytes:
    """A revalidated answer's body lies in the store: as the head says, also when a purge has come meanwhile."""
    extent = got.record.first
    assert extent is not None
    assert extent.length == got.record.total
    with bench.volume.packs.pack_path(extent.pack).open("rb") as file:
        file.seek(extent.offset)
        return file.read(extent.length)


async def get(bench: FillBench, history: History, file: str) -> None:
    """A player's request as a worker would handle it."""
    path = history.directory + file
    name = name_of(b"default" + path.encode(), bench.volume.hello.secret)
    least = history.floor[file]
    mode = history.rng.choice((Mode.FILL, Mode.FILL, Mode.FILL, Mode.SOLO))
    for _ in range(LOOKS):
        found = stored(bench, name) if mode is Mode.FILL else None
        if found is not None:
            body = found[1] or b""
            break
        got = await bench.ask(path, mode=mode).finish()
        assert got.asking is not None
        got.asking.cancel()  # as a worker does, else what has come is kept for it: 3 GB in 10,000 histories
        if got.failed is not None:
            history.told.append(f"{file} failed: {got.failed}")
            assert got.failed[1].value == "object_changed", got.failed
            return
        if not got.again:
            body = got.bytes() or promised(bench, got)
            break
    else:
        raise AssertionError("a keeper says AGAIN for ever")
    versions = set(body.split()[:-1])
    assert len(versions) == 1, f"mixed: {versions} in {file}: {history.told}"
    version = int(versions.pop())
    history.told.append(f"{file}: {version} (at least {least})")
    assert version >= least, f"history {history.number}: {history.told}"


async def purge(bench: FillBench, history: History) -> None:
    site, directory = "default", history.directory
    file = history.rng.choice(FILES)
    soft = history.rng.random() < 0.3
    what, files = history.rng.choice(
        [
            (Purge(Scope.KEY, f"{site}{directory}{file}".encode(), soft=soft), (file,)),
            (Purge(Scope.PATH, f"{site}{directory}{file}".encode(), soft=soft), (file,)),
            (Purge(Scope.PREFIX, f"{site}{directory}".encode(), soft=soft), FILES),
            (Purge(Scope.TAG, b"h%d" % history.number, soft=soft), FILES),
            (Purge(Scope.TAG, b"h%d" % history.number, b"default", soft=soft), FILES),
        ]
    )
    version = history.version
    history.told.append(f"purge {what} at {version}")
    done = await bench.asker.forget(what)
    assert not done.error
    history.told.append(f"purged at {version}: {done.objects}")
    for each in files:
        history.floor[each] = max(history.floor[each], version)


async def play(bench: FillBench, origin: Origin, history: History) -> None:
    """One history: everything at once, in an order that its seed decides."""
    origin.histories[f"h{history.number}"] = history
    rng = history.rng

    async def after_a_while(kind: str) -> None:
        for _ in range(rng.randint(1, 3)):
            await history.some_time()
            match kind:
                case "get":
                    await get(bench, history, rng.choice(FILES))
                case "purge":
                    await purge(bench, history)
                case "change":
                    history.version += 1

    kinds = ["get"] * rng.randint(2, 6) + ["purge"] * rng.randint(1, 2) + ["change"] * rng.randint(1, 3)
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(after_a_while(kind))
    for file in FILES:
        await get(bench, history, file)


async def play_all(directory: Path, count: int) -> int:
    origin = Origin()
    purges = 0
    async with RawServer(origin) as server, fill_bench(directory, server.url, origin=PATIENT) as bench:
        async with asyncio.timeout(20):
            while not bench.asker.up:
                await asyncio.sleep(0)
        for first in range(0, count, 4):
            histories = [History(n, random.Random(n)) for n in range(first, min(first + 4, count))]
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for history in histories:
                    group.create_task(play(bench, origin, history))
            purges += sum("purged" in line for history in histories for line in history.told)
        await bench.settled()
        assert not bench.desk._flights.all()
    return purges


async def test_100_histories_of_purge_against_fill(tmp_path: Path) -> None:
    assert await play_all(tmp_path, 100) > 100


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_10000_histories_of_purge_against_fill(tmp_path: Path) -> None:
    assert await play_all(tmp_path, 10_000) > 10_000
