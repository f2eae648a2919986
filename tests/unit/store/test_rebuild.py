"""A rebuilt index is the one that was lost, to the byte; what happens meanwhile is not undone."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from edge.policy.purges import Purge, Scope
from edge.store import rebuild
from edge.store.bulk import building
from edge.store.eviction import Row
from edge.store.journal import ENTRY, HEADER_BYTES, DeleteEntry, read_journal
from edge.store.packs import Packs
from edge.store.record import Flag
from edge.store.tables import Placed
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage, Eviction
from tests.support.building import use_builder
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt, rows
from tests.support.volumes import FailingDisk, name, open_volume, prove, put

SLICES = 64 * KIB
BUILT = 0  # entries a step: not in steps, but by a builder


def live_a_little(directory: Path, rng: random.Random) -> None:
    """Whole objects and parts of them, new versions, tags, refreshes, deletions."""
    volume = open_volume(directory, pack_size=256 * KIB)
    for number in range(120):
        key = f"/{rng.randrange(60)}"
        match rng.randrange(6):
            case 0:
                volume.delete(name(volume, key), None, Eviction.INVALIDATED)
            case 1:
                known = volume.lookup(name(volume, key))
                if known is not None and volume.packs.active is not None:  # else there is no journal to say so
                    volume.refresh(name(volume, key), replace(known, fresh_until=float(number)))
            case 2 | 3:
                start = SLICES * rng.randrange(4)
                known = volume.lookup(name(volume, key))
                if known is None or start not in {extent.start for extent in volume.extents(known)}:
                    put(volume, key, 1, SLICES, start=start, total=5 * SLICES)
            case 4:
                record = put(volume, key, number, 100)
                tagged = replace(record, tags=(b"a", b"%d" % number, b"a"), stored_at=4.0)
                volume.commit(name(volume, key), tagged, [])
            case _:
                put(volume, key, number, rng.randrange(1, 30_000))
        if number % 40 == 39:
            volume.close()
            volume = open_volume(directory, pack_size=256 * KIB)
    volume.close()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("most", [3, 2048, BUILT])
def test_what_is_rebuilt_is_what_was_committed_whatever_a_step_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, most: int
) -> None:
    live_a_little(tmp_path, random.Random(seed))
    lost = rows(tmp_path)
    assert all(lost.values())
    lose_index(tmp_path)
    if most == BUILT:
        use_builder(monkeypatch)
    else:
        monkeypatch.setattr(rebuild, "ENTRIES", most)
    rebuilt(tmp_path, pack_size=256 * KIB).close()
    found = rows(tmp_path)
    assert found[b"names"] == lost[b"names"]
    assert found[b"extents"] == lost[b"extents"]
    assert found[b"places"] == lost[b"places"]
    assert found[b"keys"] == lost[b"keys"]
    assert found[b"tags"] == lost[b"tags"]


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, [512, 128, 128, 128]), (60.0, [512, 1024, 2048, 2048])])
def test_a_step_reads_as_much_as_there_is_time_for_by_what_the_one_before_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[int]
) -> None:
    monkeypatch.setattr(rebuild, "STEP_SECONDS", seconds)
    put(volume := open_volume(tmp_path), "/a", 1, 100)
    volume.close()
    lose_index(tmp_path)
    volume = open_volume(tmp_path)
    reading, asked = volume._rebuild, list[int]()
    assert isinstance(reading, rebuild.Rebuild)

    def counted(entries: int) -> bool:
        asked.append(entries)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(reading, "_step", counted)
        assert all(volume.rebuild_step() for _ in expected)
    assert asked == expected
    finish_rebuild(volume)
    assert prove(volume, "/a") == {0: 100}
    volume.close()


def test_a_rebuild_that_was_cut_short_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_volume(tmp_path)
    for number in range(20):
        put(volume, f"/{number}", 1, 1000)
    volume.close()
    lose_index(tmp_path)
    monkeypatch.setattr(rebuild, "ENTRIES", 10)
    for clean in (False, True):
        volume = open_volume(tmp_path)
        assert volume.rebuild_step()
        volume.close(clean=clean)
    volume = rebuilt(tmp_path)
    assert all(prove(volume, f"/{number}") == {0: 1000} for number in range(20))
    volume.close()
    volume = open_volume(tmp_path)
    assert not volume.rebuilding
    volume.close()


def test_what_was_kept_during_a_rebuild_that_was_killed_is_there_after_the_next_one(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    put(volume, "/b", 1, 1000)
    volume.close()
    lose_index(tmp_path)
    volume = open_volume(tmp_path)
    assert volume.rebuilding
    put(volume, "/a", 2, 1000)
    put(volume, "/c", 1, 1000)
    volume.close(clean=False)  # killed: its journals have nothing of these yet
    volume = open_volume(tmp_path)
    finish_rebuild(volume)
    for key, tag in (("/a", b'"2"'), ("/b", b'"1"'), ("/c", b'"1"')):
        record = volume.lookup(name(volume, key))
        assert record is not None, key
        assert record.etag == tag
        assert prove(volume, key) == {0: 1000}
    volume.close()


def test_what_is_deleted_while_older_journals_are_unread_does_not_come_back_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.close()
    volume = open_volume(tmp_path)
    put(volume, "/a", 2, 2000)
    volume.close()
    lose_index(tmp_path)
    monkeypatch.setattr(rebuild, "JOURNALS", 1)
    volume = open_volume(tmp_path)
    while prove(volume, "/a") is None:
        assert volume.rebuild_step()
    assert volume.rebuilding
    assert prove(volume, "/a") == {0: 2000}
    assert volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    finish_rebuild(volume)
    assert prove(volume, "/a") is None
    volume.close()


def test_purges_are_asked_about_what_is_older_than_they_are_and_leave_the_rest(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for number in range(10):
        put(volume, f"/{number}", 1, 1000)
    volume.purges.do_now(Purge(Scope.KEY, b"/3"))
    volume.purges.do_now(Purge(Scope.KEY, b"/4", soft=True))
    put(volume, "/3", 2, 3000)
    volume.close()
    lost = rows(tmp_path)
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    stale = volume.lookup(name(volume, "/4"))
    assert stale is not None
    assert stale.flags & Flag.STALE
    assert prove(volume, "/3") == {0: 3000}
    volume.close()
    assert rows(tmp_path)[b"names"].keys() == lost[b"names"].keys()


def test_a_bad_entry_costs_itself_in_whichever_step_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_volume(tmp_path)
    for number in range(9):
        put(volume, f"/{number}", 1, 1000)
    volume.close()
    (journal,) = (tmp_path / "v" / "packs").glob("*.journal")
    raw = bytearray(journal.read_bytes())
    length, _, _ = ENTRY.unpack_from(raw, HEADER_BYTES)
    raw[HEADER_BYTES + ENTRY.size + length - 1] ^= 1  # in the head of the first object
    journal.write_bytes(raw)
    for most in (1, 2, 2048):
        lose_index(tmp_path)
        monkeypatch.setattr(rebuild, "ENTRIES", most)
        volume = rebuilt(tmp_path)
        assert [number for number in range(9) if prove(volume, f"/{number}") is None] == [0]
        assert volume.tallies.take_damage()[Damage.JOURNAL] == 1
        volume.close()


def test_the_index_says_of_each_place_what_lies_there_after_a_rebuild(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    record = put(volume, "/a", 1, 1000)
    volume.close()
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert volume.index.placed(1) == [Placed(1, 0, name(volume, "/a"), record.generation, 0, 1000)]
    volume.close()


def test_a_start_looks_at_those_journals_only_of_which_it_does_not_know_that_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    look = Packs._row_and_end

    def looking(self: Packs, number: int) -> tuple[Row, bool]:
        looked.append(number)
        return look(self, number)

    monkeypatch.setattr(Packs, "_row_and_end", looking)
    volume = open_volume(tmp_path, pack_size=MIB)
    for number in range(12):
        put(volume, f"/{number}", 1, 300_000)
    volume.flush_journals()
    rows_before = {number: pack.row for number, pack in volume.packs.all.items()}
    volume.close(clean=False)
    volume = open_volume(tmp_path, pack_size=MIB)
    assert looked == [max(rows_before)], "only the pack that was being written to"
    assert {number: pack.row for number, pack in volume.packs.all.items()} == rows_before
    volume.close(clean=False)
    lose_index(tmp_path)
    looked.clear()
    volume = rebuilt(tmp_path, pack_size=MIB)
    volume.close(clean=False)
    volume = open_volume(tmp_path, pack_size=MIB)
    assert looked == []
    assert {number: pack.row for number, pack in volume.packs.all.items()} == rows_before
    assert volume.packs.used_bytes == sum(pack.used for pack in volume.packs.all.values())
    volume.close()


def five_packs(directory: Path) -> list[str]:
    volume = open_volume(directory, pack_size=256 * KIB)
    keys = [f"/{number}" for number in range(20)]
    for key in keys:
        put(volume, key, 1, 50_000)
    assert len(volume.packs.all) == 5
    volume.close()
    return keys


def five_packs_without_index(directory: Path) -> list[str]:
    keys = five_packs(directory)
    lose_index(directory)
    return keys


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be read is tried again without a pause."""
    monkeypatch.setattr(rebuild, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(building, "AGAIN_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
def test_a_journal_that_cannot_be_read_once_is_read_again(tmp_path: Path) -> None:
    keys = five_packs_without_index(tmp_path)
    disk = FailingDisk(1, where="0000000002.journal")
    volume = rebuilt(tmp_path, pack_size=256 * KIB, disk=disk)
    assert disk.failed == 1
    assert volume.take_disk_errors() == 1
    assert volume.tallies.take_damage()[Damage.JOURNAL] == 0
    assert all(prove(volume, key) for key in keys)
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    assert not volume.rebuilding
    volume.close()


@pytest.mark.usefixtures("at_once")
async def test_what_the_disk_does_not_give_to_a_rebuild_counts_as_its_errors(tmp_path: Path) -> None:
    five_packs_without_index(tmp_path)
    volume = open_volume(tmp_path, pack_size=256 * KIB, disk=FailingDisk(1, where="0000000002.journal"))
    store = StoreThread(volume)
    while volume.rebuilding:
        store._own_work()
    assert (volume.health.errors, store.take_errors()) == (1, 1)
    volume.close()


@pytest.mark.usefixtures("at_once")
def test_a_journal_that_cannot_be_read_costs_its_objects_until_the_next_start(tmp_path: Path) -> None:
    keys = five_packs_without_index(tmp_path)
    disk = FailingDisk(1, for_ever=True, where="0000000002.journal")
    volume = rebuilt(tmp_path, pack_size=256 * KIB, disk=disk)
    assert volume.take_disk_errors() == disk.failed == rebuild.TRIES
    assert 2 in volume.packs.all, "what cannot be read has not been evicted"
    assert 0 < sum(prove(volume, key) is not None for key in keys) < len(keys)
    volume.close()
    volume = rebuilt(tmp_path, pack_size=256 * KIB)
    assert all(prove(volume, key) for key in keys)
    volume.close()


def test_between_two_tries_at_a_journal_there_is_nothing_to_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = five_packs_without_index(tmp_path)
    now = [100.0]

    def tick() -> float:
        now[0] += 0.0001
        return now[0]

    monkeypatch.setattr(rebuild.time, "perf_counter", tick)
    volume = open_volume(tmp_path, pack_size=256 * KIB, disk=FailingDisk(1, where="0000000002.journal"))
    while not volume.rebuild_waits:
        assert volume.rebuild_step()
    assert volume.rebuild_step()
    assert volume.rebuild_waits
    assert volume.stats().rebuild_progress < 1
    assert sum(prove(volume, key) is None for key in keys) == 4
    now[0] += rebuild.AGAIN_SECONDS
    finish_rebuild(volume)
    assert all(prove(volume, key) for key in keys)
    volume.close()


@pytest.mark.usefixtures("at_once")
def test_a_builder_goes_on_without_a_journal_that_the_disk_does_not_give_and_the_next_start_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = five_packs_without_index(tmp_path)
    use_builder(monkeypatch)
    journal = tmp_path / "v" / "packs" / "0000000002.journal"
    journal.rename(tmp_path / "journal")
    journal.mkdir()  # what cannot be read like a file
    volume = rebuilt(tmp_path, pack_size=256 * KIB)
    assert volume.take_disk_errors() == 1
    assert sum(prove(volume, key) is None for key in keys) == 4
    assert volume.tallies.take_damage()[Damage.JOURNAL] == 0
    volume.close()
    journal.rmdir()
    (tmp_path / "journal").rename(journal)
    volume = rebuilt(tmp_path, pack_size=256 * KIB)
    assert all(prove(volume, key) for key in keys)
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    assert not volume.rebuilding
    volume.close()


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.usefixtures("at_once")
def test_a_journal_that_can_never_be_read_is_damaged_after_two_starts_and_costs_no_further_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, built: bool
) -> None:
    """It had cost a rebuild of everything at every start."""
    keys = five_packs_without_index(tmp_path)
    if built:
        use_builder(monkeypatch)
    journal = tmp_path / "v" / "packs" / "0000000002.journal"
    journal.unlink()
    journal.mkdir()
    volume = rebuilt(tmp_path, pack_size=256 * KIB)
    volume.close()
    journal.rmdir()
    journal.write_bytes(b"")
    disk = FailingDisk(1, for_ever=True, where="0000000002.journal")
    for lost in (1, 0):
        volume = open_volume(tmp_path, pack_size=256 * KIB, disk=disk)
        assert not volume.rebuilding
        assert volume.tallies.take_damage().get(Damage.JOURNAL, 0) == lost
        assert sum(prove(volume, key) is not None for key in keys) == 16
        volume.close()
        disk = FailingDisk(0)
    assert 2 not in volume.packs.all, "nothing could be found in it any more"


def test_many_journals_that_cannot_be_read_are_one_error_of_the_disk_a_try(tmp_path: Path) -> None:
    """Four had made a disk read-only, and what it holds stale."""
    five_packs_without_index(tmp_path)
    disk = FailingDisk(1, for_ever=True, where=".journal")
    volume = rebuilt(tmp_path, pack_size=256 * KIB, disk=disk)
    assert disk.failed == 5 * rebuild.TRIES
    assert volume.take_disk_errors() == rebuild.TRIES
    volume.close(clean=False)


@pytest.mark.usefixtures("at_once")
def test_what_was_deleted_before_its_journal_could_be_read_does_not_come_back_from_it(tmp_path: Path) -> None:
    keys = five_packs_without_index(tmp_path)
    disk = FailingDisk(1, for_ever=True, where="0000000002.journal")
    volume = rebuilt(tmp_path, pack_size=256 * KIB, disk=disk)
    unknown = [key for key in keys if prove(volume, key) is None]
    assert len(unknown) == 4
    put(volume, "/new", 1, 1000)
    for _ in range(2):
        volume.delete(name(volume, unknown[0]), None, Eviction.INVALIDATED)
    (active,) = volume.packs.actives.values()
    volume.flush_journals()
    raw = active_journal(volume)
    entries = read_journal(raw, active.number, volume._opened.identity.volume)
    assert sum(isinstance(entry, DeleteEntry) for entry in entries) == 1, "once will do"
    volume.close()
    volume = rebuilt(tmp_path, pack_size=256 * KIB)
    assert [key for key in keys if prove(volume, key) is None] == unknown[:1]
    volume.close()


def active_journal(volume: Volume) -> bytes:
    (active,) = volume.packs.actives.values()
    return volume.packs.journal_path(active.number).read_bytes()


@pytest.mark.parametrize("most", [2048, BUILT])
def test_a_flipped_bit_in_the_header_of_a_journal_costs_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    keys = five_packs(tmp_path)
    if most == BUILT:
        use_builder(monkeypatch)
    journal = tmp_path / "v" / "packs" / "0000000002.journal"
    whole = journal.read_bytes()
    for at in (3, 8, 12, 20, 31):  # the magic, the version, the pack, the volume
        raw = bytearray(whole)
        raw[at] ^= 1
        journal.write_bytes(raw)
        lose_index(tmp_path)
        volume = rebuilt(tmp_path, pack_size=256 * KIB)
        assert all(prove(volume, key) for key in keys)
        assert volume.tallies.take_damage()[Damage.JOURNAL] == 1
        volume.close()
