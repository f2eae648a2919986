"""Whatever call of the disk or commit of the index fails, once or for ever: no request does.

All roads of a fill are travelled (a large body, a small one, a playlist, parts, a variant, a revalidation, HEAD, a
request of its own, a change at the origin, one that breaks off, an unsafe method), with the Nth call failing, for
N = 1.. until none is left to fail.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from edge.fill.messages import UNKNOWN, Bad, Mode
from edge.store.names import name_of
from edge.store.patience import LATE_SECONDS
from edge.words import KIB, MIB, Reason
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.volumes import FailingDisk, FailingIndex, HangingDisk, settings

LARGE = os.urandom(MIB + 12345)
SMALL = os.urandom(3000)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg-1.ts\n"


class Origin:
    """What is asked under a path says how it is answered; `version` of what changes."""

    def __init__(self) -> None:
        self.version = 1

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        etag = f'"{self.version}"' if asked.target.startswith("/changing") else '"v1"'
        if asked.target.startswith("/breaking"):
            raw = answer(asked, LARGE, etag=etag)
            await wire.send(raw[: len(raw) // 2])
            wire.close()
        elif asked.target.startswith("/stale") and asked.fields.get("if-none-match") == etag:
            await wire.send(b'HTTP/1.1 304 Same\r\nETag: "v1"\r\nCache-Control: max-age=0\r\n\r\n')
        else:
            more = {"/stale": "Cache-Control: max-age=0", "/vary": "Vary: X-A"}.get(asked.target.partition(".")[0])
            await wire.send(answer(asked, body_of(asked.target), *([more] if more else []), etag=etag))


def body_of(path: str) -> bytes:
    if path.endswith(".m3u8"):
        return PLAYLIST
    return SMALL if path.startswith("/small") else LARGE


async def whole(bench: FillBench, path: str, start: int = 0, end: int = UNKNOWN, **more: object) -> None:
    """The right bytes, or `look again`, which only who finds something in the index is told."""
    got = await bench.get(path, start, end, **more)
    assert got.failed is None, f"{path} {more}: {got.failed}"
    if got.again:
        assert bench.stored(path) is not None or bench.live(path) is not None
        return
    expected = body_of(path)[start : None if end == UNKNOWN else end]
    assert got.head is not None
    found = got.bytes()
    if not found and got.head.flags:  # a head that is all that was wanted: the rest is in the index
        found = b"".join(data for _, data in sorted(bench.stored_bytes(path).items()))[start:][: len(expected)]
    assert found == expected, f"{path} {more}: {len(found)} of {len(expected)} bytes"


async def story(bench: FillBench, origin: Origin) -> None:
    for path in ("/large.ts", "/small.ts", "/live.m3u8", "/large.ts"):
        await whole(bench, path)
    await whole(bench, "/parts.mp4", 100, 300 * KIB)
    await whole(bench, "/parts.mp4", 600 * KIB, 700 * KIB)
    for value in (b"1", b"2"):
        await whole(bench, "/vary.ts", fields=((b"x-a", value),))
    for _ in range(2):
        await whole(bench, "/stale.ts")
    head = await bench.get("/large.ts", method=b"HEAD")
    assert head.failed is None
    await whole(bench, "/large.ts", mode=Mode.SOLO)
    await whole(bench, "/changing.ts")
    origin.version += 1
    changed = await bench.get("/changing.ts", method=b"HEAD")
    assert changed.failed is None
    await whole(bench, "/changing.ts")
    broken = await bench.get("/breaking.ts")
    assert broken.failed is not None
    assert broken.failed[:2] == (502, Reason.TRUNCATED), broken.failed
    record = bench.stored("/large.ts")
    if record is not None and record.first is not None:
        name = name_of(b"default/large.ts", bench.volume.hello.secret)
        bad = Bad(name, record.generation, record.first.pack, record.first.offset, Reason.CORRUPT)
        bench.asker.tell(bad)
        await whole(bench, "/large.ts")
    posted = await bench.get("/large.ts", mode=Mode.PASS, method=b"POST")
    assert posted.failed is None
    assert posted.head is not None


async def each(
    tmp_path: Path, arm: Callable[[FillBench, int], Callable[[], int]], disk: FailingDisk | None, step: int
) -> int:
    """The story with the Nth call failing, for N = 1.. until none failed; how many were tried."""
    nth, tried = 1, 0
    while True:
        directory = tmp_path / str(nth)
        directory.mkdir()
        origin = Origin()
        made = settings(directory, size_bytes=64 * MIB, slice_size=64 * KIB)
        async with (
            RawServer(origin) as server,
            fill_bench(directory, server.url, volume_settings=made, disk=disk) as bench,
        ):
            failed = arm(bench, nth)
            try:
                await story(bench, origin)
            except AssertionError as error:
                raise AssertionError(f"with call {nth} failing: {error}") from error
            finally:
                if disk is not None:
                    disk.left, disk.for_ever = 1 << 60, False
            if not failed():
                return tried
        tried += 1
        nth += step


LMDB = [lmdb.MapFullError("full"), lmdb.DiskError("mdb_txn_commit: Input/output error")]
KINDS = [(errno.EIO, ""), (errno.ENOSPC, ".pack"), (errno.EROFS, ".journal"), (errno.EIO, ".pack")]
steps = pytest.mark.parametrize("step", [17, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(900)])])


@steps
@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("error", LMDB, ids=["full", "disk"])
async def test_no_request_fails_whichever_commit_of_the_index_does(
    tmp_path: Path, error: lmdb.Error, for_ever: bool, step: int
) -> None:
    def arm(bench: FillBench, nth: int) -> Callable[[], int]:
        index = FailingIndex(bench.volume, nth, error, for_ever=for_ever)
        return lambda: index.failed

    assert await each(tmp_path, arm, None, step) >= max(1, 12 // step)


@steps
@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize(("number", "where"), KINDS)
async def test_no_request_fails_whichever_call_of_the_disk_does(
    tmp_path: Path, number: int, where: str, for_ever: bool, step: int
) -> None:
    disk = FailingDisk(1 << 60, for_ever=False, number=number, where=where)

    def arm(_: FillBench, nth: int) -> Callable[[], int]:
        disk.for_ever = for_ever
        disk.arm(nth)
        return lambda: disk.failed

    assert await each(tmp_path, arm, disk, step) >= max(1, 5 // step)


@pytest.mark.parametrize("where", [".pack", ".journal", "counter"])
async def test_a_disk_that_does_not_answer_holds_up_no_miss_and_what_is_stored_is_told(
    tmp_path: Path, where: str
) -> None:
    disk, origin = HangingDisk(where), Origin()
    made = settings(tmp_path, size_bytes=64 * MIB, slice_size=64 * KIB, pack_size=4 * MIB)
    async with (
        RawServer(origin) as server,
        fill_bench(tmp_path, server.url, volume_settings=made, disk=disk) as bench,
    ):
        await whole(bench, "/large.ts")
        disk.hang()
        bench.store.post(bench.volume.packs._begin)
        bench.store.post(bench.volume.flush_journals)
        assert await asyncio.to_thread(disk.held.wait, 10)
        bench.store.be_late_after(0.1)
        for path in ("/one.ts", "/small-one.ts", "/one.m3u8", "/large.ts"):
            got = await bench.ask(path).finish()
            assert got.failed is None
            assert got.again == (path == "/large.ts")
            assert got.again or got.bytes() == body_of(path)
        part = await bench.ask("/other.mp4", 1000, 200 * KIB).finish()
        assert part.bytes() == LARGE[1000 : 200 * KIB]
        bench.store.be_late_after(LATE_SECONDS)
        disk.go_on()
        while not await bench.store.attempt(bench.volume.needs_room):
            await asyncio.sleep(0.02)
        bench.volume.health.works()
        await whole(bench, "/two.ts")
        assert bench.stored("/two.ts") is not None
