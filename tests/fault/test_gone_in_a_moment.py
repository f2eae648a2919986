"""A disk that dies under what a worker has just seen in memory: pages leave memory, and no read brings them back.

A worker believes for a second what it saw. What it then hands to the kernel cannot be read, on its loop: large bodies
by sendfile, small ones and those of TLS through a mapping, whose error is a signal (SIGBUS).
"""

import asyncio
import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from edge.store.residency import Residency
from edge.words import MIB
from tests.support.certificate import self_signed
from tests.support.crashdisk import crashdisk, missing
from tests.support.edgeproc import Edge, describing_origin, proven, running_edge
from tests.support.load import homes, volume_of

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

PROCESS_MADVISE, PAGEOUT = 440, 21
SIZES = (100_148, 258_528, 700_000, 3 * MIB)
PARTS = ((0, 20_000), (65_536, 73_000), (150_000, 250_000))  # of the second


def unmap(pid: int, packs: Path) -> None:
    """Pages that a process has mapped leave memory (process_madvise(2), MADV_PAGEOUT)."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if f" {packs}/" in line:
            start, end = (int(part, 16) for part in line.partition(" ")[0].split("-"))
            stretch = (ctypes.c_size_t * 2)(start, end - start)
            libc.syscall(PROCESS_MADVISE, pidfd, stretch, ctypes.c_size_t(1), PAGEOUT, 0)
    os.close(pidfd)


def reclaim(edge: Edge, packs: Path) -> None:
    """Nothing of the packs stays in memory, but for a page that is in use in this very moment."""
    for pid in edge.family():
        unmap(pid, packs)
    residency = Residency()
    for path in packs.glob("*.pack"):
        fd = os.open(path, os.O_RDONLY)
        for _ in range(20):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if not residency.cached(fd, 0, os.fstat(fd).st_size):
                break
        os.close(fd)


async def ask(http: aiohttp.ClientSession, edge: Edge, path: str, part: tuple[int, int] | None = None) -> str:
    start, end = part or (0, int(path.split("/")[2]))
    asked = {"Range": f"bytes={start}-{end - 1}"} if part else {}
    async with http.get(edge.url + path, headers=asked, ssl=False) as got:
        body = await got.read()
    assert got.status == (206 if part else 200)
    assert len(body) == end - start
    proven(path, body, start)
    return got.headers["X-Cache"]


def living_on(volume: int, paths: Sequence[Path]) -> list[str]:
    """One object of each size."""
    members = homes(paths)
    return [next(p for n in range(100) if volume_of(p := f"/s/{size}/{n}.ts", members) == volume) for size in SIZES]


CASES = [(first, secure) for first in range(len(SIZES) + len(PARTS)) for secure in (False, True)]
USUAL = {(1, False), (1, True), (len(SIZES), False)}  # sendfile, a view, a copy


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("first", "secure"),
    [pytest.param(*case, marks=() if case in USUAL else pytest.mark.long) for case in CASES],
)
async def test_no_answer_breaks_and_no_worker_dies(tmp_path: Path, secure: bool, first: int) -> None:
    """`first`: what is asked for in the very moment; by the next one it may be over."""
    with crashdisk(tmp_path, 128 * MIB) as disk:
        bad, good = disk.mounted / "v", tmp_path / "good"
        config = tmp_path / "edge.toml"
        config.write_text("".join(f'[[volume]]\npath = "{path}"\nsize = "64MiB"\n' for path in (bad, good)))
        flags = ["--config", str(config)]
        if secure:
            cert, key = self_signed(tmp_path)
            flags += ["--tls-cert", str(cert), "--tls-key", str(key)]
        async with (
            describing_origin() as origin,
            running_edge(None, origin.url, *flags, workers=1) as edge,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
        ):
            paths = living_on(0, [bad, good])
            wanted: list[tuple[str, tuple[int, int] | None]] = [(path, None) for path in paths]
            wanted += [(paths[1], part) for part in PARTS]
            wanted = wanted[first:] + wanted[:first]
            for _ in range(2):
                for path in paths:
                    await ask(http, edge, path)
            await asyncio.to_thread(os.sync)
            workers = edge.children("worker")
            for path in paths:
                assert await ask(http, edge, path) == "HIT"
            reclaim(edge, bad / "packs")
            disk.fail("read", "write")
            for path, part in wanted:
                await ask(http, edge, path, part)
            assert edge.children("worker") == workers
            assert not any("failed on" in line or "Fatal" in line for line in edge.lines)
        disk.fail()
