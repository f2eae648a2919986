"""One bad volume of four: hits of the others untouched, no failed request, in whatever way the disk goes bad.

The bad one lies on a disk whose calls end with errors, on an ext4 that makes itself read-only (as it does when it
finds something wrong), or its keeper's calls are failed by libfiu. Players ask for objects of all volumes meanwhile.
"""

import asyncio
import contextlib
import errno
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.store.health import READ_ONLY_AFTER
from edge.words import MIB
from tests.scenario.test_cold_and_odd import drop_pages
from tests.support import crashdisk, fiu
from tests.support.crashdisk import mounted_image
from tests.support.edgeproc import Edge, client, describing_origin, running_edge
from tests.support.fiu import FDATASYNC, FTRUNCATE, OPEN, PREAD, PWRITE, RENAME, SHORT_PREAD, SHORT_PWRITE, UNLINK, Fiu
from tests.support.load import Load, Loads, homes, path_of, until, volume_of

VOLUMES = 4
HELD = range(1_000_000, 1_000_060)
mounts = pytest.mark.skipif(crashdisk.missing() is not None, reason=str(crashdisk.missing()))
libfiu = pytest.mark.skipif(fiu.missing() is not None, reason=str(fiu.missing()))
WRITES = (PWRITE, FDATASYNC, FTRUNCATE, OPEN, UNLINK, RENAME)


@dataclass
class Four:
    """A server with four volumes, the last of which is to go bad; its load has held objects of the others."""

    edge: Edge
    load: Load
    bad: Path
    members: list[tuple[int, bytes, float]]

    async def state(self, state: str) -> bool:
        return await self.edge.metric(f'edge_volume_state{{volume="{self.bad}",state="{state}"}}') == 1

    async def goes(self, state: str, seconds: float) -> float:
        """How long it took until the bad volume was that, as metrics tell."""
        return await until(lambda: self.state(state), seconds, f"the volume is {state}")

    async def errors(self) -> list[float]:
        """Calls of the store that have failed, of each volume."""
        paths = [self.bad.parent / name for name in "abc"] + [self.bad]
        return [await self.edge.metric(f'edge_store_errors_total{{volume="{path}"}}') for path in paths]

    async def goes_on(self, answers: int) -> None:
        at = self.load.good
        await until(lambda: self.load.good >= at + answers, 60, "the load goes on")

    def of_the_bad(self, count: int) -> list[int]:
        """Numbers of new objects that live on the bad volume when all are well."""
        numbers = range(self.load.number + 10_000, self.load.number + 20_000)
        return [n for n in numbers if volume_of(path_of(n), self.members) == VOLUMES - 1][:count]

    def nothing_failed(self) -> None:
        assert self.load.failed == []
        assert self.load.lost == [], "hits of the other volumes"


@asynccontextmanager
async def four(directory: Path, bad: Path, prefix: tuple[str, ...] = ()) -> AsyncIterator[Four]:
    paths = [directory / name for name in "abc"] + [bad]
    config = directory / "edge.toml"
    config.write_text(
        "".join(f'[[volume]]\npath = "{path}"\nsize = "64MiB"\n' for path in paths) + "[origin]\nhedge = false\n"
    )
    async with (
        describing_origin() as origin,
        running_edge(None, origin.url, "--config", str(config), workers=2, prefix=prefix) as edge,
    ):
        members = homes(paths)
        held = [path_of(number, 60_000) for number in HELD]
        load = Load(edge, 1, [path for path in held if volume_of(path, members) != VOLUMES - 1])
        async with client() as http:
            for path in load.held:
                await load.ask(http, path)
        async with Loads(load):
            found = Four(edge, load, bad, members)
            await found.goes_on(80)
            yield found
        found.nothing_failed()
        assert load.hits > 100


async def bad_and_good_again(found: Four, mend: Callable[[], Awaitable[None]]) -> None:
    """It is off, its objects live on the others, and come back to it when it works again."""
    await found.goes("off", 90)
    left = "objects live on:"
    await until(lambda: any(left in line for line in found.edge.lines), 10, "the bad volume is left")
    found.nothing_failed()
    await found.goes_on(60)
    again = await found.load.again(found.of_the_bad(10))
    assert again["HIT"] >= 8, again  # the cache is small: one may have had to leave meanwhile
    found.nothing_failed()
    await mend()
    await found.goes("good", 90)  # it is tried after 10 s, then 20 s
    await found.goes_on(60)
    again = await found.load.again(found.of_the_bad(10))
    assert again["HIT"] >= 8, again
    found.nothing_failed()


@mounts
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(("write",), marks=pytest.mark.long),
        pytest.param(("read",), marks=pytest.mark.long),
        pytest.param(("read", "write"), marks=pytest.mark.long),
    ],
)
async def test_a_disk_that_ends_calls_with_errors(tmp_path: Path, what: tuple[str, ...]) -> None:
    with crashdisk.crashdisk(tmp_path, 256 * MIB) as disk:
        async with four(tmp_path, disk.mounted / "v") as found:
            await asyncio.to_thread(drop_pages, found.bad)
            await asyncio.to_thread(disk.fail, *what)
            await found.goes_on(200)
            found.nothing_failed()
            await found.goes("off", 90)  # by reads alone as well: what a try has written cannot be read back
            errors = await found.errors()
            assert errors[:-1] == [0, 0, 0]
            assert errors[-1] > READ_ONLY_AFTER
            await found.goes_on(200)
            found.nothing_failed()
        await asyncio.to_thread(disk.fail)


@mounts
@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_file_system_that_makes_itself_read_only(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(192 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted_image(image, tmp_path / "mounted") as mounted:
        async with four(tmp_path, mounted / "v") as found:
            # `remount,ro` is refused as long as a file is open for writing: what ext4 does to itself is `abort`.
            done = await asyncio.to_thread(remount, mounted, "ro")
            assert done != 0
            assert await asyncio.to_thread(remount, mounted, "abort") == 0
            await found.goes("off", 90)
            await found.goes_on(100)
            again = await found.load.again(found.of_the_bad(10))
            assert again["HIT"] >= 8, again


def remount(mounted: Path, option: str) -> int:
    return subprocess.run(["mount", "-o", f"remount,{option}", mounted], capture_output=True, check=False).returncode


@libfiu
@pytest.mark.timeout(120)
async def test_a_keeper_whose_writes_libfiu_fails_is_read_only_and_good_again_when_they_work(tmp_path: Path) -> None:
    faults = Fiu(tmp_path)
    async with four(tmp_path, tmp_path / "d", faults.prefix) as found:
        keeper = await keeper_of(found.edge, VOLUMES - 1)
        await faults.fail(keeper, *WRITES)
        await found.goes("read_only", 30)
        errors = await found.errors()
        assert errors[:-1] == [0, 0, 0]
        assert errors[-1] > READ_ONLY_AFTER
        await found.goes_on(40)
        found.nothing_failed()
        await faults.mend(keeper, *WRITES)
        await found.goes("good", 60)
        again = await found.load.again(found.of_the_bad(5))
        assert again["HIT"] >= 4, again  # the cache is small: one may have had to leave meanwhile


@libfiu
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("calls", "number"),
    [
        (WRITES, errno.EIO),
        ((PWRITE,), errno.EIO),
        ((FDATASYNC,), errno.EIO),
        (WRITES, errno.EROFS),
    ],
)
async def test_calls_of_its_keeper_that_libfiu_fails(tmp_path: Path, calls: tuple[str, ...], number: int) -> None:
    faults = Fiu(tmp_path)
    async with four(tmp_path, tmp_path / "d", faults.prefix) as found:
        keeper = await keeper_of(found.edge, VOLUMES - 1)
        await faults.fail(keeper, *calls, number=number)
        await bad_and_good_again(found, lambda: faults.mend(keeper, *calls))
        same = await keeper_of(found.edge, VOLUMES - 1) == keeper
        assert same or any("a commit of the index failed half-way" in line for line in found.edge.lines), (
            "it bears all that, unless the very write of a page of meta data was the first to fail"
        )


@libfiu
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("calls", [(call,) for call in WRITES] + [(SHORT_PWRITE, SHORT_PREAD), (PREAD,)])
@pytest.mark.parametrize("probability", [1.0, 0.2])
async def test_each_call_of_a_keeper_in_turn(tmp_path: Path, calls: tuple[str, ...], probability: float) -> None:
    """ENOSPC is no error of the disk: it is made room on, and what cannot be kept goes through memory.

    A keeper whose index LMDB has given up (a write of its page of meta data failed) ends, and has a successor, which
    knows nothing of libfiu's faults.
    """
    faults = Fiu(tmp_path)
    async with four(tmp_path, tmp_path / "d", faults.prefix) as found:
        for number in (errno.ENOSPC, errno.EIO):
            keeper = await keeper_of(found.edge, VOLUMES - 1)
            await faults.fail(keeper, *calls, number=number, probability=probability)
            await found.goes_on(150)
            found.nothing_failed()
            await faults.mend(keeper, *calls)
            await found.goes("good", 90)
            await found.goes_on(50)
        assert not any("internal error" in line for line in found.edge.lines)


@libfiu
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [PREAD, SHORT_PREAD])
async def test_cold_reads_of_workers_that_libfiu_fails(tmp_path: Path, fault: str) -> None:
    """What a worker cannot read is fetched again: no answer breaks."""
    faults = Fiu(tmp_path)
    async with four(tmp_path, tmp_path / "d", faults.prefix) as found:
        await asyncio.to_thread(drop_pages, found.bad)
        for worker in found.edge.children("worker"):
            await faults.fail(worker, fault)
        await found.goes_on(150)
        found.nothing_failed()
        for worker in found.edge.children("worker"):
            await faults.mend(worker, fault)
        await found.goes_on(150)


async def keeper_of(edge: Edge, number: int) -> int:
    """The pid of a volume's keeper, once it has one."""
    found: list[int] = []

    def there() -> bool:
        for pid in edge.children("keeper"):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip().endswith(f"-{number}"):
                    found.append(pid)
        return bool(found)

    await until(there, 20, f"keeper {number}")
    return found[0]
