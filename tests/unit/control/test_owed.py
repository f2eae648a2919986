"""The book of what volumes owe: kept with each of them, so that no single dead one takes it along."""

import asyncio
import json
import os
import threading
import uuid
from pathlib import Path

import pytest

from edge.control import owed as book
from edge.control.owed import PAY_AGAIN_MOST, Owed, from_json, pay_again_after, to_json
from edge.policy.purges import Purge, Scope
from edge.store.disk import Disk
from edge.store.files import identity
from edge.store.purgelog import EVERYTHING, EVERYTHING_STALE

NOW = 1_800_000_000.0
FILMS = Purge(Scope.KEY, b"films/a")
TOONS = Purge(Scope.TAG, b"toons", b"site", soft=True)


class Volumes:
    """Directories of volumes, named by letters."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, *names: str) -> None:
        for name in names:
            (self._root / name).mkdir()
            (self._root / name / "volume.json").write_text(json.dumps({"volume": str(uuid.uuid4())}))

    def open(self, configured: str, usable: str | None = None, now: float = NOW) -> Owed:
        """As a start does."""
        return Owed({name: self._root / name for name in configured}, configured if usable is None else usable, now)

    def owed(self, name: str, configured: str = "ab", now: float = NOW) -> list[Purge]:
        """What a volume owes by a start that has all of them."""
        found = self.open(configured, now=now)
        return [what for _, what in found.of(found.who(name))]

    def copy(self, name: str) -> Path:
        return self._root / name / "owed.json"


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    """Two that have been together."""
    made = Volumes(tmp_path)
    made.make("a", "b")
    made.open("ab")
    return made


def test_volumes_that_are_together_owe_nothing_from_start_to_start(volumes: Volumes) -> None:
    assert volumes.owed("a") == volumes.owed("b") == []
    assert volumes.open("ab").absent() == []


@pytest.mark.parametrize("lost", ["a", "b"])
async def test_what_is_owed_is_known_by_whichever_copy_is_left(volumes: Volumes, lost: str) -> None:
    owed = volumes.open("ab")
    assert await owed.add([owed.who("a")], [FILMS, TOONS])
    volumes.copy(lost).unlink()
    assert volumes.owed("a") == [FILMS, TOONS]
    assert volumes.owed("b") == []


async def test_copies_make_one_and_what_any_says_is_done_is_struck_out(volumes: Volumes) -> None:
    owed = volumes.open("ab")
    who = owed.who("a")
    await owed.add([who], [FILMS])
    old = volumes.copy("b").read_bytes()  # a disk that takes no more writes
    await owed.add([who], [TOONS])
    await owed.paid(who, [owed.of(who)[0][0]])
    volumes.copy("b").write_bytes(old)
    assert volumes.owed("a") == [TOONS]


async def test_one_that_is_taken_out_is_made_stale_after_the_purges_that_it_has_missed(volumes: Volumes) -> None:
    owed = volumes.open("b")
    assert len(owed.absent()) == 1
    await owed.add(owed.absent(), [FILMS])
    assert volumes.owed("a") == [EVERYTHING_STALE, FILMS]
    assert volumes.owed("b") == []


async def test_one_whose_directory_cannot_be_had_is_known_by_its_place(volumes: Volumes) -> None:
    owed = volumes.open("ab", usable="b")
    await owed.add(owed.absent(), [FILMS])
    assert volumes.owed("a") == [EVERYTHING_STALE, FILMS]


async def test_one_that_was_never_had_hears_what_was_purged_meanwhile(tmp_path: Path) -> None:
    made = Volumes(tmp_path)
    made.make("b")
    owed = made.open("ab", usable="b")
    await owed.add(owed.absent(), [FILMS])
    made.make("a")
    assert FILMS in made.owed("a")
    assert EVERYTHING_STALE in made.owed("a")


async def test_a_new_one_owes_nothing_at_its_second_start(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    owed = volumes.open("abc")
    volumes.open("abc")
    (tmp_path / "c" / "volume.json").write_text(json.dumps({"volume": str(uuid.uuid4())}))
    await owed.present("c", NOW)
    assert volumes.owed("c", "abc") == []


def test_volumes_that_were_used_each_without_the_other_do_not_trust_what_they_have(volumes: Volumes) -> None:
    volumes.open("a")
    volumes.open("b")
    assert volumes.owed("a") == volumes.owed("b") == [EVERYTHING_STALE]


def test_a_copy_on_a_disk_that_was_full_or_away_says_nothing_of_who_came_later(
    volumes: Volumes, tmp_path: Path
) -> None:
    old = volumes.copy("a").read_bytes()
    (tmp_path / "c").mkdir()
    volumes.open("abc", now=NOW + 1)
    (tmp_path / "c" / "volume.json").write_text(json.dumps({"volume": str(uuid.uuid4())}))
    volumes.open("abc", now=NOW + 2)
    for name in "bc":  # as if it had been known since it came
        said = json.loads(volumes.copy(name).read_bytes())
        said["owed"] = {}
        volumes.copy(name).write_text(json.dumps(said))
    volumes.copy("a").write_bytes(old)
    assert [volumes.owed(name, "abc", NOW + 3) for name in "abc"] == [[], [], []]


async def test_one_that_was_away_for_too_long_is_forgotten_and_stale_when_it_comes(volumes: Volumes) -> None:
    late = NOW + book.KNOWN_SECONDS + 1
    owed = volumes.open("b")
    await owed.add(owed.absent(), [TOONS])
    assert volumes.open("b", now=late).absent() == []
    assert volumes.owed("a", now=late) == [EVERYTHING_STALE]


async def test_one_that_is_away_for_too_long_and_owes_a_purge_that_is_not_soft_comes_back_empty(
    volumes: Volumes,
) -> None:
    late = NOW + book.KNOWN_SECONDS + 1
    owed = volumes.open("b")
    await owed.add(owed.absent(), [FILMS])
    again = volumes.open("b", now=late)
    assert [what for _, what in again.of(*again.absent())] == [EVERYTHING]
    await again.add(again.absent(), [TOONS])
    assert [what for _, what in again.of(*again.absent())] == [EVERYTHING], "it grows no more"
    assert volumes.owed("a", now=late) == [EVERYTHING]


@pytest.mark.parametrize("told", [False, True], ids=["configured", "seen in a long run"])
async def test_a_volume_is_not_forgotten_because_a_run_was_long(volumes: Volumes, told: bool) -> None:
    late = NOW + book.KNOWN_SECONDS + 1
    before = volumes.open("ab")
    if told:
        await before.seen(late)
    owed = volumes.open("b", now=late) if told else volumes.open("ab", usable="b", now=late)
    await owed.add(owed.absent(), [TOONS])
    later = late + 1
    assert set(volumes.owed("a", now=later)) == {EVERYTHING_STALE, TOONS}


async def test_what_is_owed_is_in_the_directory_for_certain_before_it_is_said_to_be_written(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owed = volumes.open("ab")

    def fails(fd: int) -> None:
        raise OSError(5, os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(book.os, "fsync", fails)
    assert not await owed.add([owed.who("a")], [FILMS])


def test_only_so_many_are_known(volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "KNOWN_MOST", 2)
    volumes.make("c", "d")
    volumes.open("abcd", now=NOW)
    assert len(volumes.open("d", now=NOW + 1).absent()) == 1
    assert volumes.owed("a", "ad", now=NOW + 2) == volumes.owed("b", "abd", now=NOW + 2) == [EVERYTHING_STALE]


async def test_who_owes_too_much_owes_everything(volumes: Volumes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST", 3)
    owed = volumes.open("ab")
    await owed.add([owed.who("a")], [Purge(Scope.KEY, b"%d" % n) for n in range(4)])
    assert volumes.owed("a") == [EVERYTHING]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": 2, "volumes": 3, "owed": {}}'])
def test_a_copy_that_cannot_be_read_says_nothing_so_all_is_made_stale(volumes: Volumes, raw: bytes) -> None:
    volumes.copy("a").write_bytes(raw)
    owed = volumes.open("ab")
    assert [what for _, what in owed.of(owed.who("a"))] == [EVERYTHING_STALE]
    assert [what for _, what in owed.of(owed.who("b"))] == [EVERYTHING_STALE]


def test_the_book_of_the_program_before_is_understood(volumes: Volumes, tmp_path: Path) -> None:
    for name in "ab":
        volumes.copy(name).unlink()
    volumes.copy("b").write_text(json.dumps({"a": [to_json(FILMS)]}))
    assert volumes.owed("a") == [FILMS]
    assert volumes.owed("b") == []


def test_what_the_program_before_has_added_to_a_book_of_now_is_understood(volumes: Volumes) -> None:
    said = json.loads(volumes.copy("b").read_bytes())
    volumes.copy("b").write_text(json.dumps({**said, "a": [to_json(FILMS)]}))
    assert volumes.owed("a") == [FILMS]
    assert volumes.owed("b") == []


async def test_what_can_be_written_nowhere_is_told_and_holds_for_now(volumes: Volumes, tmp_path: Path) -> None:
    owed = volumes.open("ab")
    for name in "ab":
        (tmp_path / name / "owed.json.new").mkdir()
    assert not await owed.add([owed.who("a")], [FILMS])
    assert [what for _, what in owed.of(owed.who("a"))] == [FILMS]
    (tmp_path / "b" / "owed.json.new").rmdir()
    assert await owed.add([owed.who("a")], [TOONS])
    assert volumes.owed("a") == [FILMS, TOONS]


def test_payments_that_fail_are_tried_ever_more_seldom() -> None:
    pauses = [pay_again_after(0.0)]
    while pauses[-1] < PAY_AGAIN_MOST:
        pauses.append(pay_again_after(pauses[-1]))
        assert pauses[-1] > pauses[-2] > 0
    assert pay_again_after(pauses[-1]) == PAY_AGAIN_MOST


@pytest.mark.parametrize("what", [FILMS, TOONS, EVERYTHING, Purge(Scope.PATH, b"\xff\0")])
def test_a_purge_is_the_same_after_it_was_written(what: Purge) -> None:
    assert from_json(json.loads(json.dumps(to_json(what)))) == what


async def test_a_disk_that_was_slow_gets_what_was_owed_meanwhile(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy had stayed as it was, and may be all that is left."""
    monkeypatch.setattr(book, "SAVE_SECONDS", 0.05)
    owed, write, go_on = volumes.open("ab"), book._try_to_write, threading.Event()

    def slow(directory: Path, raw: bytes) -> bool:
        if directory.name == "b":
            go_on.wait()
        return write(directory, raw)

    monkeypatch.setattr(book, "_try_to_write", slow)
    assert await owed.add([owed.who("a")], [FILMS])
    assert await owed.add([owed.who("a")], [TOONS])
    go_on.set()
    async with asyncio.timeout(10):
        while volumes.copy("b").read_bytes() != volumes.copy("a").read_bytes():
            await asyncio.sleep(0.01)
    volumes.copy("a").unlink()
    assert volumes.owed("a") == [FILMS, TOONS]


async def test_a_damaged_description_of_a_volume_makes_it_no_other_one(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    made = identity(Disk(), tmp_path / "c")
    owed = volumes.open("abc")
    await owed.add([owed.who("c")], [FILMS])
    description = tmp_path / "c" / "volume.json"
    said, digit = description.read_text(), str(made.volume)[0]
    other = "a" if digit != "a" else "b"
    description.write_text(said.replace(str(made.volume), other + str(made.volume)[1:]))
    assert FILMS in volumes.owed("c", "abc")
    assert volumes.open("abc").absent() == []
