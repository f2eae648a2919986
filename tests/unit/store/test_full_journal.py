"""What a journal could not take waits until it can: else a sealed journal would lack what the index knows."""

import errno
from pathlib import Path

import pytest

from edge.store import packs, thread
from edge.store.health import READ_ONLY_AFTER, Trust
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from edge.words import KIB, Damage, Eviction
from tests.support.rebuilding import finish_rebuild, lose_index
from tests.support.volumes import FailingDisk, ShortDisk, name, open_volume, prove, put

SIZE = 100_000
MORE = {"pack_size": 256 * KIB}


def from_journals(directory: Path, boot: str = "boot-2") -> Volume:
    """The volume after a start that finds no index."""
    lose_index(directory)
    volume = open_volume(directory, boot=boot, **MORE)
    finish_rebuild(volume)
    return volume


@pytest.mark.parametrize("kind", [FailingDisk, ShortDisk], ids=["nothing of them", "half of them"])
def test_entries_that_found_no_room_are_written_at_the_next_flush(tmp_path: Path, kind: type[FailingDisk]) -> None:
    disk = kind(1 << 60, number=errno.ENOSPC, where=".journal")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    put(volume, "/a", 1, SIZE)
    disk.arm(1)
    with pytest.raises(OSError, match="No space"):
        volume.flush_journals()
    put(volume, "/b", 1, SIZE)
    volume.close()
    volume = from_journals(tmp_path)
    assert volume.tallies.take_damage().get(Damage.JOURNAL, 0) == 0
    assert prove(volume, "/a") == prove(volume, "/b") == {0: SIZE}
    volume.close()


def test_a_deletion_that_found_no_room_is_written_as_well(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, number=errno.ENOSPC, where=".journal")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    put(volume, "/a", 1, SIZE)
    volume.flush_journals()
    disk.arm(1)
    assert volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    assert disk.failed == 1
    volume.flush_journals()
    volume.close(clean=False)
    volume = from_journals(tmp_path)
    assert prove(volume, "/a") is None
    volume.close()


def test_a_journal_that_stays_full_holds_little_in_memory_and_is_completed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "WAITING_MOST", 3)
    disk = FailingDisk(1 << 60, number=errno.ENOSPC, where=".journal")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    keys = [f"/{n}" for n in range(12)]
    put(volume, keys[0], 1, 1000)
    disk.for_ever = True
    disk.arm(1)
    for key in keys[1:]:
        put(volume, key, 1, 1000)
        with pytest.raises(OSError, match="No space"):
            volume.flush_journals()
        assert [len(pack.waiting) for pack in volume.packs.all.values()] == [3]
    disk.for_ever = False
    volume.close()
    volume = open_volume(tmp_path, **MORE)  # here the index is whole: it tells what the journal lacks
    volume.close()
    volume = from_journals(tmp_path)
    assert [prove(volume, key) for key in keys] == [{0: 1000}] * len(keys)
    volume.close()


def test_a_volume_whose_journal_is_full_at_its_end_is_let_go_of_and_loses_nothing(tmp_path: Path) -> None:
    disk = FailingDisk(1 << 60, number=errno.ENOSPC, where=".journal")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    put(volume, "/a", 1, SIZE)
    disk.for_ever = True
    disk.arm(1)
    with pytest.raises(OSError, match="No space"):
        volume.close()
    volume = open_volume(tmp_path, **MORE)
    assert prove(volume, "/a") == {0: SIZE}
    volume.close()
    volume = from_journals(tmp_path)
    assert prove(volume, "/a") == {0: SIZE}
    volume.close()


async def test_a_volume_that_is_not_written_to_does_not_try_its_journals_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try would be one more error, and soon not even what is stored would be served."""
    monkeypatch.setattr(thread, "FLUSH_SECONDS", 0.0)
    disk = FailingDisk(1 << 60, number=errno.EROFS, where=".journal")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    put(volume, "/a", 1, SIZE)
    store = StoreThread(volume)
    disk.for_ever = True
    disk.arm(1)
    store.start()
    while volume.health.trust is Trust.GOOD:
        await store.call(lambda: None)
    for _ in range(20):
        await store.call(lambda: None)
    assert volume.health.trust is Trust.READ_ONLY
    assert disk.failed == volume.health.errors == READ_ONLY_AFTER + 1
    disk.for_ever = False
    volume.health.works()
    for _ in range(2):  # the thread does its own work after a call is answered
        await store.call(lambda: None)
    assert not any(pack.waiting for pack in volume.packs.all.values())
    await store.close()


def test_a_pack_that_could_not_be_made_durable_once_is_never_called_whole(tmp_path: Path) -> None:
    """The entries of that flush are let go of: the index has them, and the next start writes them."""
    disk = FailingDisk(1 << 60, where=".pack")
    volume = open_volume(tmp_path, disk=disk, **MORE)
    put(volume, "/a", 1, SIZE)
    disk.arm(1)
    with pytest.raises(OSError, match="Input/output"):
        volume.flush_journals()
    assert disk.failed == 1
    put(volume, "/b", 1, SIZE)
    put(volume, "/c", 1, SIZE)  # in the next pack: the first one is full
    volume.flush_journals()
    assert volume.index.whole_journals() == {}
    volume.close()
    volume = open_volume(tmp_path, **MORE)
    assert set(volume.index.whole_journals()) == set(volume.packs.all)
    volume.close()
    volume = from_journals(tmp_path)
    assert [prove(volume, key) for key in ("/a", "/b", "/c")] == [{0: SIZE}] * 3
    volume.close()


@pytest.mark.parametrize("where", ["0000000001.pack", "0000000001.journal"])
def test_what_one_pack_could_not_be_flushed_for_keeps_no_other_from_it(tmp_path: Path, where: str) -> None:
    disk = FailingDisk(1 << 60, where=where)
    volume = open_volume(tmp_path, disk=disk, **MORE)
    for key in ("/a", "/b", "/c"):
        put(volume, key, 1, SIZE)
    assert list(volume.packs.all) == [1, 2]
    disk.arm(1)
    with pytest.raises(OSError, match="Input"):
        volume.flush_journals()
    assert disk.failed
    volume.close(clean=False)
    volume = from_journals(tmp_path)
    assert prove(volume, "/c") == {0: SIZE}
    assert not prove(volume, "/a")
    volume.close()
