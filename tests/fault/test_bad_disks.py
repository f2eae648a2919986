"""Disks that fail under a running edge: one of two goes bad, one is filled to its last block.

The bad one is an ext4 on a block device whose reads, or writes and flushes, end with I/O errors from some moment on,
as those of a drive that dies; the file system below the cache then makes itself read-only.
"""

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

from edge.words import MIB
from tests.scenario.test_cold_and_odd import drop_pages
from tests.support.crashdisk import crashdisk, missing, mounted_image
from tests.support.edgeproc import describing_origin, running_edge
from tests.support.load import Load, Loads, until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def two_volumes(one: Path, two: Path, directory: Path, origin: str) -> tuple[str, ...]:
    config = directory / "edge.toml"
    config.write_text(
        f'[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n'
        f'[origin]\nurl = "{origin}"\n'
        f'[cache]\ndir = "{directory / "state"}"\n'
        f'[[volume]]\npath = "{one}"\nsize = "64MiB"\n[[volume]]\npath = "{two}"\nsize = "64MiB"\n'
    )
    return ("--config", str(config))


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
                await until(lambda: load.good > 60, 30, "a load")
                # Not on this loop, which is the origin's, too: it took 5 s, and once so long that a miss had a 504.
                await asyncio.to_thread(drop_pages, bad)
                await asyncio.to_thread(disk.fail, *what)
                left = "objects live on:"
                took = await until(lambda: any(left in line for line in edge.lines), 90, "the bad volume is off")
                at = load.number
                await until(lambda: load.number > at + 60, 30, "the load goes on")
            assert load.failed == []
            again = await load.again(range(load.number - 10, load.number))
            assert again["HIT"] >= 8, again  # the cache is small: one may have had to leave meanwhile
            assert load.failed == []
            print(f"off after {took:.1f} s, {load.good} requests")
            disk.fail()


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
                await until(lambda: load.good > 100, 30, "a load")
                end = time.monotonic() + seconds
                while time.monotonic() < end:  # what eviction frees is taken again
                    ballast = await asyncio.to_thread(fill_up, mounted)
                    await asyncio.sleep(0.1)
                assert load.failed == []
                ballast.unlink()

                async def keeps_again() -> bool:
                    load.number += 1
                    return (await load.again([load.number]))["HIT"] == 1

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
