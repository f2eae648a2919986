"""Making room in bounded steps: nothing else is done meanwhile, and a thread that is held up counts as a hung disk."""

from pathlib import Path

import lmdb
import pytest

from edge.clock import FakeClock
from edge.errors import StoreError
from edge.store import rebuild
from edge.store.eviction import HIT, Policy, Row
from edge.store.hits import HitCounters, create_hits_file
from edge.store.record import Extent, Record
from edge.store.room import MAKING_SECONDS, MOVES_STEP, PLACES_STEP
from edge.store.volume import Volume
from edge.words import KIB, MIB, Eviction
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt
from tests.support.volumes import FailingIndex, name, open_volume, prove, put, settings
from tests.unit.store.test_disk_bound import PACK, Quick, fill, opened

SMALL = 100
OBJECTS = 2 * PLACES_STEP + 500


def pack_of_small_objects(directory: Path, **more: object) -> Volume:
    volume = open_volume(directory, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB, **more)
    for number in range(OBJECTS):
        put(volume, f"/{number}", 1, SMALL)
    assert len(volume.packs.actives) == 1
    volume.flush_journals()
    volume.packs.seal_all()
    return volume


def count_wanted(volume: Volume, hits: HitCounters) -> int:
    """How many objects have been hit, as far as their counters tell: names may share one."""
    return sum(hits.count(name(volume, f"/{number}")) >= HIT for number in range(OBJECTS))


@pytest.mark.parametrize("keep", [True, False])
def test_a_pack_of_many_small_objects_leaves_in_many_steps(tmp_path: Path, *, keep: bool) -> None:
    volume = pack_of_small_objects(tmp_path)
    looks, placed = list[int](), volume.index.placed

    def counted(pack: int, after: int = -1, limit: int = 1000) -> list[object]:
        found = placed(pack, after, limit)
        looks.append(len(found))
        return found  # type: ignore[return-value]

    volume.index.placed = counted  # type: ignore[method-assign, assignment]
    left = OBJECTS
    while volume.packs.all:
        looks.clear()
        assert volume.evict_step(keep=keep)
        assert sum(looks) <= PLACES_STEP
        assert left - volume.index.objects() <= PLACES_STEP
        left = volume.index.objects()
    assert left == 0
    volume.close()


def test_what_stays_of_such_a_pack_moves_in_many_steps_the_most_wanted_first(tmp_path: Path) -> None:
    volume = pack_of_small_objects(tmp_path, policy=Policy.LRU)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    for number in range(600):
        for _ in range(3 if number >= 500 else 1):
            hits.touch(name(volume, f"/{number}"))
    first, moved, wanted_all = next(iter(volume.packs.all)), list[int](), count_wanted(volume, hits)
    while first in volume.packs.all:
        assert volume.evict_step()
        moved.append(sum(len(volume.index.placed(pack)) for pack in volume.packs.all if pack != first))
        if moved[-1] and len([count for count in moved if count]) == 1:
            wanted = [volume.lookup(name(volume, f"/{number}")) for number in range(500, 600)]
            assert all(record and record.first and record.first.pack != first for record in wanted)
    assert max(b - a for a, b in zip([0, *moved], moved, strict=False)) <= MOVES_STEP
    assert moved[-1] == wanted_all >= 600
    assert prove(volume, "/42") == {0: SMALL}
    volume.close()


class BusyClock(FakeClock):
    """Each look at it takes a tenth of a second."""

    def monotonic(self) -> float:
        self.advance(MAKING_SECONDS / 10)
        return super().monotonic()


class VeryBusyClock(FakeClock):
    """Each look at it takes as long as a fill waits for room."""

    def monotonic(self) -> float:
        self.advance(MAKING_SECONDS)
        return super().monotonic()


def test_a_fill_does_not_wait_until_a_volume_that_was_made_smaller_fits(tmp_path: Path) -> None:
    volume = opened(tmp_path, size_bytes=64 * MIB)
    fill(volume, range(6400))
    packs = len(volume.packs.all)
    volume.close()
    smaller = settings(tmp_path, size_bytes=16 * MIB, pack_size=PACK, index_map_bytes=64 * MIB)
    volume = Volume.open(tmp_path / "v", smaller, clock=BusyClock(), disk=Quick(), boot="boot-1")
    with pytest.raises(StoreError, match="room is yet to be made"):
        volume.reserve(4 * KIB)
    assert packs > len(volume.packs.all) > packs - 12
    while volume.needs_room():
        assert volume.evict_step()
    volume.reserve(4 * KIB)
    volume.close()


def test_a_pack_still_leaves_where_the_index_could_not_be_asked_for_a_moment(tmp_path: Path) -> None:
    volume = pack_of_small_objects(tmp_path)
    key, left = volume.index.key, [PLACES_STEP // 2]

    def failing_once(wanted: bytes) -> bytes:
        left[0] -= 1
        if left[0] == 0:
            raise StoreError("index: its table of readers is full")
        return key(wanted)

    volume.index.key = failing_once  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="readers is full"):
        volume.evict_step()
    while volume.packs.all:
        assert volume.evict_step()
    assert volume.index.objects() == 0
    volume.close()


def test_nothing_stays_in_the_index_of_what_could_not_be_moved_for_a_moment(tmp_path: Path) -> None:
    volume = pack_of_small_objects(tmp_path, policy=Policy.LRU)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    for number in range(10):
        for _ in range(3):
            hits.touch(name(volume, f"/{number}"))
    (first,), wanted = volume.packs.all, count_wanted(volume, hits)
    extent, left = volume.index.extent, [5]

    def failing_once(record: Record, start: int) -> Extent | None:
        left[0] -= 1
        if left[0] == 0:
            raise StoreError("index: its table of readers is full")
        return extent(record, start)

    volume.index.extent = failing_once  # type: ignore[method-assign]
    failed = 0
    while first in volume.packs.all:
        try:
            volume.evict_step()
        except StoreError:
            failed += 1
    assert failed == 1
    assert volume.index.objects() == wanted - 1
    assert volume.index.placed(first) == []
    volume.close()


@pytest.mark.parametrize("looked_at", [0, PLACES_STEP, OBJECTS - 300])
def test_nothing_stays_in_the_index_of_a_pack_that_leaves_while_its_journal_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    pack_of_small_objects(tmp_path).close()
    lose_index(tmp_path)
    monkeypatch.setattr(rebuild, "ENTRIES", 300)
    volume = open_volume(tmp_path, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB)
    (first,) = volume.packs.all
    while volume.index.objects() < looked_at:
        assert volume.rebuild_step()
    while first in volume.packs.all:  # as the store's thread does
        volume.rebuild_step()
        volume.evict_step(keep=False)
    finish_rebuild(volume)
    assert volume.index.placed(first) == []
    assert volume.index.objects() == 0
    volume.close()


def test_what_other_journals_say_is_not_lost_with_a_pack_that_leaves_while_its_own_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/of an older pack", 1, SMALL)
    volume.close()
    pack_of_small_objects(tmp_path).close()
    lose_index(tmp_path)
    monkeypatch.setattr(rebuild, "ENTRIES", OBJECTS)
    volume = open_volume(tmp_path, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB)
    older, leaving = volume.packs.all
    assert volume.rebuild_step()
    assert 0 < volume.index.objects() < OBJECTS
    monkeypatch.setattr(volume.room, "_next", lambda: volume.packs.all[leaving])  # it is of the other row
    while leaving in volume.packs.all:
        assert volume.evict_step(keep=False)
    finish_rebuild(volume)
    assert list(volume.packs.all) == [older]
    assert volume.index.objects() == 1
    assert prove(volume, "/of an older pack") == {0: SMALL}
    volume.close()


def half_evict(volume: Volume) -> list[str]:
    """Until something is forgotten of a pack that is still there: what."""
    (pack,) = volume.packs.all
    while volume.index.objects() == OBJECTS:
        assert volume.evict_step(keep=False)
    assert pack in volume.packs.all
    return [key for key in (f"/{number}" for number in range(OBJECTS)) if volume.lookup(name(volume, key)) is None]


@pytest.mark.parametrize("started_again", [False, True])
def test_what_is_deleted_or_replaced_does_not_come_back_from_a_pack_that_is_half_gone(
    tmp_path: Path, *, started_again: bool
) -> None:
    volume = pack_of_small_objects(tmp_path)
    (leaving,) = volume.packs.all
    deleted, short_lived, replaced, *_ = half_evict(volume)
    if started_again:
        volume.close()
        volume = open_volume(tmp_path, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB)
    volume.packs.all[leaving].row = Row.KEPT  # what comes now is of the other row, and may leave before it
    volume.delete(name(volume, deleted), None, Eviction.INVALIDATED)
    record = put(volume, replaced, 2, SMALL)
    volume.put_live(name(volume, short_lived), record, b"x")
    volume.flush_journals()
    for pack in [pack for pack in volume.packs.all.values() if pack.row is Row.NEW]:
        volume.packs.remove(pack)
    assert leaving in volume.packs.all
    volume.close(clean=False)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path, size_bytes=64 * MIB, pack_size=16 * MIB)
    assert [prove(volume, key) for key in (deleted, short_lived, replaced)] == [None] * 3
    assert volume.index.objects() == OBJECTS - 3
    volume.close()


def test_the_next_run_goes_on_with_a_pack_that_is_half_gone(tmp_path: Path) -> None:
    volume = pack_of_small_objects(tmp_path)
    (leaving,) = volume.packs.all
    half_evict(volume)
    volume.close()
    volume = open_volume(tmp_path, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB)
    assert leaving in volume.packs.all
    while volume.needs_room():
        assert volume.evict_step()
    assert leaving not in volume.packs.all
    assert volume.index.objects() == 0
    volume.close()
    volume = open_volume(tmp_path, disk=Quick(), size_bytes=64 * MIB, pack_size=16 * MIB)
    assert not volume.needs_room()
    volume.close()


def test_a_commit_for_which_the_index_has_no_room_does_not_wait_for_all_of_a_pack_to_be_forgotten(
    tmp_path: Path,
) -> None:
    pack_of_small_objects(tmp_path).close()
    fitting = settings(tmp_path, size_bytes=64 * MIB, pack_size=16 * MIB)
    volume = Volume.open(tmp_path / "v", fitting, clock=VeryBusyClock(), disk=Quick(), boot="boot-1")
    (first,) = volume.packs.all
    FailingIndex(volume, 1, lmdb.MapFullError("full"))
    put(volume, "/new", 1, SMALL)
    assert prove(volume, "/new") == {0: SMALL}
    assert first in volume.packs.all
    assert 0 < OBJECTS + 1 - volume.index.objects() <= PLACES_STEP
    while volume.needs_room():
        assert volume.evict_step()
    assert first not in volume.packs.all
    assert volume.index.objects() == 1
    volume.close()
