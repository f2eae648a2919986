"""A file system that others have filled to its last block stops no start: what is stored is served."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.words import KIB, MIB
from tests.fault.test_bad_disks import fill_up
from tests.support.crashdisk import missing, mounted_image
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge
from tests.support.load import until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
PATHS = [f"/s/{64 * KIB}/{n}.ts" for n in range(24)]
NEW = [f"/s/{64 * KIB}/{n}.ts" for n in range(1000, 1012)]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted_image(image, tmp_path / "mounted") as where:
        yield where


def fill_wholly(where: Path) -> Path:
    """Also with what is free only once what was written before has been written out."""
    for _ in range(3):
        ballast = fill_up(where)
        subprocess.run(["sync", "-f", str(where)], check=True)
    return ballast


async def play(edge: Edge, paths: list[str]) -> list[str]:
    """Each answer's X-Cache, every byte proven."""
    found = []
    async with client() as http:
        for path in paths:
            async with http.get(edge.url + path) as got:
                assert got.status == 200, await got.text()
                proven(path, await got.read())
                found.append(got.headers["X-Cache"])
    return found


async def keeps_again(edge: Edge) -> None:
    number = 2000

    async def kept() -> bool:
        nonlocal number
        number += 1
        path = f"/s/{64 * KIB}/{number}.ts"
        return await play(edge, [path, path]) == ["MISS", "HIT"]

    await until(kept, 20, "kept again after space came back")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "killed", [pytest.param(False, marks=pytest.mark.long, id="stopped"), pytest.param(True, id="killed")]
)
async def test_a_server_whose_only_disk_is_full_starts_and_serves_what_is_there(
    tmp_path: Path, mounted: Path, *, killed: bool
) -> None:
    flags = ("--cache-size", "512MiB")
    async with describing_origin() as origin:
        async with running_edge(mounted / "c", origin.url, *flags, workers=1) as edge:
            while set(await play(edge, PATHS)) != {"HIT"}:  # the last one is answered before it is in the index
                pass
            if killed:
                os.killpg(edge.process.pid, signal.SIGKILL)
        ballast = fill_wholly(mounted)
        async with running_edge(mounted / "c", origin.url, *flags, workers=1) as edge:
            assert set(await play(edge, PATHS)) == {"HIT"}
            assert set(await play(edge, NEW)) == {"MISS"}
            ballast.unlink()
            await keeps_again(edge)
            await asyncio.sleep(2)  # once a second what is owed is tried
            os.killpg(edge.process.pid, signal.SIGKILL)
        async with running_edge(mounted / "c", origin.url, *flags, workers=1) as edge:
            assert not any("index lost" in line for line in edge.lines), "what was owed has been written"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "first", [pytest.param(True, id="the first one"), pytest.param(False, marks=pytest.mark.long, id="the second one")]
)
async def test_one_full_disk_of_two_takes_nothing_with_it(tmp_path: Path, mounted: Path, *, first: bool) -> None:
    paths = [mounted / "v", tmp_path / "good"][:: 1 if first else -1]
    config = tmp_path / "edge.toml"
    config.write_text(
        "".join(f'[[volume]]\npath = "{path}"\nsize = "48MiB"\n' for path in paths) + "[origin]\nhedge = false\n"
    )
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, "--config", str(config), workers=1) as edge:
            await play(edge, PATHS)
        ballast = fill_wholly(mounted)
        async with running_edge(None, origin.url, "--config", str(config), workers=1) as edge:
            assert set(await play(edge, PATHS)) == {"HIT"}
            assert set(await play(edge, NEW)) == {"MISS"}
            ballast.unlink()
            await keeps_again(edge)


@pytest.mark.timeout(120)
async def test_a_new_cache_on_a_full_disk_leaves_its_objects_to_the_others(tmp_path: Path, mounted: Path) -> None:
    ballast = fill_wholly(mounted)
    config = tmp_path / "edge.toml"
    config.write_text(
        "".join(f'[[volume]]\npath = "{path}"\nsize = "48MiB"\n' for path in (mounted / "v", tmp_path / "good"))
        + "[origin]\nhedge = false\n"
    )
    async with (
        describing_origin() as origin,
        running_edge(None, origin.url, "--config", str(config), workers=1) as edge,
    ):
        await play(edge, PATHS)
        assert set(await play(edge, PATHS)) == {"HIT"}
        ballast.unlink()
