"""The scrubber and `edge inspect --verify` find what is bad where nobody reads, and disturb nobody."""

import asyncio
import contextlib
import errno
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from edge.cli.main import main
from edge.clock import FakeClock
from edge.config.schema import ScrubSection, Settings
from edge.runtime.convert import scrub_settings
from edge.store import journal
from edge.store.disk import Disk
from edge.store.doubts import volume_id
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.reader import Reader
from edge.store.residency import Residency
from edge.store.scrub import BadExtent, Scrubber, ScrubSettings
from edge.store.tables import extent_key
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage, Eviction
from tests.scenario.test_cold_and_odd import drop_pages
from tests.support.rebuilding import finish_rebuild, lose_index
from tests.support.volumes import FailingDisk, name, open_volume, prove, put


def scrubber_of(
    volume: Volume,
    found: list[BadExtent],
    noted: list[int],
    after: int = 0,
    mend: Callable[[int], None] = lambda pack: None,
) -> Scrubber:
    settings = ScrubSettings(1 << 40, 86400.0, lambda now: 0.0)
    return Scrubber(
        volume.inspector(),
        volume.index,
        lambda: list(volume.packs.all),
        settings,
        FakeClock(),
        found.append,
        noted.append,
        after,
        mend,
    )


def spoil(volume: Volume, key: str, at: int) -> None:
    record = volume.lookup(name(volume, key))
    assert record is not None
    assert record.first is not None
    with volume.packs.pack_path(record.first.pack).open("r+b") as file:
        file.seek(record.first.offset + at)
        byte = file.read(1)[0]
        file.seek(record.first.offset + at)
        file.write(bytes((byte ^ 4,)))


def test_a_pass_reads_all_and_finds_what_is_bad_and_only_that(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(12):
        put(volume, f"/{n}", 1, 90_000 + n)
    spoil(volume, "/3", 70_000)
    spoil(volume, "/7", 0)
    found: list[BadExtent] = []
    noted: list[int] = []
    scrubber = scrubber_of(volume, found, noted)
    scrubber.run_pass()
    assert sorted((bad.key, bad.damage) for bad in found) == [(b"/3", Damage.CORRUPT), (b"/7", Damage.CORRUPT)]
    assert scrubber.take_read_bytes() == sum(90_000 + n for n in range(12))
    assert noted == [*volume.packs.all, 0]
    assert (scrubber.passes, scrubber.progress) == (1, 1.0)
    assert [scrubber.take_found(), scrubber.take_found()] == [2, 0]
    scrubber.close()
    for bad in found:
        volume.mending.found_bad(bad)
    assert volume.evictions[Eviction.CORRUPT] == 2
    assert volume.tallies.take_damage() == {Damage.CORRUPT: 2}
    for n in range(12):
        assert prove(volume, f"/{n}") == ({} if n in (3, 7) else {0: 90_000 + n})
    volume.close()


def test_all_of_a_pack_is_read_however_much_lies_in_it_and_all_packs_again_by_the_next_pass(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(12):
        put(volume, f"/{n}", 1, 30_000)
    spoil(volume, "/6", 10)
    placed = volume.index.placed
    volume.index.placed = lambda pack, after=-1, limit=0: placed(pack, after, 2)  # type: ignore[method-assign]
    found: list[BadExtent] = []
    noted: list[int] = []
    scrubber = scrubber_of(volume, found, noted)
    for number in (1, 2):
        scrubber.run_pass()
        assert [bad.key for bad in found] == [b"/6"] * number
        assert scrubber.take_read_bytes() == 12 * 30_000
    assert noted == [*volume.packs.all, 0] * 2
    assert scrubber.passes == 2
    scrubber.close()
    volume.close()


def test_a_pack_that_is_cut_off_or_gone_is_found(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(9):
        put(volume, f"/{n}", 1, 100_000)
    one, two, *_ = volume.packs.all
    with volume.packs.pack_path(one).open("r+b") as file:
        file.truncate(150_000)
    volume.packs.pack_path(two).unlink()
    found: list[BadExtent] = []
    scrubber = scrubber_of(volume, found, [])
    scrubber.run_pass()
    scrubber.close()
    assert [bad.damage for bad in found] == [Damage.TRUNCATED] * 3
    assert [bad.pack for bad in found] == [one, two, two]
    volume.close()


def test_after_a_start_it_goes_on_behind_the_pack_that_was_noted(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(8):
        put(volume, f"/{n}", 1, 100_000)
    packs = list(volume.packs.all)
    volume.mending.note_scrubbed(packs[1])
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    noted: list[int] = []
    scrubber = scrubber_of(volume, [], noted, volume.index.meta(b"scrubbed"))
    scrubber.run_pass()
    scrubber.close()
    assert noted == [*packs[2:], 0]
    volume.close()


def test_what_it_reads_takes_no_place_in_memory(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, MIB)
    volume.flush_journals()
    drop_pages(tmp_path / "v")
    scrubber = scrubber_of(volume, [], [])
    scrubber.run_pass()
    scrubber.close()
    residency = Residency()
    with volume.packs.pack_path(1).open("rb") as file:
        assert scrubber.take_read_bytes() == MIB
        assert not residency.resident(file.fileno(), 0, 64 * KIB)
    volume.close()


class NoDirect(Disk):
    """A file system without O_DIRECT. `look` is called before a pack is read, with its descriptor."""

    look: Callable[[int], object] = staticmethod(lambda fd: None)

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return super().open(path, flags, mode)

    def pread_pack(self, fd: int, length: int, offset: int) -> bytes:
        self.look(fd)
        return super().pread_pack(fd, length, offset)


@pytest.mark.parametrize("damage", [None, Damage.CORRUPT, Damage.TRUNCATED])
def test_without_o_direct_what_it_reads_is_doubted_meanwhile_and_what_is_bad_after_that(
    tmp_path: Path, damage: Damage | None
) -> None:
    disk = NoDirect()
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 100_000)
    if damage is Damage.CORRUPT:
        spoil(volume, "/a", 70_000)
    (placed,) = volume.index.placed(1)
    doubted = partial(volume.room.doubts.cover, volume_id(volume.directory), 1, placed.offset, placed.offset + 1)
    asked: list[bool] = []
    disk.look = lambda fd: asked.append(doubted())
    inspector = volume.inspector()
    if damage is Damage.TRUNCATED:
        os.truncate(volume.packs.pack_path(1), placed.offset + 50_000)
    found = inspector.look(placed)
    assert (found.damage if found is not None else None) is damage
    assert asked == [True]
    assert doubted() == (damage is not None), "its pages are in memory, and would count as verified"
    inspector.close()
    volume.close()


def test_a_journal_is_read_from_the_disk_and_not_from_memory(tmp_path: Path) -> None:
    class Watched(Disk):
        seen: ClassVar[list[int]] = []

        def pread(self, fd: int, length: int, offset: int) -> bytes:
            self.seen.append(Residency().cached(fd, 0, os.fstat(fd).st_size))
            return super().pread(fd, length, offset)

    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(8):
        put(volume, f"/{n}", 1, 90_000)
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB, disk=Watched())
    with volume.packs.journal_path(1).open("r+b") as file:
        os.fsync(file.fileno())
        assert file.read()
    Watched.seen.clear()
    inspector = volume.inspector()
    assert inspector.journal(1)[0] is None
    assert Watched.seen[0] == 0
    inspector.close()
    volume.close()


def test_what_was_evicted_meanwhile_is_not_reported(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 100_000)
    (placed,) = volume.index.placed(1)
    spoil(volume, "/a", 5)
    inspector = volume.inspector()
    assert inspector.look(placed) is not None
    assert volume.delete(name(volume, "/a"), None, Eviction.PURGE)
    assert inspector.look(placed) is None
    inspector.close()
    volume.close()


def test_outside_of_its_window_it_waits_and_can_be_ended(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 100_000)
    asked: list[float] = []

    def opens_in(now: float) -> float:
        asked.append(now)
        scrubber._stop.set()
        return 3600.0

    settings = ScrubSettings(1 << 40, 1.0, opens_in)
    scrubber = Scrubber(
        volume.inspector(), volume.index, lambda: [1], settings, FakeClock(), lambda bad: None, lambda pack: None
    )
    scrubber.run_pass()
    scrubber.close()
    assert len(asked) == 1
    assert scrubber.take_read_bytes() == 0
    volume.close()


def test_the_window_is_that_of_the_configuration_in_its_own_time_zone() -> None:
    scrub = ScrubSection(rate="5MB", window="02:00-08:00", zone="Asia/Yekaterinburg")
    settings = Settings(scrub=scrub)
    said = scrub_settings(settings)
    assert said.rate == 5_000_000
    assert said.opens_in(0.0) == 0.0  # 05:00 there
    assert said.opens_in(4 * 3600.0) == 17 * 3600.0


@pytest.mark.parametrize("damaged", [False, True])
def test_inspect_verify_lists_what_is_bad_and_says_so_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: bool
) -> None:
    volume = open_volume(tmp_path)
    for n in range(5):
        put(volume, f"/{n}", 1, 50_000)
    if damaged:
        spoil(volume, "/2", 49_000)
    volume.close()
    if damaged:
        journal = next((tmp_path / "v" / "packs").glob("*.journal"))
        raw = bytearray(journal.read_bytes())
        raw[60] ^= 1
        journal.write_bytes(raw)
    assert main(["inspect", "--verify", "--json", str(tmp_path / "v")]) == int(damaged)
    said = json.loads(capsys.readouterr().out)
    assert said["extents"] == 5
    assert said["bytes_read"] == 250_000
    assert len(said["bad"]) == 2 * damaged
    assert main(["inspect", "--verify", str(tmp_path / "v")]) == int(damaged)
    out = capsys.readouterr().out
    assert ("corrupt: /2" in out) == damaged
    assert ("a bad entry at 32" in out) == damaged


def test_inspect_verify_finds_a_pack_that_is_gone_and_one_that_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(9):
        put(volume, f"/{n}", 1, 100_000)
    one, _, three, *_ = volume.packs.all
    volume.close()
    os.truncate(volume.packs.pack_path(one), 150_000)
    volume.packs.pack_path(three).unlink()
    assert main(["inspect", "--verify", "--json", str(tmp_path / "v")]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["extents"] == 9
    assert [line.rpartition(": ")[2] for line in said["bad"]] == ["/1", "/4", "/5"]
    assert all("truncated" in line for line in said["bad"])


def test_an_index_can_be_read_by_another_without_being_made(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    path = volume.index.path
    volume.close()
    index = Index(path, 0, readonly=True)
    assert index.objects() == 1
    index.close()


def open_packs(directory: Path) -> int:
    """Packs under a directory that this process has open, deleted ones as well."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in a thread meanwhile
            found += os.readlink(link).startswith(f"{directory}/v/packs/")
    return found


async def test_a_reader_lets_go_of_packs_that_were_evicted(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    hello = volume.hello
    volume.close()
    LiveTable(Path(hello.live_path), hello.live_bytes, readonly=False).close()
    reader = Reader(hello, FakeClock())
    assert reader.pack_file(1) is not None
    reader.let_go_of_gone_packs()
    assert open_packs(tmp_path) == 1, "what is there stays open"
    (tmp_path / "v" / "packs" / "0000000001.pack").unlink()
    reader.let_go_of_gone_packs()
    async with asyncio.timeout(20):
        while open_packs(tmp_path):  # it is closed in a thread
            await asyncio.sleep(0.005)
    assert reader.pack_file(1) is None
    reader.close()


async def test_a_volume_that_cannot_be_opened_anew_is_unreadable_until_it_can(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    record = put(volume, "/a", 1, 1000)
    a, hello = name(volume, "/a"), volume.hello
    volume.close()
    LiveTable(Path(hello.live_path), hello.live_bytes, readonly=False).close()
    reader = Reader(hello, FakeClock())
    gone = replace(hello, index_path=str(tmp_path / "none"), epoch=hello.epoch + 1)
    for said in (gone, replace(hello, live_path=str(tmp_path / "none"))):
        reader.reopen(said)
        assert reader.unreadable
        assert reader.lookup(a) is None
        assert reader.lookup_live(a) is None
        assert reader.extent_at(replace(record, first=None), 0) is None
    reader.reopen(hello)
    assert not reader.unreadable
    assert reader.lookup(a) is not None
    reader.close()
    at_first = Reader(gone, FakeClock())
    assert at_first.unreadable
    at_first.close()


def spoil_journal(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "where", ["magic", "version", "pack", "a length", "an entry", "the last entry", "its end is gone", "all of it"]
)
def test_a_sealed_journal_that_is_damaged_is_written_anew_from_the_index(tmp_path: Path, where: str) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(8):
        put(volume, f"/{n}", 1, 90_000)
    volume.delete(name(volume, "/5"), None, Eviction.INVALIDATED)
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    pack = list(volume.packs.all)[1]
    path = volume.packs.journal_path(pack)
    length = path.stat().st_size
    places = {"magic": 0, "version": 8, "pack": 12, "a length": 32, "an entry": 100, "the last entry": length - 1}
    if where == "all of it":
        path.write_bytes(b"")
    elif where == "its end is gone":
        os.truncate(path, length - 30)
    else:
        spoil_journal(path, places[where])
    found: list[BadExtent] = []
    bad: list[int] = []
    scrubber = scrubber_of(volume, found, [], mend=bad.append)
    scrubber.run_pass()
    assert (found, bad, scrubber.take_found()) == ([], [pack], 1)
    volume.mending.mend_journal(pack)
    scrubber.run_pass()
    assert (bad, scrubber.take_found()) == ([pack], 0)
    scrubber.close()
    assert volume.tallies.take_damage() == {Damage.JOURNAL: 1}
    volume.close()
    lose_index(tmp_path)
    volume = open_volume(tmp_path, boot="boot-2", pack_size=256 * KIB)
    finish_rebuild(volume)
    assert volume.tallies.take_damage()[Damage.JOURNAL] == 0
    assert [prove(volume, f"/{n}") for n in (0, 1, 2, 3, 4, 6, 7)] == [{0: 90_000}] * 7
    volume.close()


def test_a_journal_that_is_being_written_to_is_not_looked_at_nor_one_whose_pack_has_gone(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(8):
        put(volume, f"/{n}", 1, 90_000)
    volume.flush_journals()
    (active,) = [pack.number for pack in volume.packs.actives.values()]
    spoil_journal(volume.packs.journal_path(active), 100)
    bad: list[int] = []
    scrubber = scrubber_of(volume, [], [], mend=bad.append)
    scrubber.run_pass()
    assert bad == []
    volume.mending.mend_journal(active)
    volume.mending.mend_journal(999)
    assert volume.tallies.take_damage() == {}
    scrubber.close()
    volume.close()


@pytest.mark.parametrize("table", [b"names", b"extents"])
def test_a_row_of_the_index_that_is_damaged_is_found_counted_and_forgotten(tmp_path: Path, table: bytes) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=128 * KIB)
    put(volume, "/a", 1, 64 * KIB, start=64 * KIB, total=128 * KIB)
    put(volume, "/b", 1, 90_000)
    a = volume.lookup(name(volume, "/a"))
    assert a is not None
    key = name(volume, "/a") if table == b"names" else extent_key(a.generation, 64 * KIB)
    tables = volume.index._tables
    with tables.env.begin(write=True) as txn:
        db = tables.names if table == b"names" else tables.extents
        raw = bytearray(txn.get(key, db=db))
        raw[20] ^= 1
        txn.put(key, bytes(raw), db=db)
    found: list[BadExtent] = []
    scrubber = scrubber_of(volume, found, [])
    scrubber.run_pass()
    for bad in found:
        volume.mending.found_bad(bad)
    assert {bad.damage for bad in found} == {Damage.INDEX}
    assert volume.tallies.take_damage()[Damage.INDEX] == len(found) > 0
    assert volume.evictions[Eviction.CORRUPT] >= 1
    found.clear()
    scrubber.run_pass()
    assert found == []
    scrubber.close()
    assert prove(volume, "/a") == (None if table == b"names" else {0: 64 * KIB})
    assert prove(volume, "/b") == {0: 90_000}
    with tables.env.begin() as txn:
        assert txn.stat(tables.extents)["entries"] == 0
    put(volume, "/a", 1, 64 * KIB, start=64 * KIB, total=128 * KIB)
    assert prove(volume, "/a") == ({} if table == b"names" else {0: 64 * KIB}) | {64 * KIB: 64 * KIB}
    volume.close()


def test_long_journals_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PIECE", 700)
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(200):
        put(volume, f"/{n}", 1, 1000)
    volume.close()
    for path in (tmp_path / "v" / "packs").glob("*.journal"):
        raw, pack, whose = path.read_bytes(), int(path.stem), volume._opened.identity.volume

        def whole(what: bytes, pack: int = pack, whose: uuid.UUID = whose) -> bool:
            return journal.is_whole(lambda length, begin: what[begin : begin + length], pack, whose)

        assert whole(raw)
        assert not any(whole(raw[:at]) for at in range(0, len(raw), 97))
        assert not any(whole(raw[:at] + bytes((raw[at] ^ 8,)) + raw[at + 1 :]) for at in range(13, len(raw), 397))
        assert not whole(raw + b"x")


def test_a_journal_that_the_disk_does_not_give_once_keeps_its_deletions(tmp_path: Path) -> None:
    """It had been written anew with what the index has, and of deletions that has nothing."""
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    for n in range(8):
        put(volume, f"/{n}", 1, 90_000)
    volume.close()
    volume = open_volume(tmp_path, pack_size=256 * KIB)
    put(volume, "/x", 1, 1000)
    for n in range(8):
        volume.delete(name(volume, f"/{n}"), None, Eviction.INVALIDATED)
    volume.close()
    disk = FailingDisk(0)
    volume = open_volume(tmp_path, pack_size=256 * KIB, disk=disk)
    pack = max(volume.packs.all)
    path = volume.packs.journal_path(pack)
    before = path.read_bytes()
    found: list[BadExtent] = []
    bad: list[int] = []
    scrubber = scrubber_of(volume, found, [], after=pack - 1, mend=bad.append)
    for nth in (3, 4):  # it is opened, or read: the only object's extent comes first
        disk.arm(nth)
        scrubber.run_pass()
        scrubber._after = pack - 1
        assert disk.failed
        assert (bad, [each.damage for each in found], scrubber.take_found()) == ([], [Damage.STORE_FAILED], 1)
        assert volume.mending.found_bad(found.pop()) is None
        assert volume.tallies.take_damage() == {Damage.STORE_FAILED: 1}
    scrubber.close()
    disk.arm(2)
    with pytest.raises(OSError, match="Input"):
        volume.mending.mend_journal(pack)
    assert path.read_bytes() == before
    volume.mending.mend_journal(pack)
    assert path.read_bytes() == before
    volume.close()


def test_a_journal_of_a_version_that_it_cannot_have_is_mended_with_its_deletions(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.delete(name(volume, "/a"), None, Eviction.INVALIDATED)
    volume.close()
    volume = open_volume(tmp_path)
    path = volume.packs.journal_path(1)
    before = path.read_bytes()
    path.write_bytes(before[:8] + bytes([before[8] ^ 2]) + before[9:])
    volume.mending.mend_journal(1)
    assert path.read_bytes() == before
    volume.close()
