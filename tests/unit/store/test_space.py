"""A file system with too little free space: as few packs go as are needed."""

from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import StoreError
from edge.store.disk import Disk
from edge.store.volume import Volume
from edge.words import MIB
from tests.support.volumes import name, put, settings


class Full(Disk):
    """A file system of 100 MiB that has less and less free; a deleted pack is still open somewhere."""

    def __init__(self) -> None:
        self.free = 50 * MIB

    def space(self, path: Path) -> tuple[int, int]:
        return self.free, 100 * MIB


def stored(volume: Volume) -> int:
    return sum(volume.lookup(name(volume, f"/{n}")) is not None for n in range(100))


def reserve(volume: Volume, length: int = 1000) -> None:
    volume.release(volume.reserve(length, name(volume, "/more"), b"/more"))


@pytest.fixture
def disk() -> Full:
    return Full()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def volume(tmp_path: Path, disk: Full, clock: FakeClock) -> Volume:
    """Ten packs or so, a tenth of the file system to stay free."""
    made = Volume.open(
        tmp_path / "v",
        settings(tmp_path, size_bytes=40 * MIB, pack_size=MIB, min_free_ratio=0.1),
        clock=clock,
        disk=disk,
        boot="boot-1",
    )
    for n in range(10):
        put(made, f"/{n}", 1, made.packs.size - 1000)
    return made


def test_what_a_deleted_pack_will_give_back_counts_as_free(volume: Volume, disk: Full, clock: FakeClock) -> None:
    before = len(volume.packs.all)
    assert before >= 8
    disk.free = 10 * MIB - volume.packs.size
    for _ in range(20):
        reserve(volume)
    assert before - len(volume.packs.all) <= 2, "one for what is lacking, one where it was not full"
    assert stored(volume) >= 7
    left = len(volume.packs.all)
    clock.advance(2)
    reserve(volume)
    assert len(volume.packs.all) < left, "nothing has become free: others hold what was deleted, more has to go"
    left = len(volume.packs.all)
    clock.advance(2)
    disk.free = 10 * MIB
    reserve(volume)
    assert len(volume.packs.all) == left
    volume.close()


def test_nothing_is_kept_for_as_long_as_there_is_no_room_for_it(volume: Volume, disk: Full, clock: FakeClock) -> None:
    disk.free = 500
    with pytest.raises(StoreError, match="too little free space"):
        reserve(volume)
    disk.free = 10 * MIB - 1
    reserve(volume)
    volume.close()


def test_where_eviction_cannot_help_nothing_is_kept(volume: Volume, disk: Full, clock: FakeClock) -> None:
    disk.free = 0
    for _ in range(5):
        with pytest.raises(StoreError, match="too little free space"):
            reserve(volume)
        clock.advance(2)
    assert stored(volume) <= 1, "what is written to just now stays"
    volume.close()


def test_what_was_deleted_long_ago_is_forgotten_also_where_there_is_room(volume: Volume, clock: FakeClock) -> None:
    deleted = volume.room._deleted
    for n in range(10, 100):
        put(volume, f"/{n}", 1, volume.packs.size - 1000)
        while volume.needs_room() and volume.evict_step():
            pass
        clock.advance(2.0)
        assert len(deleted) <= 2
    assert len(volume.packs.all) <= 42
