"""Power fails while the cache is filled and evicts: what the disk has then is mounted, served and read whole.

Crash images come from a disk of ours below ext4 (`tests.support.crashdisk`), so that they are legal by construction:
all that was flushed, and of what was written since the last flush everything, nothing, or any part of it in any
order, in pieces of 4 KiB. That is a power loss with and without a volatile drive cache, and a kernel crash. Not
tested, as no file system survives them: a drive that lies about its flushes, a sector torn in the middle, and
pages that the kernel itself has spoilt.
"""

import asyncio
import json
import random
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from edge.store.journal import DeleteEntry, ExtentEntry, ObjectEntry, read_journal
from edge.store.record import Record
from edge.words import KIB, MIB
from tests.support.crashdisk import Crashdisk, crashdisk, missing, mounted_image
from tests.support.edgeproc import Describing, client, describing_origin, proven, running_edge

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

KINDS = ("cache", "ordered", "none")
SITE = b"default"


@dataclass
class Found:
    """What all images together had."""

    images: int = 0
    lost_writes: int = 0
    promised: int = 0
    starts: list[float] = field(default_factory=list)


def promised(cache: Path) -> dict[str, int]:
    """What the journals of an image say is there, whole: path -> length. A reading of the format of its own."""
    if not (cache / "volume.json").exists():
        return {}
    volume = uuid.UUID(json.loads((cache / "volume.json").read_text())["volume"])
    records: dict[bytes, Record] = {}
    deleted: dict[bytes, int] = {}
    held: dict[tuple[bytes, int], dict[int, int]] = {}
    for journal in sorted((cache / "packs").glob("*.journal")):
        there = journal.with_suffix(".pack").exists()
        for entry in read_journal(journal.read_bytes(), int(journal.stem), volume):
            match entry:
                case ObjectEntry(name, record, _):
                    if name not in records or records[name].sequence < record.sequence:
                        records[name] = record
                case DeleteEntry(name, _, sequence):
                    deleted[name] = max(sequence, deleted.get(name, 0))
                case ExtentEntry(name, generation, extent) if there:
                    held.setdefault((name, generation), {})[extent.start] = extent.length
    return {
        record.key.removeprefix(SITE).decode(): record.total
        for name, record in records.items()
        if deleted.get(name, -1) < record.sequence
        and sum(held.get((name, record.generation), {}).values()) == record.total
    }


def another_boot(cache: Path) -> None:
    """A real power loss changes the boot id; here it is changed in the mark of the copy."""
    mark = cache / "clean"
    if mark.exists():
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "boot_id": "before the power failed"}))


FRUITLESS = 10  # images at most in which nothing had been journalled


class Load:
    """Fill with ever new objects and some old ones, until told to stop; every answer is proven."""

    def __init__(self, rng: random.Random, url: str) -> None:
        self._rng, self._url = rng, url
        self.number = 0
        self.good = 0

    async def run(self) -> None:
        async with client() as http:
            while True:
                self.number += 1
                number = self.number if self._rng.random() < 0.7 else self._rng.randrange(self.number)
                size = 5 * KIB + (number * 7919) % (1400 * KIB)
                path = f"/s/{size}/{number}.ts"
                async with http.get(self._url + path) as got:
                    assert got.status == 200
                    proven(path, await got.read())
                    self.good += 1


async def check(image: Path, directory: Path, origin: Describing, found: Found) -> None:
    """Start on a copy, ask for all that its journals promise: every byte is right, and nothing is fetched again."""
    with mounted_image(image, directory) as mounted:
        cache = mounted / "c"
        expected = promised(cache)
        another_boot(cache)
        begun = time.monotonic()
        async with running_edge(cache, origin.url, "--cache-size", "160MiB", workers=1) as edge, client() as http:
            found.starts.append(time.monotonic() - begun)
            async with asyncio.timeout(60):
                while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                    await asyncio.sleep(0.1)
            for path, length in expected.items():
                async with http.get(edge.url + path) as got:
                    body = await got.read()
                    assert got.status == 200
                    assert len(body) == length
                    proven(path, body)
                    assert got.headers["X-Cache"] == "HIT", f"{path} was journalled and is not there"
            fresh = f"/s/{300 * KIB}/after-{found.images}.ts"
            async with http.get(edge.url + fresh) as got:
                proven(fresh, await got.read())
    found.images += 1
    found.promised += len(expected)


async def lose_power(tmp_path: Path, seed: int, count: int) -> Found:
    """So many images, and a few more where the power failed before anything was journalled."""
    rng = random.Random(seed)
    found = Found()
    with crashdisk(tmp_path, 256 * MIB) as disk:
        async with (
            describing_origin() as origin,
            running_edge(disk.mounted / "c", origin.url, "--cache-size", "64MiB", workers=1) as edge,
        ):
            load = Load(rng, edge.url)
            tasks = [asyncio.create_task(load.run()) for _ in range(4)]
            try:
                for turn in range(count + FRUITLESS):
                    if turn >= count and found.promised:
                        break
                    await asyncio.sleep(rng.uniform(0.3, 2.5))
                    await _fail_once(disk, tmp_path, origin, found, KINDS[turn % 3], rng.randrange(1 << 30))
                    assert not [task for task in tasks if task.done()], "the load has ended"
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [end for end in ends if isinstance(end, AssertionError | aiohttp.ClientError)]
            assert load.good
    return found


async def _fail_once(disk: Crashdisk, tmp_path: Path, origin: Describing, found: Found, kind: str, seed: int) -> None:
    image = tmp_path / "crash.img"
    said = await asyncio.to_thread(disk.image, image, kind, seed)
    found.lost_writes += said["pending"] - said["kept"]
    try:
        await check(image, tmp_path / "copy", origin, found)
    except AssertionError as error:
        raise AssertionError(f"image {found.images} ({kind}, {said}): {error}") from error
    finally:
        image.unlink()


async def test_after_a_power_loss_all_that_was_journalled_is_there_and_every_byte_is_right(tmp_path: Path) -> None:
    found = await lose_power(tmp_path, seed=11, count=1)
    assert found.images >= 1
    assert found.promised > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_power_losses(tmp_path: Path) -> None:
    found = await lose_power(tmp_path, seed=int(time.time()), count=200)
    starts = sorted(found.starts)
    print(
        f"{found.images} images, {found.promised} objects promised and right, {found.lost_writes} blocks lost, "
        f"started in {starts[100]:.2f} s (p50), {starts[-1]:.2f} s (most)"
    )
    assert found.promised > 1000
    assert found.lost_writes > 1000
