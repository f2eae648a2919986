"""An index is trusted where it is what the last run left, and only there; no number is handed out twice.

What a power loss leaves of an index that was not on the disk, or a file system that was mounted anew, is made here by
putting other bytes, or another file, in its place.
"""

import shutil
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import StoreError
from edge.store import files
from edge.store.disk import Disk
from edge.store.files import identity, is_remembered, remember
from edge.store.index import Index
from edge.store.marks import read_mark
from edge.store.tables import open_environment
from edge.store.volume import Volume
from edge.words import MIB, Damage, Eviction
from tests.support.rebuilding import finish_rebuild, rebuilt
from tests.support.volumes import FailingDisk, name, open_volume, prove, put, settings

KEYS = [f"/{number}" for number in range(12)]
BIG, PART, TOTAL = "/big", 70_000, 420_000


def the_file(directory: Path) -> Path:
    (index,) = (directory / "v").glob("index-*")
    return index / "data.mdb"


def live_twice(directory: Path) -> bytes:
    """Two runs that stop cleanly; what the index was after the first."""
    volume = open_volume(directory)
    for key in KEYS:
        put(volume, key, 1, 30_000)
    for start in range(0, TOTAL // 2, PART):
        put(volume, BIG, 1, PART, start=start, total=TOTAL)
    volume.close()
    before = the_file(directory).read_bytes()
    volume = open_volume(directory)
    for key in KEYS[:4]:
        put(volume, key, 2, 40_000)
    assert volume.delete(name(volume, KEYS[4]), None, Eviction.INVALIDATED)
    for start in range(TOTAL // 2, TOTAL, PART):
        put(volume, BIG, 1, PART, start=start, total=TOTAL)
    volume.close()
    return before


def prove_all(volume: Volume) -> None:
    for number, key in enumerate(KEYS):
        expected = {0: 40_000} if number < 4 else ({0: 30_000} if number > 4 else None)
        assert prove(volume, key) == expected, key
        record = volume.lookup(name(volume, key))
        assert record is None or record.etag == (b'"2"' if number < 4 else b'"1"')
    assert prove(volume, BIG) == dict.fromkeys(range(0, TOTAL, PART), PART)


def write_back(path: Path, data: bytes) -> None:
    """The same file, which is still in memory."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data)


def older(path: Path, before: bytes) -> None:
    write_back(path, before)


def empty(path: Path, _before: bytes) -> None:
    write_back(path, b"")


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
@pytest.mark.parametrize("lose", [older, empty])
def test_an_index_that_is_not_what_a_clean_stop_left_is_rebuilt_and_nothing_is_lost(
    tmp_path: Path, lose: Callable[[Path, bytes], None], boot: str
) -> None:
    before = live_twice(tmp_path)
    lose(the_file(tmp_path), before)
    volume = rebuilt(tmp_path, boot=boot)
    prove_all(volume)
    volume.close()
    volume = open_volume(tmp_path, boot="boot-3")
    assert not volume.rebuilding
    prove_all(volume)
    volume.close()


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_an_index_that_was_written_to_after_a_clean_stop_is_trusted_only_while_it_is_in_memory(
    tmp_path: Path, boot: str
) -> None:
    """Power may fail in the middle of a start: of what that has written, some pages came to the disk."""
    live_twice(tmp_path)
    env = open_environment(the_file(tmp_path).parent, 64 * MIB, readonly=False)
    meta = env.open_db(b"meta", create=False)
    with env.begin(write=True) as txn:
        txn.put(b"scrubbed", b"1", db=meta)
    env.close()
    volume = open_volume(tmp_path, boot=boot)
    assert volume.rebuilding == (boot == "boot-2")
    finish_rebuild(volume)
    prove_all(volume)
    volume.close()


def test_a_clean_stop_brings_the_index_to_the_disk_before_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    sync = Index.sync

    def syncing(index: Index, disk: Disk) -> None:
        mark = read_mark(tmp_path / "v" / "clean")
        assert mark is not None
        sync(index, disk)
        said.append((mark.clean, index.transaction()))

    monkeypatch.setattr(Index, "sync", syncing)
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.close()
    mark = read_mark(tmp_path / "v" / "clean")
    assert mark is not None
    assert mark.clean
    assert said == [(False, mark.transaction)], "nothing was written after it"


def test_an_index_that_cannot_be_brought_to_the_disk_is_trusted_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_index: Index, _disk: Disk) -> None:
        raise StoreError("index: mdb_env_sync: Input/output error")

    live_twice(tmp_path)
    volume = open_volume(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "sync", failing)
        with pytest.raises(StoreError):
            volume.close()
    volume = rebuilt(tmp_path)
    prove_all(volume)
    volume.close()


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("what", ["the index", "the packs"])
def test_a_file_system_mounted_anew_is_as_good_as_another_boot(tmp_path: Path, clean: bool, what: str) -> None:
    """A file has another inode in memory then; on the disk it is the same."""
    live_twice(tmp_path)
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    first = volume.first_pack
    volume.flush_journals()
    volume.close(clean=clean)
    path = the_file(tmp_path) if what == "the index" else tmp_path / "v" / "edge.lock"
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)
    volume = open_volume(tmp_path)
    assert volume.rebuilding == (not clean)
    if not clean:
        assert volume.hello.suspect_from < first < volume.hello.suspect_to, "it may not have come to the disk"
    finish_rebuild(volume)
    prove_all(volume)
    assert prove(volume, "/a") == {0: 1000}
    volume.close()


def test_a_file_is_known_again_until_it_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a")
    with path.open() as file:
        assert not is_remembered(file.fileno())
        assert remember(file.fileno())
    with path.open() as file:
        assert is_remembered(file.fileno())
    path.write_bytes(b"b")
    with path.open() as file:
        assert is_remembered(file.fileno())
    (tmp_path / "new").write_bytes(b"b")
    (tmp_path / "new").rename(path)
    with path.open() as file:
        assert not is_remembered(file.fileno())


def test_an_empty_index_beside_packs_that_hold_something_is_rebuilt_also_where_it_might_be_right(
    tmp_path: Path,
) -> None:
    volume = open_volume(tmp_path)
    the_file(tmp_path).with_name("early").write_bytes(the_file(tmp_path).read_bytes())
    put(volume, "/a", 1, 1000)
    volume.flush_journals()
    volume.close(clean=False)
    write_back(the_file(tmp_path), the_file(tmp_path).with_name("early").read_bytes())
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") == {0: 1000}
    volume.close()


def test_an_index_that_the_last_keeper_died_of_is_rebuilt_and_counted(tmp_path: Path) -> None:
    live_twice(tmp_path)
    volume = Volume.open(tmp_path / "v", settings(tmp_path), clock=FakeClock(), boot="boot-1", distrust=True)
    assert volume.rebuilding
    assert volume.tallies.take_damage() == {Damage.INDEX_PAGES: 1}
    finish_rebuild(volume)
    prove_all(volume)
    volume.close()


def test_a_worker_that_found_the_index_damaged_ends_the_keeper_that_has_it_and_no_later_one(tmp_path: Path) -> None:
    ended: list[str] = []
    live_twice(tmp_path)
    made = settings(tmp_path)
    volume = Volume.open(tmp_path / "v", made, clock=FakeClock(), boot="boot-1", end=ended.append)
    volume.lose_index(volume.epoch - 1)
    assert ended == []
    volume.lose_index(volume.epoch)
    assert ended == ["a worker has found the index damaged: it will be rebuilt"]
    volume.close(clean=False)
    for rebuilding in (True, False):
        volume = open_volume(tmp_path)
        assert volume.rebuilding == rebuilding
        assert volume.tallies.take_damage() == ({Damage.INDEX_PAGES: 1} if rebuilding else {})
        finish_rebuild(volume)
        prove_all(volume)
        volume.close()


# -- numbers ---------------------------------------------------------------------------------------


def gone(path: Path, _before: bytes) -> None:
    path.unlink()


def emptied(path: Path, _before: bytes) -> None:
    path.write_bytes(b"")


def cut(path: Path, _before: bytes) -> None:
    path.write_bytes(path.read_bytes()[:20])


def as_it_was(path: Path, before: bytes) -> None:
    path.write_bytes(before)


def with_a_flipped_bit_in_each_slot(path: Path, _before: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[16] ^= 1
    raw[4096 + 24] ^= 4
    path.write_bytes(raw)


def with_a_flipped_bit_in_the_newer_slot(path: Path, _before: bytes) -> None:
    raw = bytearray(path.read_bytes())
    newer = max((0, 4096), key=lambda at: struct.unpack_from("<QQ", raw, at + 16))
    raw[newer + 16] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("index", ["trusted", "lost", "lost, and the mark"])
@pytest.mark.parametrize(
    "damage",
    [gone, emptied, cut, as_it_was, with_a_flipped_bit_in_each_slot, with_a_flipped_bit_in_the_newer_slot],
)
def test_no_number_is_handed_out_twice_whatever_becomes_of_the_counter(
    tmp_path: Path, damage: Callable[[Path, bytes], None], index: str
) -> None:
    """Else rows of one object would take the place of another's, and all checksums would be right."""
    volume = open_volume(tmp_path, size_bytes=64 << 20)
    counter = tmp_path / "v" / "counter"
    put(volume, "/first", 1, 1000)
    before = counter.read_bytes()
    volume.close()
    volume = open_volume(tmp_path, size_bytes=64 << 20)
    known = [put(volume, BIG + str(n), 1, TOTAL).generation for n in range(5)]
    packs = set(volume.packs.all)
    volume.close()
    damage(counter, before)
    if index != "trusted":
        shutil.rmtree(the_file(tmp_path).parent)
    if index == "lost, and the mark":
        (tmp_path / "v" / "clean").unlink()
    volume = open_volume(tmp_path, size_bytes=64 << 20)
    assert volume.rebuilding == (index != "trusted")
    new = [put(volume, f"/new{n}", 1, TOTAL).generation for n in range(5)]
    assert min(new) > max(known)
    assert min(volume.packs.all.keys() - packs) > max(packs)
    finish_rebuild(volume)
    for n in range(5):
        for key in (BIG + str(n), f"/new{n}"):
            assert sum((prove(volume, key) or {}).values()) == TOTAL, key
    volume.close()
    volume = open_volume(tmp_path, size_bytes=64 << 20)
    assert volume.new_generation() > max(new)
    volume.close()


def test_the_index_says_how_far_numbers_have_got_also_where_all_packs_have_gone(tmp_path: Path) -> None:
    open_volume(tmp_path).close()
    before = (tmp_path / "v" / "counter").read_bytes()
    volume = open_volume(tmp_path)
    for number in range(3):
        put(volume, f"/{number}", 1, 3_000_000)
    newest, last = max(volume.packs.all), volume.new_generation()
    put(volume, "/c", 1, 1000)
    volume.close()
    shutil.rmtree(tmp_path / "v" / "packs")
    (tmp_path / "v" / "counter").write_bytes(before)
    volume = open_volume(tmp_path)
    assert volume.new_generation() > last
    assert volume.reserve(10).pack > newest
    volume.close()


def test_a_flipped_bit_in_the_description_of_a_volume_is_mended_from_its_copy(tmp_path: Path) -> None:
    directory = tmp_path / "v"
    directory.mkdir()
    made = identity(Disk(), directory)
    path = directory / files.IDENTITY
    raw = path.read_bytes()
    for at in range(len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 1 << at % 7
        path.write_bytes(damaged)
        assert identity(Disk(), directory) == made
        assert path.read_bytes() == raw
    path.unlink()
    assert identity(Disk(), directory) == made
    assert path.read_bytes() == raw
    (directory / files.IDENTITY_COPY).write_bytes(b"")
    assert identity(Disk(), directory) == made
    assert (directory / files.IDENTITY_COPY).read_bytes() == raw


def test_the_description_of_an_earlier_program_gets_its_sum_and_its_copy(tmp_path: Path) -> None:
    known = uuid.uuid4()
    (tmp_path / "volume.json").write_text(f'{{"format": 1, "volume": "{known}", "key": "{"0f" * 16}", "created": 7}}')
    found = identity(Disk(), tmp_path)
    assert (found.volume, found.secret) == (known, b"\x0f" * 16)
    assert (tmp_path / "volume.copy.json").read_bytes() == (tmp_path / "volume.json").read_bytes()
    assert b'"sum"' in (tmp_path / "volume.json").read_bytes()


# -- what killed runs leave ------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class DyingDisk(Disk):
    """Ends the process at a call for a file whose name ends so."""

    def __init__(self, call: str, ending: str) -> None:
        self._call, self._ending = call, ending

    def unlink(self, path: Path) -> None:
        if self._call == "unlink" and path.name.endswith(self._ending):
            raise Killed
        super().unlink(path)

    def rename(self, source: Path, target: Path) -> None:
        if self._call == "rename" and target.name.endswith(self._ending):
            raise Killed
        super().rename(source, target)


def left_over(directory: Path) -> list[str]:
    packs = directory / "v" / "packs"
    journals = [path.name for path in packs.glob("*.journal") if not path.with_suffix(".pack").exists()]
    return journals + [path.name for path in (directory / "v").rglob("*.new")]


def test_a_kill_between_the_two_deletions_of_a_pack_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, disk=DyingDisk("unlink", ".journal"))
    for number in range(5):
        put(volume, f"/{number}", 1, 3_000_000)

    def evict() -> None:
        while volume.evict_step(keep=False):
            pass

    with pytest.raises(Killed):
        evict()
    volume.close(clean=False)
    assert len(left_over(tmp_path)) == 1
    volume = open_volume(tmp_path)
    assert left_over(tmp_path) == []
    assert any(prove(volume, f"/{number}") for number in range(5))
    volume.close()


@pytest.mark.parametrize("ending", [".journal", "clean", "purges", "popularity"])
def test_a_kill_before_a_draft_takes_its_place_leaves_nothing_after_the_next_start(tmp_path: Path, ending: str) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.close(clean=False)  # the next start completes its journal
    opened: list[Volume] = []

    def live() -> None:
        opened.append(open_volume(tmp_path, disk=DyingDisk("rename", ending)))
        opened[0].room.remember()

    with pytest.raises(Killed):
        live()
    for each in opened:
        each.close(clean=False)
    assert len(left_over(tmp_path)) == 1
    volume = open_volume(tmp_path)
    assert left_over(tmp_path) == []
    assert prove(volume, "/a") == {0: 1000}
    volume.close()


def test_a_journal_that_cannot_be_completed_costs_no_index(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.close(clean=False)
    disk = FailingDisk(1, for_ever=True, where=".journal")
    volume = open_volume(tmp_path, disk=disk)
    assert disk.failed
    assert not volume.rebuilding
    assert prove(volume, "/a") == {0: 1000}
    disk.for_ever, disk.left = False, 1 << 60
    volume.close(clean=False)
    open_volume(tmp_path).close()
    shutil.rmtree(the_file(tmp_path).parent)
    volume = open_volume(tmp_path)
    finish_rebuild(volume)
    assert prove(volume, "/a") == {0: 1000}, "the next start has written it"
    volume.close()
