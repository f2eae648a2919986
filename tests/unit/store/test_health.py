"""A disk that fails: the volume is not written to, then its objects live elsewhere, then it is tried again."""

import asyncio
import errno
import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import lmdb
import pytest

from edge.errors import StoreError
from edge.store.disk import Disk
from edge.store.health import OFF_AFTER, READ_ONLY_AFTER, TRY_MOST_SECONDS, TRY_SECONDS, Health, Trust, is_of_the_disk
from edge.store.hits import HitCounters, create_hits_file
from edge.store.residency import Residency
from edge.store.thread import StoreThread
from edge.words import MIB, Damage
from tests.support.volumes import FailingDisk, name, open_volume, prove, put


def test_a_few_errors_are_borne_more_make_it_read_only_then_off() -> None:
    health = Health()
    seen = []
    for _ in range(OFF_AFTER + 1):
        health.failed(1.0)
        seen.append(health.trust)
    read_only = [Trust.READ_ONLY] * (OFF_AFTER - READ_ONLY_AFTER)
    assert seen == [*[Trust.GOOD] * READ_ONLY_AFTER, *read_only, Trust.OFF]
    assert seen.index(Trust.READ_ONLY) == 5, "five are borne"


def test_errors_of_long_ago_do_not_count() -> None:
    health = Health()
    for at in range(50):
        health.failed(1000.0 * at)
    assert health.trust is Trust.GOOD


def test_it_is_tried_ever_more_rarely_and_good_again_when_that_works() -> None:
    health = Health()
    assert not health.is_to_be_tried(1e9)
    for _ in range(READ_ONLY_AFTER + 1):
        health.failed(0.0)
    tried, off_at = [], 0
    for at in range(0, 5000, 5):
        if health.is_to_be_tried(at):
            tried.append(at)
            health.failed(at)
            off_at = off_at or (at if health.trust is Trust.OFF else 0)
    assert tried[0] == TRY_SECONDS
    assert off_at == (OFF_AFTER - READ_ONLY_AFTER) * TRY_SECONDS, "it is not read-only for long"
    pauses = [b - a for a, b in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert pauses[-2:] == [TRY_MOST_SECONDS] * 2
    health.works()
    assert health.writable
    assert health.errors == 0


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (OSError(errno.EIO, ""), True),
        (OSError(errno.EROFS, ""), True),
        *((OSError(number, ""), False) for number in (errno.ENOSPC, errno.EDQUOT)),  # it is full
        *((OSError(number, ""), False) for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)),  # we, or the system
        (OSError(errno.ENOENT, ""), False),  # evicted meanwhile
        (OSError("said by no system"), False),
        (lmdb.DiskError(""), True),
        (lmdb.MapFullError(""), False),
        (StoreError("the volume is full"), False),
        (ValueError(), False),
    ],
)
def test_only_errors_of_the_disk_count(error: Exception, counts: bool) -> None:
    assert is_of_the_disk(error) is counts
    wrapped = StoreError("store")
    wrapped.__cause__ = error
    assert is_of_the_disk(wrapped) is counts


async def test_a_disk_that_fails_for_ever_is_not_written_to_any_more_and_is_again_when_it_works(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, where=".pack")
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 100_000)
    store = StoreThread(volume)
    told: list[Trust] = []
    changed = asyncio.Event()

    def on_trust(trust: Trust) -> None:
        told.append(trust)
        changed.set()

    store.on_trust = on_trust
    store.start()
    place = await store.call(volume.reserve, 1000)
    disk.left, disk.for_ever = 1, True
    for _ in range(READ_ONLY_AFTER + 1):
        with pytest.raises(OSError, match="Input/output"):
            await store.call(volume.write, place, 0, b"x" * 1000)
    await changed.wait()
    assert told == [Trust.READ_ONLY]
    with pytest.raises(StoreError, match="not written to"):
        await store.call(volume.reserve, 1000)
    assert not volume.hello.off
    assert prove(volume, "/a") == {0: 100_000}, "what is there is served"
    for _ in range(OFF_AFTER - READ_ONLY_AFTER):
        changed.clear()
        store.post(store.disk_failed)
    await changed.wait()
    assert told == [Trust.READ_ONLY, Trust.OFF]
    assert volume.hello.off
    changed.clear()
    disk.for_ever = False
    await store.call(store._try_disk)
    await changed.wait()
    assert told[-1] is Trust.GOOD
    await store.call(volume.reserve, 1000)
    await store.close()


def test_a_try_leaves_nothing_behind_and_fails_where_the_disk_does(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, where="disk-try")
    volume = open_volume(tmp_path, disk=disk)
    volume.try_disk()
    assert "disk-try" not in os.listdir(tmp_path / "v")
    for nth in range(1, 5):
        disk.left = nth
        with pytest.raises(OSError, match="Input/output"):
            volume.try_disk()
    disk.left = 1 << 60
    volume.try_disk()
    volume.close()


def test_a_try_reads_the_disk_and_not_what_is_in_memory(tmp_path: Path) -> None:
    class Watched(Disk):
        def __init__(self) -> None:
            self.done: list[str] = []

        def fdatasync(self, fd: int) -> None:
            self.done.append("sync")
            super().fdatasync(fd)

        def pread(self, fd: int, length: int, offset: int) -> bytes:
            here = Path(f"/proc/self/fd/{fd}").resolve()
            if here.name == "disk-try":
                self.done.append(f"read, in memory {Residency().cached(fd, 0, length)}")
            return super().pread(fd, length, offset)

    disk = Watched()
    volume = open_volume(tmp_path, disk=disk)
    disk.done.clear()
    volume.try_disk()
    assert disk.done == ["sync", "read, in memory 0"]
    volume.close()


async def test_what_the_disk_does_not_give_for_being_appended_anew_or_to_the_scrubber_counts(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, where=".pack")
    volume = open_volume(tmp_path, disk=disk)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    put(volume, "/a", 1, 100_000)
    put(volume, "/b", 1, 100_000)
    for _ in range(9):
        hits.touch(name(volume, "/a"))
    store = StoreThread(volume)
    inspector = volume.inspector()
    (first, *_) = volume.index.placed(1)
    disk.left, disk.for_ever = 1, True
    bad = inspector.look(first)
    assert bad is not None
    assert bad.damage is Damage.STORE_FAILED
    disk.for_ever, disk.left = False, 1 << 60
    volume.mending.found_bad(bad)
    assert (store.errors, volume.health.errors) == (1, 1)
    put(volume, "/a", 2, 100_000)
    volume.packs.seal_all()
    volume.popularity.credit = float(MIB)
    for _ in range(9):
        hits.touch(name(volume, "/a"))
    disk.left, disk.for_ever = 1, True
    with suppress(OSError):
        volume.evict_step()
    assert volume.health.errors >= 2
    disk.for_ever, disk.left = False, 1 << 60
    inspector.close()
    volume.close()


async def test_a_scrubber_that_may_open_no_more_files_finds_nothing_bad(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, where=".pack", number=errno.EMFILE)
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 100_000)
    inspector = volume.inspector()
    (first,) = volume.index.placed(1)
    disk.left = 1
    with pytest.raises(OSError, match="Too many open files"):
        inspector.look(first)
    inspector.close()
    volume.close()
