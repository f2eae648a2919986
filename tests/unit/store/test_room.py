"""Room is made: the oldest pack leaves, what is wanted in it stays."""

import errno
import os
from pathlib import Path

import lmdb
import pytest

from edge.errors import StoreError
from edge.store.disk import Disk
from edge.store.hits import HitCounters, create_hits_file
from edge.store.volume import Volume
from edge.words import KIB, Damage, Eviction
from tests.support.rebuilding import rows
from tests.support.volumes import FailingIndex, name, open_volume, prove, put


def test_room_is_made_oldest_first_within_the_bound_and_what_was_hit_stays(tmp_path: Path) -> None:
    fd = create_hits_file()
    volume = open_volume(tmp_path)
    volume.popularity.hits = hits = HitCounters(fd)
    put(volume, "/hot", 1, 500_000)
    for n in range(60):
        hits.touch(name(volume, "/hot"))
        put(volume, f"/{n}", 1, 900_000)
        while volume.needs_room() and volume.evict_step():
            pass
        on_disk = sum(p.stat().st_blocks * 512 for p in (tmp_path / "v" / "packs").glob("*.pack"))
        assert on_disk <= volume.settings.size_bytes + 2 * volume.pack_size
        assert volume.packs.used_bytes <= volume.settings.size_bytes + 2 * volume.pack_size
    assert prove(volume, "/hot") == {0: 500_000}
    assert prove(volume, "/0") is None
    assert prove(volume, "/59") == {0: 900_000}
    assert volume.tallies.rewritten_bytes > 0
    kept = [n for n in range(60) if prove(volume, f"/{n}") is not None]
    assert kept == list(range(kept[0], 60))
    volume.close()
    os.close(fd)


class DirtyDisk(Disk):
    """Knows what has been written since it was last made durable, and notes it whenever a pack is deleted."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}
        self.dirty: set[str] = set()
        self.when_deleted: list[set[str]] = []

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        fd = super().open(path, flags, mode)
        self._paths[fd] = path.name
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        super().pwrite(fd, data, offset)
        self.dirty.add(self._paths[fd])

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self.dirty.discard(self._paths[fd])

    def close(self, fd: int) -> None:
        """What is last written into a journal, that it has an end, may be lost."""
        super().close(fd)
        self.dirty.discard(self._paths.pop(fd))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.dirty.discard(path.name)
        if path.suffix == ".pack":
            self.when_deleted.append({name for name in self.dirty if name.endswith((".pack", ".journal"))})


def test_what_is_appended_anew_is_durable_before_its_old_pack_goes(tmp_path: Path) -> None:
    """A power loss in the second between the two would have cost what is wanted most."""
    fd, disk = create_hits_file(), DirtyDisk()
    volume = open_volume(tmp_path, disk=disk)
    volume.popularity.hits = hits = HitCounters(fd)
    put(volume, "/hot", 1, 500_000)
    for n in range(60):
        hits.touch(name(volume, "/hot"))
        put(volume, f"/{n}", 1, 900_000)
        volume.flush_journals()
        while volume.needs_room() and volume.evict_step():
            pass
    assert volume.tallies.rewritten_bytes > 0
    assert len(disk.when_deleted) > 3
    assert disk.when_deleted == [set()] * len(disk.when_deleted)
    volume.close()
    os.close(fd)


def test_a_disk_that_is_full_for_journals_gets_room_all_the_same(tmp_path: Path) -> None:
    """Else what was appended anew would wait for room in a journal, and the old pack, which is room, for that."""

    class FullForJournals(Disk):
        full = False

        def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
            if self.full and offset and os.readlink(f"/proc/self/fd/{fd}").endswith(".journal"):
                raise OSError(errno.ENOSPC, "No space left on device")
            super().pwrite(fd, data, offset)

    fd, disk = create_hits_file(), FullForJournals()
    volume = open_volume(tmp_path, disk=disk)
    volume.popularity.hits = hits = HitCounters(fd)
    put(volume, "/hot", 1, 500_000)
    for n in range(20):
        hits.touch(name(volume, "/hot"))
        put(volume, f"/{n}", 1, 900_000)
    assert volume.needs_room()
    disk.full = True
    oldest = min(volume.packs.all)
    while volume.needs_room() and volume.evict_step():
        pass
    assert volume.tallies.rewritten_bytes > 0
    assert oldest not in volume.packs.all
    assert not volume.needs_room()
    disk.full = False
    assert prove(volume, "/hot") == {0: 500_000}
    volume.close()
    os.close(fd)


def test_a_pack_that_was_damaged_is_found_when_it_is_moved_and_its_extent_dropped(tmp_path: Path) -> None:
    fd = create_hits_file()
    volume = open_volume(tmp_path)
    volume.popularity.hits = HitCounters(fd)
    put(volume, "/hot", 1, 500_000)
    record = volume.lookup(name(volume, "/hot"))
    assert record is not None
    assert record.first is not None
    for _ in range(9):  # else it would go anyway
        volume.popularity.hits.touch(name(volume, "/hot"))
    with volume.packs.pack_path(record.first.pack).open("r+b") as file:
        file.seek(record.first.offset + 1234)
        file.write(b"\xff")
    for n in range(30):
        put(volume, f"/{n}", 1, 900_000)
        while volume.needs_room() and volume.evict_step():
            pass
    assert volume.lookup(name(volume, "/hot")) is None
    assert volume.tallies.take_damage() == {Damage.CORRUPT: 1}
    assert volume.tallies.rewritten_bytes == 0
    volume.close()
    os.close(fd)


def test_what_the_file_system_has_left_is_told_beside_what_is_to_stay_free(tmp_path: Path) -> None:
    class Laid(Disk):
        def space(self, path: Path) -> tuple[int, int]:
            return 300_000, 1_000_000

    volume = open_volume(tmp_path, min_free_ratio=0.05, disk=Laid())
    assert volume.room.space is None, "nobody has looked yet"
    volume.room.measure()
    assert volume.room.space == (300_000, 50_000)
    volume.close()
    about = os.statvfs(tmp_path)
    free, whole = Disk().space(tmp_path)
    assert whole == about.f_blocks * about.f_frsize
    assert 0 <= free <= whole


def one_pack_left(volume: Volume) -> None:
    """All that was put lies in packs that may go."""
    volume.packs.actives.clear()
    for pack in volume.packs.all.values():
        pack.sealed = True


def test_with_the_pack_of_an_object_in_several_extents_all_of_it_leaves_and_is_counted(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for number in range(3):
        put(volume, "/a", 1, 64 * KIB, start=number * 64 * KIB, total=192 * KIB)
    put(volume, "/b", 1, 10_000)
    one_pack_left(volume)
    while volume.packs.all:
        assert volume.evict_step(keep=False)
    assert volume.tallies.evicted_bytes[Eviction.CAPACITY] == 192 * KIB + 10_000
    assert volume.tallies.evictions[Eviction.CAPACITY] == 4
    volume.close()
    assert not any(rows(tmp_path).values()), "rows that nobody would find again"


def test_a_pack_stays_until_the_index_has_forgotten_what_lies_in_it(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for number in range(3):
        put(volume, f"/{number}", 1, 10_000)
    one_pack_left(volume)
    index = FailingIndex(volume, 1, lmdb.DiskError("EIO"))
    with pytest.raises(StoreError):
        volume.evict_step(keep=False)
    assert index.failed
    assert len(volume.packs.all) == 1
    while volume.packs.all:
        assert volume.evict_step(keep=False)
    assert volume.tallies.evictions[Eviction.CAPACITY] == 3
    volume.close()
    assert not any(rows(tmp_path).values())
