"""Disks that fail under a running edge: one of two goes bad, one is filled to its last block.

The bad one is an ext4 on a block device whose reads, or writes and flushes, end with I/O errors from some moment on,
as those of a drive that dies; the file system below the cache then makes itself read-only.
"""

import asyncio
import os
import random
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

from edge.words import KIB, MIB
from tests.scenario.test_cold_and_odd import drop_pages
from tests.support.crashdisk import crashdisk, missing, mounted_image
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Load:
    """New objects and old ones in turn, each proven; `failed` has what was not answered rightly."""

    def __init__(self, edge: Edge, seed: int) -> None:
        self._edge, self._rng = edge, random.Random(seed)
        self._http: aiohttp.ClientSession
        self.number = self.good = 0
        self.failed: list[str] = []

    async def one(self, http: aiohttp.ClientSession, number: int) -> str:
        size = 5 * KIB + (number * 7919) % (700 * KIB)
        path = f"/s/{size}/{number}.ts"
        try:
            async with http.get(self._edge.url + path) as got:
                body = await got.read()
                assert got.status == 200, f"{got.status} {got.headers.get('Cache-Status')}"
                assert len(body) == size
                proven(path, body)
                self.good += 1
                return got.headers["X-Cache"]
        except (aiohttp.ClientError, AssertionError, TimeoutError) as error:
            self.failed.append(f"{path}: {type(error).__name__}: {error}")
            return "FAILED"

    async def run(self) -> None:
        async with client() as http:
            while True:
                self.number += 1
                number = self.number if self._rng.random() < 0.6 else self._rng.randrange(self.number)
                await self.one(http, number)


class Loads:
    """Some of them at once, for as long as the block lasts."""

    def __init__(self, load: Load, count: int = 4) -> None:
        self._load, self._count = load, count
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._load.run()) for _ in range(self._count)]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def two_volumes(one: Path, two: Path, directory: Path, origin: str) -> tuple[str, ...]:
    config = directory / "edge.toml"
    config.write_text(
        f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n'
        f'[origin]\nurl = "{origin}"\n'
        f'[cache]\ndir = "{directory / "state"}"\n'
        f'[[volume]]\npath = "{one}"\nsize = "64MiB"\n[[volume]]\npath = "{two}"\nsize = "64MiB"\n'
    )
    return ("--config", str(config))


async def until(condition: object, seconds: float, what: str) -> float:
    """How long it took."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # type: ignore[operator]
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None
    return time.monotonic() - begun


@pytest.mark.parametrize("what", [pytest.param(("write",), marks=pytest.mark.long), ("read", "write")])
@pytest.mark.timeout(180)
async def test_one_bad_disk_of_two_fails_no_request_and_its_objects_live_on_the_other(
    tmp_path: Path, what: tuple[str, ...]
) -> None:
    with crashdisk(tmp_path, 256 * MIB) as disk:
        bad, good = disk.mounted / "v", tmp_path / "good"
        async with (
            describing_origin() as origin,
            running_edge(
                None, origin.url, *two_volumes(bad, good, tmp_path, origin.url), workers=1, listen=False
            ) as edge,
        ):
            load = Load(edge, 1)
            async with Loads(load):
                await until(lambda: _is(load.good > 60), 30, "a load")
                drop_pages(bad)
                disk.fail(*what)

                async def bad_is_left() -> bool:
                    return any("objects live on:" in line for line in edge.lines)

                took = await until(bad_is_left, 90, "the bad volume is off")
                at = load.number
                await until(lambda: _is(load.number > at + 60), 30, "the load goes on")
            assert load.failed == []
            async with client() as http:
                for number in range(load.number - 10, load.number):
                    await load.one(http, number)
                again = [await load.one(http, number) for number in range(load.number - 10, load.number)]
            assert again.count("HIT") >= 8, again  # the cache is small: one may have had to leave meanwhile
            assert load.failed == []
            print(f"off after {took:.1f} s, {load.good} requests")
            disk.fail()


async def _is(value: bool) -> bool:
    return value


def fill_up(where: Path) -> Path:
    """A file that takes all that is left, to the last block."""
    ballast = where / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for step in (MIB, 4096):
            while True:
                try:
                    os.write(fd, bytes(step))
                except OSError:
                    break
    finally:
        os.close(fd)
    return ballast


async def full(tmp_path: Path, seconds: float) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(128 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted_image(image, tmp_path / "mounted") as mounted:
        async with (
            describing_origin() as origin,
            running_edge(mounted / "c", origin.url, "--cache-size", "512MiB", workers=1) as edge,
        ):
            load = Load(edge, 2)
            async with Loads(load):
                await until(lambda: _is(load.good > 100), 30, "a load")
                end = time.monotonic() + seconds
                while time.monotonic() < end:  # what eviction frees is taken again
                    ballast = await asyncio.to_thread(fill_up, mounted)
                    await asyncio.sleep(0.1)
                assert load.failed == []
                ballast.unlink()

                async def keeps_again() -> bool:
                    async with client() as http:
                        load.number += 1
                        number = load.number
                        await load.one(http, number)
                        return await load.one(http, number) == "HIT"

                took = await until(keeps_again, 10, "kept again after space came back")
            assert load.failed == []
            assert load.good > 100
            print(f"{load.good} requests, kept again after {took:.1f} s")


@pytest.mark.timeout(120)
async def test_a_disk_filled_to_its_last_block_fails_no_request_and_is_used_again(tmp_path: Path) -> None:
    await full(tmp_path, 8)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_ten_minutes_on_a_disk_without_a_free_block(tmp_path: Path) -> None:
    await full(tmp_path, 600)
