"""Whatever call of the disk or commit of the index fails, once or for ever: no request does.

All roads of a fill are travelled (a large body, a small one, a playlist, parts, a variant, a revalidation, HEAD, a
request of its own, a change at the origin, one that breaks off, an unsafe method), with the Nth call failing, for
N = 1.. until none is left to fail. What is stored then is whole, and so is what the journals alone bring back.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from edge.clock import SystemClock
from edge.fill.messages import UNKNOWN, Bad, Mode, Pin
from edge.fill.settings import FillSettings
from edge.store.names import name_of
from edge.store.patience import LATE_SECONDS
from edge.store.record import sums_match
from edge.store.settings import VolumeSettings
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage, Reason
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.rebuilding import finish_rebuild
from tests.support.volumes import FailingDisk, FailingIndex, HangingDisk, ShortDisk, settings

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
    bench.store.post(bench.volume.flush_journals)  # as each second
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
    bench.store.post(bench.volume.flush_journals)
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
    bench.store.post(bench.volume.flush_journals)
    bench.store.post(bench.volume.room.measure)
    posted = await bench.get("/large.ts", mode=Mode.PASS, method=b"POST")
    assert posted.failed is None
    assert posted.head is not None


Kept = set[tuple[bytes, int, int]]  # name, generation, start


def kept(volume: Volume) -> Kept:
    """What is stored, every byte of it verified."""
    found: Kept = set()
    for placed in (placed for pack in volume.packs.all for placed in volume.index.placed(pack)):
        record = volume.lookup(placed.name)
        if record is None or record.generation != placed.generation:
            continue
        for extent in volume.extents(record):
            with volume.packs.pack_path(extent.pack).open("rb") as file:
                assert sums_match(record, extent, os.pread(file.fileno(), extent.length, extent.offset))
            found.add((placed.name, record.generation, extent.start))
    return found


def from_journals(directory: Path, made: VolumeSettings) -> tuple[Kept, int]:
    """What is known when the index is lost, and how many journals were not whole."""
    for index in directory.glob("cache/index-*"):
        shutil.rmtree(index)
    volume = Volume.open(directory / "cache", made, clock=SystemClock())
    try:
        finish_rebuild(volume)
        return kept(volume), volume.tallies.take_damage().get(Damage.JOURNAL, 0)
    finally:
        volume.close()


async def each(
    tmp_path: Path,
    arm: Callable[[FillBench, int], Callable[[], int]],
    disk: FailingDisk | None,
    step: int,
    after: Callable[[Kept, Kept, int], None] = lambda known, found, damaged: None,
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
            known = await bench.store.call(kept, bench.volume)
            none_failed = not failed()
        after(known, *from_journals(directory, made))
        if none_failed:
            return tried
        shutil.rmtree(directory)
        tried += 1
        nth += step


def arming(disk: FailingDisk, *, for_ever: bool) -> Callable[[FillBench, int], Callable[[], int]]:
    def arm(_: FillBench, nth: int) -> Callable[[], int]:
        disk.for_ever = for_ever
        disk.arm(nth)
        return lambda: disk.failed

    return arm


LMDB = [lmdb.MapFullError("full"), lmdb.DiskError("mdb_txn_commit: Input/output error")]
KINDS = [
    (errno.EIO, ""),
    (errno.EIO, ".pack"),
    (errno.ENOSPC, ".pack"),
    (errno.EROFS, ".pack"),
    (errno.EIO, "packs"),  # statvfs of the directory: how much room there is
]
WHOLE = [pytest.mark.long, pytest.mark.timeout(900)]
steps = pytest.mark.parametrize("step", [17, pytest.param(1, marks=WHOLE)])
journal_steps = pytest.mark.parametrize("step", [5, pytest.param(1, marks=WHOLE)])  # it has fewer calls


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
    disk = FailingDisk(1 << 60, number=number, where=where)
    assert await each(tmp_path, arming(disk, for_ever=for_ever), disk, step) >= max(1, 5 // step)


def nothing_is_lost(known: Kept, found: Kept, _damaged: int) -> None:
    assert found >= known, "more: what was deleted while no pack could be begun to say so in"


def nothing_is_lost_or_torn(known: Kept, found: Kept, damaged: int) -> None:
    assert found == known
    assert not damaged


@journal_steps
@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
async def test_what_a_journal_could_not_take_is_written_when_it_can_again(
    tmp_path: Path, number: int, for_ever: bool, step: int
) -> None:
    disk = FailingDisk(1 << 60, number=number, where=".journal")
    arm = arming(disk, for_ever=for_ever)
    assert await each(tmp_path, arm, disk, step, nothing_is_lost) >= max(1, 20 // step)


SHORT = [(".pack", 17), (".journal", 5)]
SHORT_WHOLE = [pytest.param(where, 1, marks=WHOLE) for where, _ in SHORT]
short_steps = pytest.mark.parametrize(("where", "step"), SHORT + SHORT_WHOLE)


@short_steps
@pytest.mark.parametrize("for_ever", [False, True])
async def test_a_write_that_takes_less_than_it_was_given_goes_on_where_it_stopped(
    tmp_path: Path, where: str, step: int, for_ever: bool
) -> None:
    disk = ShortDisk(1 << 60, where=where)
    arm = arming(disk, for_ever=for_ever)
    assert await each(tmp_path, arm, disk, step, nothing_is_lost_or_torn) >= max(1, 10 // step)


@short_steps
@pytest.mark.parametrize("for_ever", [False, True])
async def test_no_request_fails_when_the_disk_becomes_full_in_the_middle_of_a_write(
    tmp_path: Path, where: str, step: int, for_ever: bool
) -> None:
    disk = ShortDisk(1 << 60, where=where, number=errno.ENOSPC)
    arm = arming(disk, for_ever=for_ever)
    assert await each(tmp_path, arm, disk, step, nothing_is_lost) >= max(1, 10 // step)


async def stored_place(bench: FillBench, path: str) -> tuple[bytes, int, int, int]:
    """A whole object is stored; its name, generation, pack and offset, as who finds it bad tells them."""
    await whole(bench, path)
    record = bench.stored(path)
    assert record is not None
    assert record.first is not None
    name = name_of(b"default" + path.encode(), bench.volume.hello.secret)
    return name, record.generation, record.first.pack, record.first.offset


async def test_what_a_worker_could_not_read_is_one_of_the_volumes_errors(tmp_path: Path) -> None:
    """As its figures have it, too: a volume that reads alone have made read-only would show none."""
    async with RawServer(Origin()) as server, fill_bench(tmp_path, server.url) as bench:
        place = await stored_place(bench, "/large.ts")
        bench.asker.tell(Bad(*place, Reason.CORRUPT))
        await whole(bench, "/large.ts")
        assert bench.store.take_errors() == 0, "the disk has given something"
        bench.asker.tell(Bad(*place, Reason.STORE_FAILED))
        await whole(bench, "/large.ts")
        assert bench.store.take_errors() == bench.volume.health.errors == 1


async def test_a_bad_extent_that_many_have_met_is_counted_once(tmp_path: Path) -> None:
    async with RawServer(Origin()) as server, fill_bench(tmp_path, server.url) as bench:
        place, counted = await stored_place(bench, "/large.ts"), list[Reason]()
        bench.desk._drops._count = counted.append
        for _ in range(3):
            bench.asker.tell(Bad(*place, Reason.CORRUPT))
        await whole(bench, "/large.ts")
        assert counted == [Reason.CORRUPT]


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


FILM = os.urandom(5 * MIB)


@pytest.mark.parametrize("why", ["disk", "budget"])
async def test_who_reads_further_than_a_fill_may_be_ahead_gets_all_of_it_though_nothing_can_be_kept(
    tmp_path: Path, why: str
) -> None:
    """A run that goes through scratch had none behind it, and its reader waited for ever for what followed."""

    async def films(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, FILM))

    disk = FailingDisk(1 << 60, where=".pack", for_ever=True)
    made = settings(tmp_path, size_bytes=64 * MIB, daily_writes=1 if why == "budget" else 0)
    few = FillSettings(run_max=MIB, ahead=MIB, ahead_most=MIB)
    async with (
        RawServer(films) as server,
        fill_bench(tmp_path, server.url, settings=few, volume_settings=made, disk=disk) as bench,
    ):
        if why == "disk":
            disk.arm(1)
        reached, asked, pin = 0, 0, None
        while reached < len(FILM):
            got = await bench.ask("/a.mp4", reached, len(FILM), pin=pin).finish()
            assert got.failed is None
            assert got.bytes() == FILM[reached : got.position]
            assert got.position > reached, "a worker gives up"
            reached, asked, pin = got.position, asked + 1, Pin(got.record.generation, len(FILM), b'"v1"')
            assert got.asking is not None
            got.asking.cancel()
        assert 1 < asked <= 5
        await bench.settled()
        disk.left, disk.for_ever = 1 << 60, False
