"""Pages that are good and lie where others should: rows that are read and not found, or read again and again.

LMDB says nothing of it. What goes on for as long as there are rows would go on for ever; the index is given up instead.
"""

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from edge.clock import FakeClock
from edge.errors import StoreError
from edge.policy.purges import Purge, Scope
from edge.store import catchup, inspect, purging
from edge.store.catchup import CatchUp, Meanwhile
from edge.store.eviction import Row
from edge.store.inspect import inspect_directory
from edge.store.recovery import forget_packs
from edge.store.volume import Volume
from edge.words import KIB, MIB
from tests.support.lmdbpages import copy_page, pages_of
from tests.support.volumes import open_volume, put, settings

OBJECTS, PART = 160, 5000
MORE = {"size_bytes": 64 * MIB, "pack_size": 256 * KIB, "index_map_bytes": 256 * MIB}
STEPS_MOST = 1000  # all that is done here takes far fewer


def fill(directory: Path) -> Path:
    """A volume that has been closed in order; where its index is."""
    volume = open_volume(directory, **MORE)
    for number in range(OBJECTS):
        for start in range(0, (1 + number % 4) * PART, PART):
            put(volume, f"/{number}", 1, PART, start=start, total=4 * PART)
    volume.close()
    (found,) = (directory / "v").glob("index-*/data.mdb")
    return found


def misplace(path: Path, table: bytes, source: int, to: int) -> None:
    """One leaf of a table, as they are counted from the first or the last, lies where another should."""
    _, leaves = pages_of(path.read_bytes(), table)
    copy_page(path, leaves[source], leaves[to])


class Ended(BaseException):
    """In the place of the process's end."""


def end(why: str) -> None:
    raise Ended(why)


def reopen(directory: Path) -> Volume:
    volume = Volume.open(directory / "v", settings(directory, **MORE), clock=FakeClock(), boot="boot-1", end=end)
    assert not volume.rebuilding
    return volume


def evict_all(volume: Volume) -> None:
    for _ in range(STEPS_MOST):
        if not volume.evict_step(keep=False):
            return
    pytest.fail("eviction has no end")


def forget_all(volume: Volume) -> None:
    """As a start does with packs whose journals cannot be read."""
    forget_packs(volume.packs, volume.index, list(volume.packs.all))


def catch_up(volume: Volume) -> None:
    """As a new index does with packs that have gone since its builder began."""
    gone = list(volume.packs.all)
    volume.packs.all.clear()
    meanwhile = Meanwhile(gone, volume.purges.log.newest)
    catching = CatchUp(volume.index, volume.index, volume.packs, volume.live, volume.purges.log, meanwhile)
    for _ in range(STEPS_MOST):
        if not catching.step():
            return
    pytest.fail("there is always more to catch up with")


def purge_all(volume: Volume) -> None:
    work = volume.purges.begin([Purge(Scope.PREFIX, b"/")], 0)
    for _ in range(STEPS_MOST):
        if not work.step():
            return
    pytest.fail("a purge has no end")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("forget", [evict_all, forget_all, catch_up])
def test_rows_that_are_read_and_cannot_be_deleted_cost_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[Volume], None]
) -> None:
    monkeypatch.setattr(catchup, "PLACES", 4)  # in a pack are more
    misplace(fill(tmp_path), b"places", 1, 0)
    volume = reopen(tmp_path)
    with pytest.raises(Ended, match="rows that were deleted are still there"):
        forget(volume)
    volume.close(clean=False)

    volume = open_volume(tmp_path, **MORE)
    assert volume.index_lost
    while volume.rebuild_step():
        pass
    evict_all(volume)
    assert volume.packs.oldest(Row.NEW) is None
    volume.close()


def test_rows_that_come_again_and_again_end_a_purge_and_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "GATHERED_A_STEP", 20)
    misplace(fill(tmp_path), b"keys", 0, -1)
    volume = reopen(tmp_path)
    with pytest.raises(Ended, match="out of order"):
        purge_all(volume)
    volume.close(clean=False)


def test_an_inspection_of_such_an_index_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "BATCH", 20)
    misplace(fill(tmp_path), b"places", 0, -1)
    with pytest.raises(StoreError, match="out of order") as raised:
        inspect_directory(tmp_path / "v")
    assert isinstance(raised.value.__cause__, lmdb.CorruptedError)
