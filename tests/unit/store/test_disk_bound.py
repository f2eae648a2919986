"""All that a volume takes counts towards its size, and an index that is full is a reason to evict, not to stop."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from edge.errors import IndexFull, StoreError
from edge.store.disk import Disk
from edge.store.hits import HitCounters, create_hits_file
from edge.store.index import Index
from edge.store.pack import Reservation
from edge.store.volume import Volume
from edge.words import KIB, MIB, Eviction
from tests.support.rebuilding import finish_rebuild
from tests.support.volumes import FailingDisk, FailingIndex, name, open_volume, prove, put

SMALL = 300
PACK = 256 * KIB


class Quick(Disk):
    """Nothing is waited for: this is about how much is written, not when."""

    def fdatasync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


def opened(directory: Path, **more: object) -> Volume:
    return open_volume(directory, disk=Quick(), **{"pack_size": PACK, **more})


def make_room(volume: Volume) -> None:
    while volume.needs_room() and volume.evict_step():
        pass


def disk_use(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in (directory / "v").rglob("*"))


def stored(volume: Volume, count: int) -> int:
    return sum(volume.lookup(name(volume, f"/{n}")) is not None for n in range(count))


def fill(volume: Volume, numbers: range, length: int = SMALL) -> None:
    for number in numbers:
        put(volume, f"/{number}", 1, length)
        if number % 8 == 0:
            make_room(volume)
        if number % 64 == 0:
            volume.flush_journals()


def test_small_objects_take_no_more_of_the_disk_than_the_volume_may(tmp_path: Path) -> None:
    size = 16 * MIB
    volume = opened(tmp_path, size_bytes=size)
    most = 0
    for begin in range(0, 4800, 200):
        fill(volume, range(begin, begin + 200))
        most = max(most, disk_use(tmp_path))
    assert size * 3 // 4 < most <= size + 2 * PACK
    assert stored(volume, 4800) > 2000
    assert prove(volume, "/4799") == {0: SMALL}
    volume.close()
    assert disk_use(tmp_path) <= size + 2 * PACK


def test_fills_under_way_take_two_packs_more_than_the_size_and_no_byte_beyond(tmp_path: Path) -> None:
    """None of their packs can leave, and nobody has made room ahead."""
    volume = opened(tmp_path)
    most, places = volume.settings.size_bytes + 2 * PACK, list[Reservation]()

    def take_all() -> None:
        while True:
            places.append(volume.reserve(PACK - 1000, b"n" * 16, b"/a"))
            assert volume.room.taken_bytes <= most

    with pytest.raises(StoreError, match="room is yet to be made"):
        take_all()
    assert volume.room.taken_bytes > most - PACK
    for place in places:
        volume.release(place)
    assert volume.reserve(PACK - 1000, b"n" * 16, b"/a").pack > places[-1].pack
    assert volume.room.taken_bytes <= most
    volume.close()


def test_the_size_is_that_of_all_files_of_the_volume_but_of_an_index_on_another_disk(tmp_path: Path) -> None:
    volume = opened(tmp_path)
    before = volume.room.taken_bytes
    volume.room._write(bytes(MIB))  # of popularity
    assert 2 * MIB <= volume.room.taken_bytes - before < 2 * MIB + 64 * KIB, "the old file, and the new one beside it"
    volume.close(clean=False)
    volume = opened(tmp_path)
    assert volume.room.taken_bytes >= before + 2 * MIB, "known at the start"
    volume.close()
    volume = opened(tmp_path / "other", index_dir=tmp_path / "index")
    fill(volume, range(500))
    assert volume.index.used_bytes() > 200 * KIB
    assert volume.room.taken_bytes < volume.packs.used_bytes + volume.packs.journal_bytes + 200 * KIB
    volume.close()


def test_an_object_takes_some_hundred_bytes_of_the_index(tmp_path: Path) -> None:
    volume = opened(tmp_path, size_bytes=64 * MIB)
    empty = volume.index.used_bytes()
    for number in range(2000):
        put(volume, f"/films/some-title/1080p/segment-{number:05}.ts", 1, SMALL)
    assert 300 < (volume.index.used_bytes() - empty) / 2000 < 800
    volume.close()


def test_what_counts_is_the_same_after_a_start(tmp_path: Path) -> None:
    volume = opened(tmp_path)
    fill(volume, range(500))
    volume.close()
    volume = opened(tmp_path)
    volume.sweep_live()
    took = volume.stats().size_bytes
    journals = sum(path.stat().st_size for path in (tmp_path / "v" / "packs").glob("*.journal"))
    assert 0 <= volume.packs.journal_bytes - journals < 4096 * len(volume.packs.all)
    assert took > volume.packs.used_bytes + journals + 100 * KIB, "and an index of 500 objects"
    while volume.evict_step():
        pass
    assert volume.packs.journal_bytes == volume.packs.used_bytes == 0
    assert volume.stats().size_bytes < took // 2
    volume.close()


@pytest.mark.parametrize("ahead", [True, False], ids=["room is made ahead", "room is made when it is needed"])
def test_with_a_map_that_is_far_too_small_commits_go_on_for_ever(tmp_path: Path, *, ahead: bool) -> None:
    volume = opened(tmp_path, size_bytes=64 * MIB, index_map_bytes=MIB)
    for number in range(2200):
        put(volume, f"/{number}", 1, SMALL)
        if ahead:
            make_room(volume)
    assert volume.packs.used_bytes < 16 * MIB, "the map is what bounds it"
    assert prove(volume, "/2199") == {0: SMALL}
    assert stored(volume, 2200) > 200
    assert volume.evictions[Eviction.CAPACITY] > 500
    volume.close()
    volume = opened(tmp_path, size_bytes=64 * MIB, index_map_bytes=MIB)
    assert prove(volume, "/2199") == {0: SMALL}
    volume.close()


def test_a_map_that_a_single_pack_fills_has_that_pack_leave(tmp_path: Path) -> None:
    volume = opened(tmp_path, size_bytes=64 * MIB, pack_size=16 * MIB, index_map_bytes=MIB)
    for number in range(1500):
        put(volume, f"/{number}", 1, SMALL)
        make_room(volume)
    assert prove(volume, "/1499") == {0: SMALL}
    volume.close()


def test_a_commit_that_finds_the_index_full_has_a_pack_leave_and_is_done_again(tmp_path: Path) -> None:
    volume = opened(tmp_path)
    fill(volume, range(300))
    packs = len(volume.packs.all)
    index = FailingIndex(volume, 1, lmdb.MapFullError())
    put(volume, "/new", 1, SMALL)
    assert index.failed == 1
    assert len(volume.packs.all) == packs - 1
    assert prove(volume, "/new") == {0: SMALL}
    volume.close()


def test_an_index_that_stays_full_fails_the_commit(tmp_path: Path) -> None:
    volume = opened(tmp_path)
    fill(volume, range(300))
    FailingIndex(volume, 1, lmdb.MapFullError(), for_ever=True)
    with pytest.raises(StoreError, match="full"):
        put(volume, "/new", 1, SMALL)
    volume.close()


def test_what_cannot_be_appended_anew_leaves_and_holds_no_pack(tmp_path: Path) -> None:
    """A place that was never given back kept its pack open, and there, for ever."""
    volume = opened(tmp_path)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    fill(volume, range(200))
    for number in range(60):
        for _ in range(9):
            hits.touch(name(volume, f"/{number}"))
    volume.popularity.credit = float(PACK)
    write = volume.packs.write

    def failing(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    volume.packs.write = failing  # type: ignore[method-assign]
    first = next(iter(volume.packs.all))
    while first in volume.packs.all:
        assert volume.evict_step()
    volume.packs.write = write  # type: ignore[method-assign]
    assert not any(pack.open_reservations for pack in volume.packs.all.values())
    volume.popularity.credit = float(PACK)
    index = FailingIndex(volume, 1, lmdb.MapFullError())
    assert volume.evict_step()
    assert index.failed == 1
    assert not any(pack.open_reservations for pack in volume.packs.all.values())
    gone = [n for n in range(200) if volume.lookup(name(volume, f"/{n}")) is None]
    assert len(gone) > 60
    assert all(volume.index.placed(pack) == [] for pack in range(first + 1))
    volume.close()


def test_a_volume_that_has_become_smaller_than_its_index_begins_with_its_newest_packs_and_an_index_of_those(
    tmp_path: Path,
) -> None:
    """The index's file never shrinks: all that was fetched had left at once, for ever."""
    volume = opened(tmp_path, size_bytes=64 * MIB)
    long = "/" + "x" * 3900
    for n in range(1200):
        put(volume, f"{long}{n}", 1, 30_000)
    assert volume.index.used_bytes() > 8 * MIB
    volume.close()
    volume = opened(tmp_path)
    finish_rebuild(volume)
    assert volume.packs.used_bytes <= 16 * MIB + 2 * PACK
    assert volume.index.used_bytes() < 8 * MIB
    make_room(volume)
    put(volume, "/new", 1, 20_000)
    make_room(volume)
    assert prove(volume, f"{long}1199") == {0: 30_000}
    assert prove(volume, "/new") == {0: 20_000}
    volume.close()
    volume = opened(tmp_path)
    assert not volume.rebuilding
    volume.close()


def test_a_lost_index_on_a_full_disk_is_rebuilt_once(tmp_path: Path) -> None:
    volume = opened(tmp_path)
    fill(volume, range(20))
    volume.flush_journals()
    volume._opened.lose_index("a test")
    volume.close(clean=False)
    disk = FailingDisk(1, for_ever=True, number=errno.ENOSPC, where="clean.new")
    volume = open_volume(tmp_path, disk=disk, pack_size=PACK)
    finish_rebuild(volume)
    assert disk.failed
    disk.for_ever = False
    volume.keep_generations()
    volume.close(clean=False)
    volume = opened(tmp_path)
    assert not volume.rebuilding
    assert stored(volume, 20) == 20
    volume.close()


def test_a_start_asks_for_the_length_of_no_journal_but_soon_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30,000 that takes half a second of CPU, and a good deal more where they are not in memory."""
    volume = opened(tmp_path)
    fill(volume, range(500))
    volume.close()
    asked: list[str] = []

    class Watched:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self._entry = entry.name, entry

        def stat(self) -> os.stat_result:
            asked.append(self.name)
            return self._entry.stat()

    @contextmanager
    def scan(path: Path) -> Iterator[Iterator[Watched]]:
        with real(path) as entries:
            yield map(Watched, entries)

    real = os.scandir
    monkeypatch.setattr("edge.store.packs.os.scandir", scan)
    volume = opened(tmp_path)
    monkeypatch.undo()
    assert [name for name in asked if not name.endswith(".pack")] == []
    assert len(asked) == len(volume.packs.all) > 2
    assert volume.packs.journal_bytes == 0
    monkeypatch.setattr("edge.store.volume.MEASURED", 1)
    known = list[int]()
    for _ in volume.packs.all:
        volume.sweep_live()
        known.append(volume.packs.journal_bytes)
    assert len(set(known)) == len(known), "a little at a time"
    volume.sweep_live()
    assert volume.packs.journal_bytes == known[-1] > 0
    volume.close()


def test_an_index_that_calls_itself_full_and_is_far_from_it_is_damaged(tmp_path: Path) -> None:
    """Pages that name pages beyond its map: each eviction would fail like the one before, for ever."""
    index, lost = Index(tmp_path / "index-1", 64 * MIB), list[str]()
    index.lost = lost.append
    with pytest.raises(StoreError, match="MAP_FULL") as told, index.writing():
        raise lmdb.MapFullError("MDB_MAP_FULL: Environment mapsize limit reached")
    assert not isinstance(told.value, IndexFull)
    assert len(lost) == 1
    index.close()
