"""The volume: what is committed is there, whatever restarts, and whichever call of the disk fails."""

import errno
import os
import shutil
from collections import Counter as Tally
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest

from edge.errors import FormatUnknown, StoreError, VolumeBusy
from edge.policy.purges import Purge, Scope
from edge.store.disk import Disk
from edge.store.tables import tag_row
from edge.store.tallies import Tallies
from edge.store.volume import Volume
from edge.words import KIB, MIB, Eviction
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt, rows
from tests.support.volumes import FailingDisk, FailingIndex, name, open_volume, prove, put


def test_what_is_committed_is_there_after_a_clean_stop_and_after_a_kill(tmp_path: Path) -> None:
    for clean in (True, False):
        volume = open_volume(tmp_path)
        for n in range(10):
            put(volume, f"/{clean}/{n}", 1, 100_000 + n)
        volume.close(clean=clean)
        volume = open_volume(tmp_path)
        assert not volume.rebuilding
        for n in range(10):
            assert prove(volume, f"/{clean}/{n}") == {0: 100_000 + n}
        volume.close()


def test_a_lost_index_is_rebuilt_from_the_journals_also_what_was_killed_before_it_was_journalled(
    tmp_path: Path,
) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 300_000)
    put(volume, "/b", 1, 64 * KIB, start=128 * KIB, total=500_000)
    put(volume, "/a", 2, 200_000)
    volume.close(clean=False)
    open_volume(tmp_path).close(clean=False)  # the same boot: the index completes the journals
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") == {0: 200_000}
    assert prove(volume, "/b") == {128 * KIB: 64 * KIB}
    put(volume, "/b", 1, 64 * KIB, start=0, total=500_000)
    assert prove(volume, "/b") == {0: 64 * KIB, 128 * KIB: 64 * KIB}
    volume.close()


def test_after_another_boot_the_index_is_not_trusted_and_what_was_flushed_is_there(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 300_000)
    volume.flush_journals()
    put(volume, "/late", 1, 1000)
    volume.close(clean=False)
    volume = open_volume(tmp_path, boot="boot-2")
    assert volume.rebuilding
    assert volume.suspect == (0, volume.first_pack)
    finish_rebuild(volume)
    assert prove(volume, "/a") == {0: 300_000}
    assert volume.lookup(name(volume, "/late")) is None
    volume.close()


def test_bytes_that_leave_are_counted_by_the_reason_for_which_they_leave(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 100_000)
    put(volume, "/a", 2, 50_000)
    assert volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    record = put(volume, "/b", 1, 30_000)
    (extent,) = volume.extents(volume.lookup(name(volume, "/b")) or record)
    assert volume.mending.drop_extent(
        name(volume, "/b"), record.generation, extent.pack, extent.offset, Eviction.CORRUPT
    )
    put(volume, "/c", 1, 20_000)
    purging = volume.purges.begin([Purge(Scope.KEY, b"/c")], volume.new_generation())
    while purging.step():
        pass
    told = volume.tallies.take_counts(volume.packs)
    gone = {labels[0]: count for (metric, *labels), count in told.items() if "evicted" in metric}
    assert gone == {"replaced": 100_000, "invalidated": 50_000, "corrupt": 30_000, "purge": 20_000}
    assert told["edge_cache_admissions_total", "admitted"] == 4
    again = volume.tallies.take_counts(volume.packs)
    assert not any(again.values())
    for n in range(30):
        put(volume, f"/{n}", 1, 900_000)
        while volume.needs_room() and volume.evict_step():
            pass
    told = volume.tallies.take_counts(volume.packs)
    assert told["edge_cache_evicted_bytes_total", "capacity"] == 900_000 * volume.evictions[Eviction.CAPACITY] > 0
    volume.close()


class Meanwhile(Tally[str]):
    """The store's thread has its turn while these are looked through."""

    def __init__(self, tallies: Tallies) -> None:
        super().__init__({Eviction.CAPACITY: 5})
        self._tallies = tallies

    def items(self) -> Any:
        for pair in super().items():
            self._tallies.evicted(Eviction.PURGE, 1, 7)
            yield pair


def test_what_is_counted_while_figures_are_taken_is_taken_the_next_time(tmp_path: Path) -> None:
    """They are taken on the keeper's loop, and the store's thread goes on."""
    volume = open_volume(tmp_path)
    tallies, packs = volume.tallies, volume.packs
    take = packs.take_written_bytes

    def meanwhile() -> int:
        tallies.admissions, tallies.admitted_bytes = tallies.admissions + 1, tallies.admitted_bytes + 10
        tallies.rewritten_bytes, tallies.refused = tallies.rewritten_bytes + 20, tallies.refused + 1
        return take()

    packs.take_written_bytes = meanwhile  # type: ignore[method-assign]
    tallies.evicted_bytes = Meanwhile(tallies)
    first = tallies.take_counts(packs)
    assert first["edge_cache_evicted_bytes_total", "capacity"] == 5
    packs.take_written_bytes = take  # type: ignore[method-assign]
    second = tallies.take_counts(packs)
    sums = {metric: first.get(metric, 0) + second.get(metric, 0) for metric in first | second}
    assert sums == {
        ("edge_cache_admissions_total", "admitted"): 1,
        ("edge_cache_admissions_total", "refused"): 1,
        ("edge_cache_admitted_bytes_total",): 10,
        ("edge_cache_rewritten_bytes_total",): 20,
        ("edge_cache_written_bytes_total",): 0,
        ("edge_cache_evicted_bytes_total", "capacity"): 5,
        ("edge_cache_evicted_bytes_total", "purge"): 7,
    }
    assert not any(tallies.take_counts(packs).values())
    volume.close()


def test_one_keeper_per_directory_and_no_foreign_directories(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    with pytest.raises(VolumeBusy, match=str(os.getpid())):
        open_volume(tmp_path)
    volume.close()
    (tmp_path / "x" / "v").mkdir(parents=True)
    (tmp_path / "x" / "v" / "photo.jpg").write_text("mine")
    with pytest.raises(FormatUnknown, match=r"photo\.jpg"):
        open_volume(tmp_path / "x")
    (tmp_path / "v" / "volume.json").write_text('{"format": 2}')
    with pytest.raises(FormatUnknown, match="format 2"):
        open_volume(tmp_path)


def test_generations_and_packs_are_never_handed_out_twice(tmp_path: Path) -> None:
    seen: set[int] = set()
    packs: set[int] = set()
    for clean in (True, False, False, True):
        volume = open_volume(tmp_path)
        new = {volume.new_generation() for _ in range(50)}
        assert not new & seen
        seen |= new
        number = volume.reserve(10).pack
        assert number not in packs
        packs.add(number)
        volume.close(clean=clean)


def test_a_volume_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="16 MiB"):
        open_volume(tmp_path, size_bytes=MIB)


KINDS = [
    (errno.EIO, ""),
    (errno.ENOSPC, ".pack"),
    (errno.EROFS, ".journal"),
    (errno.EIO, "counter"),
]


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize(("number", "where"), KINDS)
def test_whichever_disk_call_fails_nothing_wrong_is_ever_read_and_the_volume_opens_again(
    tmp_path: Path, for_ever: bool, number: int, where: str
) -> None:
    nth, failed = 1, True
    while failed:
        directory = tmp_path / f"{nth}"
        directory.mkdir()
        disk = FailingDisk(nth, for_ever=for_ever, number=number, where=where)
        _work(directory, disk)
        failed = disk.failed > 0
        volume = open_volume(directory, disk=Disk())
        finish_rebuild(volume)
        for n in range(6):
            prove(volume, f"/{n}")
        put(volume, "/after", 1, 5000)
        assert prove(volume, "/after") == {0: 5000}
        volume.close()
        shutil.rmtree(directory)
        nth += 1 if nth < 40 else 7
    assert nth > (20 if not where else 6)


def _work(directory: Path, disk: Disk) -> None:
    volume: Volume | None = None
    try:
        volume = open_volume(directory, disk=disk)
        for n in range(6):
            try:
                put(volume, f"/{n}", 1, 900_000)
                volume.flush_journals()
                if n == 2:
                    volume.try_disk()
                    volume.purges.do_now(Purge(Scope.KEY, b"/none"))
                    volume.room.remember()
                while volume.needs_room() and volume.evict_step():
                    pass
            except (OSError, StoreError):
                continue
    except (OSError, StoreError):
        pass
    finally:
        if volume is not None:
            disk.left = 1 << 60  # type: ignore[attr-defined]
            disk.for_ever = False  # type: ignore[attr-defined]
            volume.close(clean=False)


def test_a_pack_that_cannot_be_begun_leaves_no_file_and_no_descriptor(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60)
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    packs = tmp_path / "v" / "packs"
    before, open_before = sorted(packs.iterdir()), len(os.listdir("/proc/self/fd"))
    bytes_before, failed = (volume.packs.used_bytes, volume.packs.journal_bytes), 0
    while True:
        volume.packs.seal_all()
        disk.arm(3 + failed)  # the first two are the counter's
        try:
            place = volume.packs.reserve(1000)
        except StoreError:
            assert sorted(packs.iterdir()) == before
            assert len(os.listdir("/proc/self/fd")) == open_before
            assert (volume.packs.used_bytes, volume.packs.journal_bytes) == bytes_before
            failed += 1
            continue
        break
    assert failed == 5, "to open both, to give each what it begins with, to have their names for good"
    assert place.pack == 1 + failed + 1, "no number comes again"
    disk.left = 1 << 60
    put(volume, "/b", 1, 1000)
    assert prove(volume, "/a") == prove(volume, "/b") == {0: 1000}
    volume.close()


def test_an_index_that_lmdb_has_given_up_is_dead_at_the_first_look(tmp_path: Path) -> None:
    """A commit that could not write its page of meta data: from then on every transaction fails, in this process."""
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    died: list[bool] = []
    volume.index.lost = lambda _: died.append(True)
    tables = volume.index._tables

    class Given:
        """An environment, and what is left of it."""

        dead = False

        def begin(self, *, write: bool) -> Any:
            if self.dead:
                said = "mdb_txn_begin: MDB_PANIC: Update of meta page failed or environment had fatal error"
                raise lmdb.PanicError(said)
            return tables.env.begin(write=write)

    given = Given()
    volume.index._tables = replace(tables, env=given)

    def fail() -> None:
        given.dead = True
        raise lmdb.DiskError("mdb_txn_commit: Input/output error")

    with pytest.raises(StoreError), volume.index.writing():
        fail()
    assert died == [True]
    with pytest.raises(StoreError):
        volume.lookup(name(volume, "/a"))
    assert died == [True, True]
    volume.index._tables = tables
    assert prove(volume, "/a") == {0: 1000}
    volume.close()


def test_what_killed_keepers_of_other_volumes_left_in_shared_memory_is_removed(tmp_path: Path) -> None:
    for name_ in ("one", "two", "three"):
        (tmp_path / name_).mkdir()
    living, killed = open_volume(tmp_path / "one", live_dir=tmp_path), open_volume(tmp_path / "two", live_dir=tmp_path)
    left = killed._opened
    assert left._live_lock is not None
    os.close(left._live_lock)  # as the kernel does
    left._live_lock = None
    third = open_volume(tmp_path / "three", live_dir=tmp_path)
    assert not left.live_path.exists()
    assert living._opened.live_path.exists()
    for volume in (living, killed, third):
        volume.close()
    assert not list(tmp_path.glob("edge-live-*"))


def test_a_rebuild_in_which_a_commit_failed_is_begun_anew_by_the_next_start(tmp_path: Path) -> None:
    more = {"pack_size": 256 * KIB, "size_bytes": 64 * MIB}
    volume = open_volume(tmp_path, **more)
    for n in range(40):
        put(volume, f"/{n}", 1, 150_000)
    volume.close()
    lose_index(tmp_path)
    volume = open_volume(tmp_path, **more)
    failing = FailingIndex(volume, 1, lmdb.DiskError("mdb_txn_commit: Input/output error"))
    finish_rebuild(volume)
    assert failing.failed == 1
    assert volume.lookup(name(volume, "/39")) is None, "it stood in what was lost"
    volume.close()
    volume = rebuilt(tmp_path, **more)
    for n in range(40):
        assert prove(volume, f"/{n}") == {0: 150_000}
    volume.close()


def test_tags_that_a_later_part_has_no_more_do_not_name_the_object(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=128 * KIB)
    a = name(volume, "/a")
    record = volume.lookup(a)
    assert record is not None
    assert volume.refresh(a, replace(record, tags=(b"old", b"both")))
    known = volume.lookup(a)
    assert known is not None
    later = replace(known, tags=(b"both", b"new"), stored_at=known.stored_at + 1, first=None)
    assert volume.commit(a, later, [])
    volume.close()
    assert set(rows(tmp_path)[b"tags"]) == {tag_row(tag) + a for tag in (b"both", b"new")}
