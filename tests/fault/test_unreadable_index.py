"""A disk that cannot read its index: pages of a mapping that cannot be had end a process, if nobody does something."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from edge.store.files import is_remembered, remember
from edge.words import MIB, Damage
from tests.fault.test_bad_disks import two_volumes
from tests.support.crashdisk import crashdisk, missing, mounted_image
from tests.support.edgeproc import Edge, client, describing_origin, running_edge
from tests.support.load import Load
from tests.unit.store.test_torn_pages import PAGE, pages

mounts = pytest.mark.skipif(missing() is not None, reason=str(missing()))

PATHS = [f"/s/{2000 + number}/{number}.ts" for number in range(400)]


def forget_index(volume: Path, device: Path) -> None:
    """Nobody has it open: its pages leave the memory, also that of the device below."""
    for path in (*volume.glob("index-*/data.mdb"), device):
        fd = os.open(path, os.O_RDONLY)
        os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


async def ask_all(edge: Edge, load: Load) -> list[str]:
    async with client() as http:
        return [await load.ask(http, path) for path in PATHS]


@mounts
@pytest.mark.timeout(180)
async def test_an_index_whose_pages_cannot_be_read_ends_no_worker_and_fails_no_request(tmp_path: Path) -> None:
    with crashdisk(tmp_path, 256 * MIB) as disk:
        bad, good = disk.mounted / "v", tmp_path / "good"
        async with describing_origin() as origin:
            flags = two_volumes(bad, good, tmp_path, origin.url)
            async with running_edge(None, origin.url, *flags, listen=False) as edge:
                load = Load(edge, 1)
                await ask_all(edge, load)
                assert set(await ask_all(edge, load)) == {"HIT"}
            await asyncio.to_thread(forget_index, bad, tmp_path / "disk")
            async with running_edge(None, origin.url, *flags, listen=False) as edge:
                workers = edge.children("worker")
                await asyncio.to_thread(disk.fail, "read")
                load = Load(edge, 1)
                answers = await ask_all(edge, load)
                assert load.failed == []
                assert answers.count("HIT") > 100, "what lies on the other volume is there"
                assert answers.count("HIT") < 400, "pages were missing"
                assert edge.children("worker") == workers
                await asyncio.to_thread(disk.fail)


@mounts
@pytest.mark.timeout(180)
async def test_a_keeper_that_cannot_read_its_index_has_a_successor_with_a_new_one(tmp_path: Path) -> None:
    with crashdisk(tmp_path, 256 * MIB) as disk:
        cache = disk.mounted / "v"
        async with describing_origin() as origin:
            async with running_edge(cache, origin.url, workers=1) as edge:
                await ask_all(edge, Load(edge, 1))
            await asyncio.to_thread(forget_index, cache, tmp_path / "disk")
            async with running_edge(cache, origin.url, workers=1) as edge:
                (keeper,) = edge.children("keeper")
                await asyncio.to_thread(disk.fail, "read")
                load = Load(edge, 1)
                await ask_all(edge, load)
                assert load.failed == []
                assert edge.children("keeper") != [keeper]
                assert any("a page of the index cannot be read" in line for line in edge.lines)
                await asyncio.to_thread(disk.fail)
                await ask_all(edge, load)
                assert set(await ask_all(edge, load)) == {"HIT"}
                assert load.failed == []


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_the_index_that_a_keeper_died_of_is_built_anew_and_not_that_of_one_that_was_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        load = Load(edge, 1)
        await ask_all(edge, load)
        await asyncio.sleep(2)  # what is journalled after a second is there again
        (keeper,) = edge.children("keeper")
        os.kill(keeper, number)
        await edge.wait_for_line(f"keeper 0 has ended .signal {number.name}")
        async with asyncio.timeout(30):
            while edge.children("keeper") in ([], [keeper]):
                await asyncio.sleep(0.05)
            while sum(line.startswith("cache ") for line in edge.lines) < 2:
                await asyncio.sleep(0.05)
        died = number == signal.SIGSEGV
        said = [line for line in edge.lines if line.startswith("cache ")][-1]
        assert said.endswith("index lost, rebuilding behind") == died
        async with asyncio.timeout(30):
            while died and await edge.metric(f'edge_cache_corrupt_total{{reason="{Damage.INDEX_PAGES}"}}') < 1:
                await asyncio.sleep(0.1)
            while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                await asyncio.sleep(0.1)
        assert set(await ask_all(edge, load)) == {"HIT"}
        assert load.failed == []


@pytest.mark.timeout(120)
async def test_pages_that_make_no_index_under_a_running_edge_fail_no_request_and_have_it_built_anew(
    tmp_path: Path,
) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        load = Load(edge, 1)
        await ask_all(edge, load)
        await asyncio.sleep(2)
        keepers, workers = edge.children("keeper"), edge.children("worker")
        (path,) = (tmp_path / "c").glob("index-*/data.mdb")
        with path.open("r+b") as file:
            raw = file.read()
            for start, _ in pages(raw):
                file.seek(start)
                file.write(bytes(PAGE))
        async with asyncio.timeout(60):
            while await edge.metric(f'edge_cache_corrupt_total{{reason="{Damage.INDEX_PAGES}"}}') < 1:
                await ask_all(edge, load)
            while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                await asyncio.sleep(0.1)
        assert load.failed == []
        assert edge.children("keeper") != keepers
        assert edge.children("worker") == workers
        assert any("index" in line and "damaged" in line for line in edge.lines)
        await ask_all(edge, load)
        assert set(await ask_all(edge, load)) == {"HIT"}
        assert await edge.metric(f'edge_cache_corrupt_total{{reason="{Damage.INDEX_PAGES}"}}') == 1


@mounts
def test_a_file_system_that_was_mounted_anew_knows_no_file_of_before(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    for known in (False, False):
        with mounted_image(image, tmp_path / "mounted") as mounted:
            for again in (known, True):
                fd = os.open(mounted / "file", os.O_RDWR | os.O_CREAT)
                assert is_remembered(fd) == again
                assert remember(fd)
                os.close(fd)
