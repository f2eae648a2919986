"""Which pack leaves, how much of it stays, and what that may cost: of the disk's writes and of the day's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.store.eviction import NEW_SHARE, Policy, Row
from edge.store.hits import HitCounters, create_hits_file
from edge.store.popularity import EARNED, SAVED, Popularity
from edge.store.volume import Volume
from edge.words import GIB, KIB, MIB
from tests.support.volumes import name, open_volume, put
from tests.unit.store.test_disk_bound import Quick, make_room

LENGTH = 100_000
TAKEN = 102_400  # in whole pages
IN_A_PACK = 10  # of 1 MiB


@pytest.fixture
def hits() -> HitCounters:
    return HitCounters(create_hits_file())


def opened(directory: Path, hits: HitCounters, policy: Policy = Policy.POPULAR, *, pack_size: int = MIB) -> Volume:
    volume = open_volume(directory, disk=Quick(), pack_size=pack_size, policy=policy)
    volume.popularity.hits = hits
    return volume


def want(volume: Volume, key: str) -> None:
    for _ in range(9):
        volume.popularity.hits.touch(name(volume, key))  # type: ignore[union-attr]


def keys(title: str, count: int) -> Iterator[str]:
    return (f"/{title}/r/{number}" for number in range(count))


def leaves(volume: Volume) -> Row:
    """Have a pack leave; the row that it was in."""
    before = dict(volume.packs.all)
    while before.keys() <= volume.packs.all.keys():
        assert volume.evict_step()
    (gone,) = before.keys() - volume.packs.all.keys()
    return before[gone].row


def test_packs_of_the_new_row_leave_first_while_it_has_more_than_its_share(tmp_path: Path, hits: HitCounters) -> None:
    volume = opened(tmp_path, hits, pack_size=128 * KIB)  # each has one object
    share = NEW_SHARE * volume.settings.size_bytes
    assert 2 * TAKEN < share < 3 * TAKEN
    for key in keys("hot", 3):
        want(volume, key)
        put(volume, key, 1, LENGTH)
    for key in keys("cold", 3):
        put(volume, key, 1, LENGTH)
    volume.packs.seal_all()
    assert [pack.row for pack in volume.packs.all.values()] == [Row.KEPT] * 3 + [Row.NEW] * 3
    assert leaves(volume) is Row.NEW
    assert volume.lookup(name(volume, "/cold/r/0")) is None, "the oldest of it"
    assert leaves(volume) is Row.KEPT
    volume.close()


@pytest.mark.parametrize(
    ("policy", "row", "stay"),
    [
        (Policy.LRU, Row.NEW, IN_A_PACK * 5 // 10),
        (Policy.FIFO, Row.NEW, IN_A_PACK * 5 // 10),
        (Policy.POPULAR, Row.KEPT, IN_A_PACK * 8 // 10),
        (Policy.POPULAR, Row.NEW, IN_A_PACK),
    ],
)
def test_of_a_pack_that_is_wanted_wholly_so_much_stays_and_counts_as_written_today(
    tmp_path: Path, hits: HitCounters, policy: Policy, row: Row, stay: int
) -> None:
    volume = opened(tmp_path, hits, policy)
    for key in keys("a", IN_A_PACK):
        if row is Row.KEPT:
            want(volume, key)
        put(volume, key, 1, LENGTH)
        want(volume, key)
    volume.packs.seal_all()
    volume.popularity.credit = float(SAVED * MIB)
    filled, level = IN_A_PACK * LENGTH, volume.popularity.level
    assert volume.room.written_today == filled
    assert leaves(volume) is row
    assert volume.tallies.rewritten_bytes == stay * LENGTH
    assert sum(volume.lookup(name(volume, key)) is not None for key in keys("a", IN_A_PACK)) == stay
    assert volume.room.written_today == filled + stay * LENGTH
    assert (volume.popularity.level > level) is (row is Row.KEPT), "what the kept row lets go of is the level"
    volume.close(clean=False)
    volume = opened(tmp_path, hits, policy)
    assert volume.room.written_today == filled + stay * LENGTH, "also after a kill"
    volume.close()


def test_however_much_is_wanted_the_disk_is_written_no_more_than_fills_have_earned(
    tmp_path: Path, hits: HitCounters
) -> None:
    volume = opened(tmp_path, hits)
    count = 500
    for key in keys("a", count):
        want(volume, key)
        put(volume, key, 1, LENGTH)
        make_room(volume)
    filled, again = count * LENGTH, volume.tallies.rewritten_bytes
    assert 0.3 * filled < again <= EARNED * filled
    assert volume.packs.take_written_bytes() <= 1.8 * filled
    volume.close()


def test_what_fills_have_earned_is_spent_by_what_stays_and_little_of_it_is_saved() -> None:
    popularity = Popularity(GIB, MIB, 0.0)
    popularity.earn(1000, 1.0)
    assert popularity.credit == 750
    popularity.let_go(-1.0, 700)
    assert popularity.credit == 50
    popularity.earn(GIB, 2.0)
    assert popularity.credit == 4 * MIB


def test_the_level_is_about_what_the_kept_row_let_go_of_lately() -> None:
    popularity = Popularity(GIB, MIB, 0.0)
    for lowest in (3.0, 5.0):
        for _ in range(60):
            popularity.let_go(lowest, 0)
            popularity.let_go(-1.0, 0)  # a pack of the new row
        assert popularity.level == pytest.approx(lowest, abs=0.01)
    popularity.let_go(0.0, 0)
    assert popularity.level > 4, "a single pack changes little"
