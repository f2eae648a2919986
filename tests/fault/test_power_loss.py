"""Power fails while the cache is filled, evicts and is purged: what the disk has then is mounted, served, read whole.

Crash images come from a disk of ours below ext4 (`tests.support.crashdisk`), so that they are legal by construction:
all that was flushed, and of what was written since the last flush everything, nothing, or any part of it in any
order, in pieces of 4 KiB. That is a power loss with and without a volatile drive cache, and a kernel crash. Not
tested, as no file system survives them: a drive that lies about its flushes, a sector torn in the middle, and
pages that the kernel itself has spoilt.
"""

import asyncio
import contextlib
import json
import random
import struct
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from edge.demo.describing import version_of
from edge.store.journal import DeleteEntry, ExtentEntry, ObjectEntry, read_journal
from edge.store.record import Record
from edge.words import KIB, MIB
from tests.support.crashdisk import Crashdisk, crashdisk, missing, mounted_image
from tests.support.edgeproc import Describing, Edge, client, describing_origin, proven, running_edge

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

KINDS = ("cache", "ordered", "none")
SITE = b"default"
SIZE = "32MiB"
EVICTIONS = 'edge_cache_evictions_total{volume="cache",reason="capacity"'


@dataclass
class Found:
    """What all images together had."""

    images: int = 0
    lost_writes: int = 0
    promised: int = 0
    flushed: int = 0  # of these, what the disk had surely been told to keep
    purged: int = 0  # names that were not to come back
    starts: list[float] = field(default_factory=list)  # seconds from the command to the first answer
    plain: list[float] = field(default_factory=list)  # the same of a cache without a past, at the same time
    work: list[float] = field(default_factory=list)  # CPU seconds of all its processes until then: the machine's load
    plain_work: list[float] = field(default_factory=list)  # is not in them
    evicted: float = 0


def promised(cache: Path) -> dict[str, Record]:
    """What the journals of an image say is there, whole, by path. A reading of the format of its own."""
    if not (cache / "volume.json").exists():
        return {}
    volume = uuid.UUID(json.loads((cache / "volume.json").read_text())["volume"])
    records: dict[bytes, Record] = {}
    deleted: dict[bytes, int] = {}
    purged = purges(cache / "purges")
    held: dict[tuple[bytes, int], dict[int, int]] = {}
    for journal in sorted((cache / "packs").glob("*.journal")):
        there = journal.with_suffix(".pack").exists()
        try:
            raw = journal.read_bytes()
        except FileNotFoundError:  # a running cache evicts
            continue
        for entry in read_journal(raw, int(journal.stem), volume):
            match entry:
                case ObjectEntry(name, record, _):
                    if name not in records or records[name].sequence < record.sequence:
                        records[name] = record
                case DeleteEntry(name, _, sequence):
                    deleted[name] = max(sequence, deleted.get(name, 0))
                case ExtentEntry(name, generation, extent) if there:
                    held.setdefault((name, generation), {})[extent.start] = extent.length
    return {
        record.key.removeprefix(SITE).decode(): record
        for name, record in records.items()
        if max(deleted.get(name, -1), purged.get(record.key, -1)) < record.sequence
        and sum(held.get((name, record.generation), {}).values()) == record.total
    }


async def flushed(cache: Path) -> dict[str, Record]:
    """What a running cache has made durable: what its journals say, once it has begun another pack or journal entry.

    One thread does it all. A flush appends to each journal once, then has the disk keep all of them: a pack that is
    begun after what was read, or a journal that has grown twice since, tells that the flush is over.
    """
    found = await asyncio.to_thread(promised, cache)
    grown = {journal: [size] for journal, size in sizes(cache).items()}
    async with asyncio.timeout(60):
        while True:
            for journal, size in sizes(cache).items():
                if journal not in grown:
                    return found
                if grown[journal][-1] != size:
                    grown[journal].append(size)
                if len(grown[journal]) > 2:
                    return found
            await asyncio.sleep(0.05)


def sizes(cache: Path) -> dict[Path, int]:
    """Of all journals."""
    found = {}
    for journal in (cache / "packs").glob("*.journal"):
        with contextlib.suppress(FileNotFoundError):  # a running cache evicts
            found[journal] = journal.stat().st_size
    return found


def purges(log: Path) -> dict[bytes, int]:
    """What the log of purges names: key -> sequence. Its last entry may not be whole."""
    raw, at, found = log.read_bytes() if log.exists() else b"", 32, dict[bytes, int]()
    while at + 8 <= len(raw):
        length, _ = struct.unpack_from("<II", raw, at)
        if at + 8 + length > len(raw):
            break
        sequence, _, _, _, site, text = struct.unpack_from("<QIB?HI", raw, at + 8)
        key_at = at + 8 + 20 + site
        found[raw[key_at : key_at + text]] = sequence
        at += 8 + length
    return found


def another_boot(cache: Path) -> None:
    """A real power loss changes the boot id; here it is changed in the mark of the copy."""
    mark = cache / "clean"
    if mark.exists():
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "boot_id": "before the power failed"}))


LATELY = 200  # objects among which old ones are asked for again: with more what is kept would never change
PAUSE = 0.15  # seconds: a fast machine would turn the whole cache over between two flushes, and journal nothing
FRUITLESS = 10  # images at most in which nothing had been journalled


def path_of(number: int) -> str:
    return f"/s/{5 * KIB + (number * 7919) % (1400 * KIB)}/{number}.ts"


class Load:
    """Fill with ever new objects and some old ones, until told to stop; every answer is proven.

    Some are purged when their origin has another version: `purged` has what was acknowledged, path -> the version
    from which on it may be served.
    """

    def __init__(self, rng: random.Random, edge: Edge, origin: Describing, cache: Path) -> None:
        self._rng, self._edge, self._versions, self._cache = rng, edge, origin.origin.versions, cache
        self.number = 0
        self.good = self.broken = 0
        self.purged: dict[str, int] = {}

    async def run(self) -> None:
        async with client() as http:
            while True:
                await asyncio.sleep(PAUSE)
                self.number += 1
                number = (
                    self.number
                    if self._rng.random() < 0.7
                    else self._rng.randrange(max(0, self.number - LATELY), self.number)
                )
                path = path_of(number)
                try:
                    async with http.get(self._edge.url + path) as got:
                        assert got.status == 200
                        proven(path, await got.read())
                        self.good += 1
                except aiohttp.ClientPayloadError:
                    assert path in self._versions, "it has always been the same"
                    self.broken += 1

    async def purge(self) -> None:
        """Some of the newest, that are surely there, ever again."""
        socket = (self._cache / "control").read_text().strip()
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as http:
            while True:
                await asyncio.sleep(self._rng.uniform(0.01, 0.1))
                paths = [path_of(max(1, self.number - self._rng.randrange(40))) for _ in range(3)]
                for path in set(paths):
                    self._versions[path] += 1
                # The load may have brought the new one in already: that one is purged, too, and no harm is done.
                wanted = {path: self._versions[path] + 1 for path in paths}
                urls = [self._edge.url + path for path in wanted]
                async with http.post("http://edge/v1/purge", json={"urls": urls}) as got:
                    assert got.status == 200, await got.text()
                    assert not (await got.json())["failed"]
                for path, version in wanted.items():
                    self.purged.pop(path, None)  # the newest last
                    self.purged[path] = version


async def check(
    image: Path, directory: Path, origin: Describing, found: Found, purged: dict[str, int], durable: set[str]
) -> None:
    """Start on a copy, ask for all that its journals promise: every byte is right, and nothing is fetched again.

    They promise all that is durable. What was purged is not there, in no version before the purge.
    """
    with mounted_image(image, directory) as mounted:
        cache = mounted / "c"
        expected = promised(cache)
        assert not durable - set(expected), "it had been flushed"
        another_boot(cache)
        begun = time.monotonic()
        async with running_edge(cache, origin.url, "--cache-size", "160MiB", workers=1) as edge, client() as http:
            await first_answer(edge, found.images)
            found.starts.append(time.monotonic() - begun)
            found.work.append(edge.cpu_seconds())
            async with asyncio.timeout(60):
                while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                    await asyncio.sleep(0.1)
            for path, record in expected.items():
                async with http.get(edge.url + path) as got:
                    body = await got.read()
                    assert got.status == 200
                    assert len(body) == record.total
                    proven(path, body)
                    assert got.headers["X-Cache"] == "HIT", f"{path} was journalled and is not there"
            asked = list(purged)[-60:]  # older ones have been evicted since
            for path in asked:
                async with http.get(edge.url + path) as got:
                    body = await got.read()
                    version = version_of(body, 0)
                    assert version is not None
                    proven(path, body, 0, version)
                    assert version >= purged[path], f"{path} was purged and has come back"
        if found.images % 10 == 0:
            begun = time.monotonic()
            async with running_edge(mounted / "plain", origin.url, workers=1) as edge:
                await first_answer(edge, found.images)
                found.plain.append(time.monotonic() - begun)
                found.plain_work.append(edge.cpu_seconds())
    found.images += 1
    found.promised += len(expected)
    found.flushed += len(durable)
    found.purged += len(asked)


async def first_answer(edge: Edge, number: int) -> None:
    """Of an object that nobody has asked for yet."""
    path = f"/s/{300 * KIB}/after-{number}.ts"
    async with client() as http, http.get(edge.url + path) as got:
        proven(path, await got.read())


async def lose_power(tmp_path: Path, seed: int, count: int) -> Found:
    """So many images, and a few more where the power failed before anything was journalled."""
    rng = random.Random(seed)
    found = Found()
    with crashdisk(tmp_path, 256 * MIB) as disk:
        async with (
            describing_origin() as origin,
            running_edge(disk.mounted / "c", origin.url, "--cache-size", SIZE, workers=1) as edge,
        ):
            load = Load(rng, edge, origin, disk.mounted / "c")
            tasks = [asyncio.create_task(load.run()) for _ in range(4)] + [asyncio.create_task(load.purge())]
            try:
                async with asyncio.timeout(60):
                    while not await edge.metric(EVICTIONS):  # from now on it evicts as it fills
                        await asyncio.sleep(0.1)
                for turn in range(count + FRUITLESS):
                    if turn >= count and found.promised:
                        break
                    await asyncio.sleep(rng.uniform(0.3, 2.5))
                    try:
                        await _fail_once(disk, tmp_path, origin, found, load, KINDS[turn % 3], rng)
                    finally:
                        assert not [task for task in tasks if task.done()], f"the load has ended, {found.images} images"
                found.evicted = await edge.metric(EVICTIONS)
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [end for end in ends if isinstance(end, AssertionError | aiohttp.ClientError)]
            assert load.good > 20 * load.broken
    return found


async def _fail_once(
    disk: Crashdisk, tmp_path: Path, origin: Describing, found: Found, load: Load, kind: str, rng: random.Random
) -> None:
    image, cache = tmp_path / "crash.img", disk.mounted / "c"
    before = await flushed(cache)
    purged = dict(load.purged)  # acknowledged before the power fails
    said = await asyncio.to_thread(disk.image, image, kind, rng.randrange(1 << 30))
    after = await asyncio.to_thread(promised, cache)  # what is still as it was has been so when the power failed
    durable = {path for path, was in before.items() if path in after and after[path].sequence == was.sequence}
    found.lost_writes += said["pending"] - said["kept"]
    try:
        await check(image, tmp_path / "copy", origin, found, purged, durable)
    except AssertionError as error:
        raise AssertionError(f"image {found.images} ({kind}, {said}): {error}") from error
    finally:
        image.unlink()


async def test_after_a_power_loss_all_that_was_journalled_is_there_and_every_byte_is_right(tmp_path: Path) -> None:
    found = await lose_power(tmp_path, seed=11, count=1)
    assert found.images >= 1
    assert found.promised > 0
    assert found.flushed > 0
    assert found.purged > 0
    assert found.evicted > 0
    assert found.starts[0] < 1.5 * soon(found.plain[:1]), "a single start says less than the median of many"


def soon(plain: list[float]) -> float:
    """Seconds in which a start serves; those of caches without a past, at the same time, tell the machine's load."""
    return 2 * max(1.0, sorted(plain)[len(plain) // 2])


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_power_losses(tmp_path: Path) -> None:
    found = await lose_power(tmp_path, seed=int(time.time()), count=200)
    starts, plain = sorted(found.starts), sorted(found.plain)
    work, plain_work = sorted(found.work), sorted(found.plain_work)
    print(
        f"{found.images} images, {found.promised} objects promised and right ({found.flushed} of them flushed before), "
        f"{found.purged} purged and gone, "
        f"{found.lost_writes} blocks lost, {found.evicted:.0f} evictions, "
        f"first answer after {starts[100]:.2f} s (p50), {starts[190]:.2f} s (p95), {starts[-1]:.2f} s (most); "
        f"of a cache without a past, beside them, {plain[len(plain) // 2]:.2f} s (p50); "
        f"CPU of all processes until then {work[100]:.2f} s (p50), {work[-1]:.2f} s (most), of a cache without a past "
        f"{plain_work[len(plain_work) // 2]:.2f} s (p50)"
    )
    assert found.promised > 1000
    assert found.flushed > 1000
    assert found.lost_writes > found.images, "images taken right after flushes would prove nothing"
    assert starts[100] < soon(plain)
    assert work[100] < 2 * plain_work[len(plain_work) // 2], "a start after a power loss costs what any start costs"
