"""What is deleted stays so: after a kill, with a lost index, as long as there is a journal that names it."""

from pathlib import Path

import pytest

from edge.store.eviction import Row
from edge.store.hits import HitCounters, create_hits_file
from edge.words import Eviction
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt
from tests.support.volumes import name, open_volume, prove, put


def test_a_deleted_object_does_not_come_back_with_a_rebuild(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    put(volume, "/keep", 1, 1000)
    assert volume.delete(name(volume, "/a"), None, Eviction.PURGE)
    volume.close()
    (tmp_path / "v" / "clean").unlink()
    volume = open_volume(tmp_path)
    finish_rebuild(volume)
    assert volume.lookup(name(volume, "/a")) is None
    assert prove(volume, "/keep") == {0: 1000}
    volume.close()


def test_a_deletion_is_not_undone_by_a_kill_and_a_lost_index_after_it(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.flush_journals()
    assert volume.delete(name(volume, "/a"), None, Eviction.PURGE)
    volume.close(clean=False)
    open_volume(tmp_path).close(clean=False)
    lose_index(tmp_path)
    volume = open_volume(tmp_path)
    finish_rebuild(volume)
    assert volume.lookup(name(volume, "/a")) is None
    volume.close()


@pytest.mark.parametrize("first", [Row.NEW, Row.KEPT])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_deletion_stays_known_for_as_long_as_the_pack_that_names_what_was_deleted(
    tmp_path: Path, first: Row, restarted: bool
) -> None:
    other = Row.KEPT if first is Row.NEW else Row.NEW
    volume = open_volume(tmp_path)
    hits = volume.popularity.hits = HitCounters(create_hits_file())
    wanted = "/a" if other is Row.KEPT else "/b"  # what is wanted goes to the kept row
    for _ in range(15):
        hits.touch(name(volume, wanted))
    put(volume, "/b", 1, 1000)
    put(volume, "/a", 1, 1000)
    assert [pack.row for pack in volume.packs.all.values()] == [first, other]
    if restarted:
        volume.close()
        volume = open_volume(tmp_path)
        put(volume, "/c", 1, 1000)  # in the new row
    volume.flush_journals()
    assert volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    for pack in [pack for pack in volume.packs.all.values() if pack.row is first]:
        volume.packs.remove(pack)
    volume.packs.actives.pop(first, None)
    volume.close(clean=False)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") is None
    assert prove(volume, "/b") is None
    volume.close()
