"""What is not to be seen although the index has it: workers and keeper go by the same list, from the same moment on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.policy.purges import Purge, Scope
from edge.store import unmet
from edge.store.doubts import KEEPER
from edge.store.health import OFF_AFTER, READ_ONLY_AFTER
from edge.store.hits import Shared, create_hits_file
from edge.store.purgelog import EVERYTHING, EVERYTHING_STALE, Purged
from edge.store.record import Flag
from edge.store.settings import VolumeHello
from edge.store.thread import StoreThread
from edge.store.version import Versions
from edge.store.volume import Volume
from tests.support.reading import reader_beside
from tests.support.volumes import name, open_volume, put, settings
from tests.unit.store.test_nothing_comes_back import ENTRY, HEADER, flip, four_purged

A = Purge(Scope.KEY, b"/a")


class Pair:
    """A keeper's volume and a worker's view of it; `hear` has the hello come."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shared = Shared.of(create_hits_file(), KEEPER)
        self.volume = Volume.open(
            directory / "v", settings(directory), clock=FakeClock(), shared=self.shared, boot="boot-1"
        )
        self.reader = reader_beside(self.volume, FakeClock(), monkeypatch, self.shared)

    def hear(self) -> None:
        self.reader.reopen(VolumeHello.from_json(self.volume.hello.to_json()))

    def seen(self, key: str) -> str:
        record = self.reader.lookup(name(self.volume, key))
        return "nothing" if record is None else "stale" if record.flags & Flag.STALE else "fresh"

    def close(self) -> None:
        self.reader.close()
        self.volume.close()


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    made = Pair(tmp_path, monkeypatch)
    for key in ("/a", "/b"):
        put(made.volume, key, 1, 1000)
    for _ in range(3):  # so that they are remembered
        assert made.seen("/a") == made.seen("/b") == "fresh"
    yield made
    made.close()


def test_a_worker_finds_nothing_until_it_has_heard_what_is_not_to_be_seen(pair: Pair) -> None:
    pair.volume.purges.hide([A])
    assert pair.seen("/a") == pair.seen("/b") == "nothing"
    pair.hear()
    assert pair.seen("/a") == "nothing"
    assert pair.seen("/b") == "fresh"


def test_what_is_kept_later_is_seen_and_so_is_all_once_it_is_done(pair: Pair) -> None:
    pair.volume.purges.hide([A])
    pair.hear()
    put(pair.volume, "/a", 2, 1000)
    assert pair.seen("/a") == "fresh"
    pair.volume.purges.hide([A])
    pair.hear()
    assert pair.seen("/a") == "nothing"
    assert pair.volume.purges.met([A], pair.volume._numbers.next_sequence())
    assert pair.seen("/b") == "nothing", "the hello is on its way"
    pair.hear()
    assert pair.seen("/a") == pair.seen("/b") == "fresh"
    assert not pair.volume.purges.met([A], 1 << 60)


def test_what_is_unmet_since_a_purge_has_begun_is_not_met_by_it(pair: Pair) -> None:
    purging = pair.volume.purges.begin([A], pair.volume.new_generation())
    pair.volume.purges.hide([A])
    assert not pair.volume.purges.met([A], purging.sequence)
    pair.hear()
    assert pair.seen("/a") == "nothing"


def test_softly_hidden_objects_are_stale_until_they_are_renewed(pair: Pair) -> None:
    pair.volume.purges.hide([EVERYTHING_STALE])
    pair.hear()
    assert pair.seen("/a") == pair.seen("/b") == "stale"
    record = pair.volume.lookup(name(pair.volume, "/a"))
    assert record is not None
    assert pair.volume.refresh(name(pair.volume, "/a"), replace(record, stored_at=9.0))
    assert pair.seen("/a") == "fresh"
    assert pair.seen("/b") == "stale"


def test_the_number_of_what_is_unmet_leaves_epoch_and_count_alone_and_ends_with_its_keeper() -> None:
    versions = Versions()
    versions.move(2, 5)
    epoch = versions.cells[2] >> 48
    versions.hide(2, 255)
    versions.count_up(2)
    assert versions.cells[2] >> 48 == epoch
    assert versions.cells[2] >> 40 & 0xFF == 255
    versions.move(2, 6)
    assert versions.cells[2] >> 40 & 0xFF == 255
    versions.begin(2)
    assert versions.cells[2] >> 40 == 0


def test_each_leave_is_taken_once_and_none_between_is_lost() -> None:
    versions = Versions()
    assert not versions.take_left(2)
    versions.leave(2)
    versions.leave(2)
    versions.begin(2)
    assert [versions.take_left(2), versions.take_left(2)] == [True, False]
    looked = versions.left
    versions.left = lambda cell: (looked(cell), versions.leave(cell))[0]  # type: ignore[method-assign,func-returns-value]
    versions.leave(2)
    assert versions.take_left(2)
    versions.left = looked  # type: ignore[method-assign]
    assert [versions.take_left(2), versions.take_left(2)] == [True, False]


def test_a_volume_is_stale_when_it_comes_back_only_if_workers_have_left_it(pair: Pair) -> None:
    pair.volume.come_back()
    pair.volume.come_back(0)
    pair.hear()
    assert pair.seen("/a") == "fresh"
    pair.shared.versions.leave(0)
    pair.volume.come_back()
    pair.hear()
    assert pair.seen("/a") == "stale"
    assert pair.shared.versions.take_left(0)
    number = pair.volume.purges.unmet_number
    pair.volume.come_back()
    pair.volume.come_back(pair.shared.versions.left_and_taken(0))
    assert pair.volume.purges.unmet_number == number


def test_all_made_stale_in_a_run_that_was_killed_is_seen_to_beside_the_service_and_leaves_what_has_come_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Pair(tmp_path, monkeypatch)
    volume = first.volume
    for key in ("/a", "/b"):
        put(volume, key, 1, 1000)
    volume.purges.begin([EVERYTHING_STALE], volume.generation)
    volume.purges.begin([A], volume.generation)
    put(volume, "/new", 3, 1000)
    first.reader.close()
    volume.close(clean=False)
    again = Pair(tmp_path, monkeypatch)
    assert (again.seen("/a"), again.seen("/b"), again.seen("/new")) == ("nothing", "stale", "fresh")
    record = again.volume.lookup(name(again.volume, "/b"))
    assert record is not None
    assert not record.flags & Flag.STALE, "the start has not waited for it"
    assert again.shared.versions.take_left(0), "somebody is told"
    again.reader.close()
    again.volume.close(clean=False)
    third = Pair(tmp_path, monkeypatch)
    assert third.seen("/b") == "stale", "nor is it forgotten if that one is killed"
    third.close()


def test_a_keeper_hides_what_was_left_after_its_charter_was_written(pair: Pair) -> None:
    pair.shared.versions.leave(0)
    pair.volume.come_back(0)
    pair.hear()
    assert pair.seen("/a") == pair.seen("/b") == "stale"


def test_what_is_too_much_for_a_hello_is_told_as_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmet, "TOLD_MOST", 200)
    soft = unmet.with_more(Purged(), [Purge(Scope.KEY, b"%d" % n, soft=True) for n in range(9)], 7)
    told = unmet.from_hello(unmet.to_hello(soft))
    assert told is not None
    assert [what for what, _ in told.since(-1)] == [EVERYTHING_STALE]
    hard = unmet.from_hello(unmet.to_hello(unmet.with_more(soft, [A], 8)))
    assert hard is not None
    assert [(what, logged.sequence) for what, logged in hard.since(-1)] == [(Purge(Scope.PREFIX, b""), 8)]
    assert unmet.from_hello(unmet.to_hello(Purged())) is None


def test_after_damage_of_the_log_of_purges_all_is_stale_from_the_start_and_somebody_is_to_see_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(four_purged(tmp_path), HEADER + ENTRY + 30)
    pair = Pair(tmp_path, monkeypatch)
    assert pair.seen("/stays") == "stale"
    assert pair.shared.versions.take_left(0)
    pair.close()


@pytest.mark.parametrize("everything", [EVERYTHING, EVERYTHING_STALE], ids=["forgotten", "stale"])
def test_what_is_hidden_one_by_one_is_over_when_everything_is_done(pair: Pair, everything: Purge) -> None:
    """Of a volume that owes too much everything is owed instead: the rest had stayed hidden until its keeper ended."""
    purges, soft = pair.volume.purges, replace(A, soft=True)
    purges.hide([A, Purge(Scope.PREFIX, b"/films"), soft])
    done = purges.begin([everything], pair.volume.new_generation())
    later = purges.hide([Purge(Scope.KEY, b"/b", soft=True)])  # of what may have come since it has begun
    assert purges.met([everything], done.sequence, [purges.hide([everything])])
    left = {what for what, _ in purges.unmet.since(-1)}
    assert soft not in left
    assert (A in left) is everything.soft
    assert [logged.sequence for what, logged in purges.unmet.since(-1) if what.text == b"/b"] == [later]


def test_all_made_stale_that_a_killed_run_had_begun_is_left_until_it_is_done_whatever_is_purged_meanwhile(
    tmp_path: Path,
) -> None:
    """The next start had taken the later purge for the last one of all that was done, and served all as it was."""
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.purges.begin([EVERYTHING_STALE], volume.new_generation())
    for _ in range(3):
        volume.close(clean=False)
        volume = open_volume(tmp_path)
        assert [what for what, _ in volume.purges.unmet.since(-1)] == [EVERYTHING_STALE]
        volume.purges.do_now(Purge(Scope.KEY, b"/b"))
    purging = volume.purges.begin([EVERYTHING_STALE], volume.new_generation())
    while purging.step():
        pass
    assert volume.purges.met([EVERYTHING_STALE], purging.sequence)
    volume.purges.end(purging.sequence)
    volume.close(clean=False)
    volume = open_volume(tmp_path)
    assert not volume.purges.unmet.entries
    volume.close()


async def test_when_a_disk_that_was_off_works_again_all_that_it_has_is_asked_about(pair: Pair) -> None:
    """The others have had its objects meanwhile, perhaps in later versions."""
    volume, store = pair.volume, StoreThread(pair.volume)
    for errors, seen in ((READ_ONLY_AFTER + 1, "fresh"), (OFF_AFTER + 1, "stale")):
        for _ in range(errors):
            volume.health.failed(0.0)
        if volume.hello.off:
            pair.shared.versions.leave(pair.shared.cell)  # as workers do
        store._try_disk()
        assert volume.health.writable
        pair.hear()
        assert pair.seen("/a") == pair.seen("/b") == seen
