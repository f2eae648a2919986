"""What was purged or replaced stays away: a log with bad bits, packs that leave in their own order, an index lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.policy.purges import Purge, Scope
from edge.store.eviction import Row
from edge.store.hits import HitCounters, create_hits_file
from edge.store.packs import Packs
from edge.store.record import Flag
from edge.store.volume import Volume
from edge.words import Damage, Eviction
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt
from tests.support.volumes import FailingDisk, name, open_volume, prove, put
from tests.unit.store.test_purge import after_lost_index, purge

PURGED = ("/p/0", "/p/1", "/p/2", "/p/3")
HEADER = 32  # bytes


def is_stale(volume: Volume, key: str) -> bool:
    record = volume.lookup(name(volume, key))
    assert record is not None, key
    return bool(record.flags & Flag.STALE)


def four_purged(directory: Path) -> Path:
    """A volume in which four of five objects were purged, one by one; the log's path."""
    volume = open_volume(directory)
    for key in (*PURGED, "/stays"):
        put(volume, key, 1, 1000)
    volume.flush_journals()
    for key in PURGED:
        purge(volume, Purge(Scope.KEY, key.encode()))
    volume.close()
    return directory / "v" / "purges"


def flip(path: Path, byte: int, bit: int = 1) -> None:
    raw = bytearray(path.read_bytes())
    raw[byte] ^= bit
    path.write_bytes(raw)


ENTRY = 8 + 20 + 4  # bytes of each of the four: frame, numbers, key


@pytest.mark.parametrize("at", [0, 4, 8, 16, 20, 21, 24, 8 + 20 + 1], ids=lambda at: f"byte {at}")
@pytest.mark.parametrize("entry", range(4))
def test_a_bad_bit_in_the_log_of_purges_costs_its_entry_only_and_what_that_may_have_named_is_asked_about(
    tmp_path: Path, entry: int, at: int
) -> None:
    path = four_purged(tmp_path)
    assert path.stat().st_size == HEADER + 4 * ENTRY
    flip(path, HEADER + entry * ENTRY + at)
    lose_index(tmp_path)
    for _ in range(2):  # also by a start that finds the log as the one before has left it
        volume = rebuilt(tmp_path)
        back = {key for key in PURGED if prove(volume, key) is not None}
        assert back <= {PURGED[entry]}
        assert all(is_stale(volume, key) for key in (*back, "/stays"))
        volume.close()
        lose_index(tmp_path)


def test_damage_of_the_log_of_purges_is_counted_once_and_what_comes_later_is_not_touched(tmp_path: Path) -> None:
    flip(four_purged(tmp_path), HEADER + ENTRY + 30)
    volume = open_volume(tmp_path)
    assert volume.tallies.take_damage() == {Damage.PURGES: 1}
    put(volume, "/new", 1, 1000)
    volume = after_lost_index(volume, tmp_path)
    assert volume.tallies.take_damage().get(Damage.PURGES, 0) == 0
    assert not is_stale(volume, "/new")
    assert is_stale(volume, "/stays")
    volume.close()


@pytest.mark.parametrize("byte", [0, 8, 20], ids=["magic", "version", "uuid"])
def test_a_bad_bit_in_the_logs_header_keeps_no_volume_from_starting_and_loses_no_purge(
    tmp_path: Path, byte: int
) -> None:
    flip(four_purged(tmp_path), byte)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert volume.tallies.take_damage()[Damage.PURGES] == 1
    assert all(prove(volume, key) is None for key in PURGED)
    assert is_stale(volume, "/stays")
    volume.close()
    volume = open_volume(tmp_path)
    assert volume.tallies.take_damage() == {}
    volume.close()


def test_without_a_log_of_purges_all_that_its_packs_bring_is_asked_about(tmp_path: Path) -> None:
    four_purged(tmp_path).unlink()
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert all(is_stale(volume, key) for key in (*PURGED, "/stays"))
    volume.close()


@pytest.mark.parametrize("left", [5, 30, ENTRY - 1])
def test_an_entry_that_was_not_written_to_its_end_is_no_damage(tmp_path: Path, left: int) -> None:
    path = four_purged(tmp_path)
    path.write_bytes(path.read_bytes()[: HEADER + 3 * ENTRY + left])
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert volume.tallies.take_damage().get(Damage.PURGES, 0) == 0
    assert [key for key in PURGED if prove(volume, key) is not None] == [PURGED[3]]
    assert not is_stale(volume, "/stays")
    volume.close()


def test_what_is_left_of_an_entry_that_could_not_be_written_is_not_taken_for_damage(tmp_path: Path) -> None:
    disk = FailingDisk(0, where="purges")
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    disk.arm(2)  # it is written, and cannot be made durable
    with pytest.raises(OSError, match="Input/output"):
        volume.purges.begin([Purge(Scope.KEY, b"/a/with/a/long/name")], volume.new_generation())
    purge(volume, Purge(Scope.KEY, b"/b"))
    volume.close()
    volume = open_volume(tmp_path)
    assert volume.tallies.take_damage() == {}
    volume.close()


# -- packs that leave in an order of their own -----------------------------------------------------


def evict_rows(volume: Volume, doomed: Callable[[Row], bool]) -> None:
    """As if the packs of a row had been evicted."""
    for pack in [pack for pack in volume.packs.all.values() if doomed(pack.row)]:
        for placed in volume.index.placed(pack.number):
            with volume.index.writing() as txn:
                txn.forget_place(placed)
        volume.packs.remove(pack)
        volume.packs.actives.pop(pack.row, None)


@pytest.mark.parametrize("while_rebuilding", [False, True])
@pytest.mark.parametrize("first", [Row.NEW, Row.KEPT])
def test_a_version_that_was_replaced_stays_away_when_its_successor_leaves_before_it_and_the_index_is_lost(
    tmp_path: Path, first: Row, while_rebuilding: bool
) -> None:
    volume = open_volume(tmp_path)

    def want(key: str, row: Row) -> None:
        """Have its next version go to that row."""
        hits = volume.popularity.hits = HitCounters(create_hits_file())
        for _ in range(15 if row is Row.KEPT else 0):
            hits.touch(name(volume, key))

    other = Row.KEPT if first is Row.NEW else Row.NEW
    want("/b", other)
    put(volume, "/b", 1, 1000)  # so that there are both rows
    want("/a", first)
    put(volume, "/a", 1, 1000)
    assert sorted(pack.row for pack in volume.packs.all.values()) == [Row.NEW, Row.KEPT]
    volume.flush_journals()
    if while_rebuilding:
        volume.close()
        lose_index(tmp_path)
        volume = open_volume(tmp_path)
    want("/a", other)
    put(volume, "/a", 2, 1000)
    finish_rebuild(volume)
    assert prove(volume, "/a") == {0: 1000}
    volume.flush_journals()
    evict_rows(volume, lambda row: row is other)
    volume.close(clean=False)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") is None
    volume.close()


def test_a_deletion_that_no_journal_can_take_is_kept_in_mind_by_the_log_of_purges(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for key in ("/a", "/b"):
        put(volume, key, 1, 1000)
    volume.close()
    volume = open_volume(tmp_path, disk=FailingDisk(1, for_ever=True, where=".pack"))
    assert volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    volume.close(clean=False)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") is None
    assert prove(volume, "/b") == {0: 1000}
    volume.close()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("what", [Purge(Scope.KEY, b"/a"), Purge(Scope.PREFIX, b"/")], ids=["key", "prefix"])
def test_what_a_purge_under_way_has_not_come_to_is_not_appended_anew_as_it_was(
    tmp_path: Path, soft: bool, what: Purge
) -> None:
    """The log forgets an entry with the last pack of before it: a copy in a later one was nobody's any more."""
    volume = open_volume(tmp_path)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    put(volume, "/a", 1, 1000)
    put(volume, "/b", 1, 1000)
    volume.flush_journals()
    purging = volume.purges.begin([Purge(what.scope, what.text, soft=soft)], volume.new_generation())
    for _ in range(15):
        hits.touch(name(volume, "/a"))
    volume.packs.actives.clear()
    for pack in volume.packs.all.values():
        pack.sealed = True
    for pack in list(volume.packs.all):  # between the purge's beginning and its first step
        while pack in volume.packs.all:
            assert volume.evict_step()
    while purging.step():
        pass
    volume.purges.end(purging.sequence)
    volume.flush_journals()
    volume.close(clean=False)
    open_volume(tmp_path).close(clean=False)  # writes the log anew, without what is needed no more
    lose_index(tmp_path)
    volume = open_volume(tmp_path)
    finish_rebuild(volume)
    record = volume.lookup(name(volume, "/a"))
    if soft:
        assert record is not None, "it is wanted, and only stale"
        assert record.flags & Flag.STALE
    else:
        assert record is None
    volume.close()


def test_packs_are_begun_for_what_was_replaced_in_rows_that_there_are_only(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    put(volume, "/a", 2, 1000)
    packs: Packs = volume.packs
    assert [pack.row for pack in packs.all.values()] == [Row.NEW]
    volume.close()
