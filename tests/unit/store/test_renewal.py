"""A large index is built beside the one that serves; what happens meanwhile is in it when it takes its place."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from edge.clock import FakeClock
from edge.policy.purges import Purge, Scope
from edge.store import files
from edge.store.bulk.builder import Builder
from edge.store.bulk.order import Answer, Order
from edge.store.disk import Disk
from edge.store.doubts import KEEPER
from edge.store.hits import Shared, create_hits_file
from edge.store.index import Index
from edge.store.live import split_live
from edge.store.looking import ReadIndex
from edge.store.reader import Reader
from edge.store.record import Flag
from edge.store.renewal import Renewal
from edge.store.thread import StoreThread
from edge.store.version import EPOCH_SHIFT, Versions, epoch_mark, marked_epoch
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage, Eviction
from tests.support.building import BuilderThatFails, use_builder
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt, rows
from tests.support.volumes import SLICE, name, open_volume, prove, put, settings
from tests.unit.store.test_rebuild import live_a_little

PACK = 256 * KIB


def filled(directory: Path, count: int = 12) -> None:
    """Objects `/0` and so on in as many packs as they take, and no index."""
    volume = open_volume(directory, pack_size=PACK)
    for number in range(count):
        put(volume, f"/{number}", 1, 100_000)
    volume.close()
    lose_index(directory)


def opened(directory: Path, **more: object) -> Volume:
    """With the newest pack read, and the builder at work."""
    volume = open_volume(directory, pack_size=PACK, **more)
    while not volume.rebuild_waits:
        assert volume.rebuild_step()
    return volume


def filled_and_opened(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    filled(directory)
    use_builder(monkeypatch)
    return opened(directory)


def lived_and_lost(directory: Path, monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> Volume:
    """Open, and nothing of it rebuilt yet."""
    live_a_little(directory, rng)
    lose_index(directory)
    use_builder(monkeypatch)
    return open_volume(directory, pack_size=PACK)


def indexes(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "v").iterdir() if path.name.startswith(("index-", "rebuild-")))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_built_is_what_steps_make_of_the_same_journals_purges_and_moved_extents_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    live_a_little(tmp_path, rng)
    volume = open_volume(tmp_path, pack_size=PACK)
    for number in range(10):
        volume.purges.do_now(Purge(Scope.KEY, b"/%d" % rng.randrange(60), soft=number % 2 == 0))
        volume.purges.do_now(Purge(Scope.TAG, b"%d" % rng.randrange(120), soft=number % 2 == 1))
    for number in range(10):
        put(volume, f"/{rng.randrange(60)}", 1000 + number, rng.randrange(1, 30_000))
    for _ in range(4):
        volume.evict_step()
    volume.close()
    lose_index(tmp_path)
    rebuilt(tmp_path, pack_size=PACK).close()
    by_steps = rows(tmp_path)
    assert by_steps[b"names"]
    lose_index(tmp_path)
    use_builder(monkeypatch)
    volume = rebuilt(tmp_path, pack_size=PACK)
    assert volume.epoch > 1
    volume.close()
    assert rows(tmp_path) == by_steps


def test_processes_of_their_own_build_it_and_nothing_of_them_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_a_little(tmp_path, random.Random(7))
    lost = rows(tmp_path)
    lose_index(tmp_path)
    use_builder(monkeypatch, None)
    monkeypatch.setattr("edge.store.opening.processes", lambda: 2)
    volume = open_volume(tmp_path, pack_size=PACK)
    assert isinstance(volume._rebuild, Renewal)
    finish_rebuild(volume)
    volume.close()
    assert rows(tmp_path) == lost
    assert len(indexes(tmp_path)) == 1
    volume = open_volume(tmp_path, pack_size=PACK)
    assert not volume.rebuilding
    volume.close()


def test_what_is_newest_is_there_before_anything_is_built_and_progress_never_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled_and_opened(tmp_path, monkeypatch)
    assert prove(volume, "/11") == {0: 100_000}
    assert prove(volume, "/0") is None
    seen = [volume.stats().rebuild_progress]
    while volume.rebuild_step():
        assert volume.stats().rebuilding
        seen.append(volume.stats().rebuild_progress)
    assert seen == sorted(seen)
    assert seen[-1] < volume.stats().rebuild_progress == 1.0
    assert all(prove(volume, f"/{number}") == {0: 100_000} for number in range(12))
    volume.close()


class SlowClock:
    """Each look at it takes 15 ms."""

    def __init__(self) -> None:
        self._now = 0.0

    def perf_counter(self) -> float:
        self._now += 0.015
        return self._now


def test_what_came_meanwhile_is_brought_into_the_new_index_in_steps_of_20_ms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.catchup.time", SlowClock())
    monkeypatch.setattr("edge.store.catchup.NAMES", 2)  # between two looks at the clock
    volume = filled_and_opened(tmp_path, monkeypatch)
    for number in range(20, 31):
        put(volume, f"/{number}", 1, 1000)
    assert isinstance(volume._rebuild, Renewal)
    touched, left = volume._rebuild._meanwhile.touched, list[int]()
    assert len(touched) >= 11
    while volume.rebuild_step():
        left.append(len(touched))
    assert left[-1] <= 2
    assert max(before - after for before, after in itertools.pairwise(left)) == 2
    assert all(prove(volume, f"/{number}") == {0: 1000} for number in range(20, 31))
    volume.close()


def test_what_is_committed_deleted_refreshed_and_purged_meanwhile_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled_and_opened(tmp_path, monkeypatch)
    put(volume, "/0", 2, 50_000)  # of a name that is not known yet
    put(volume, "/12", 1, 70_000)
    volume.delete(name(volume, "/1"), None, Eviction.INVALIDATED)
    volume.delete(name(volume, "/11"), None, Eviction.INVALIDATED)
    volume.purges.do_now(Purge(Scope.KEY, b"/2"))
    volume.purges.do_now(Purge(Scope.KEY, b"/3", soft=True))
    put(volume, "/2", 3, 30_000)
    finish_rebuild(volume)
    assert prove(volume, "/0") == {0: 50_000}
    assert prove(volume, "/12") == {0: 70_000}
    assert prove(volume, "/1") is None
    assert prove(volume, "/11") is None
    assert prove(volume, "/2") == {0: 30_000}
    stale = volume.lookup(name(volume, "/3"))
    assert stale is not None
    assert stale.flags & Flag.STALE
    assert all(prove(volume, f"/{number}") == {0: 100_000} for number in range(4, 11))
    before = {entry.name for pack in volume.packs.all for entry in volume.index.placed(pack)}
    assert before == {name(volume, f"/{number}") for number in (0, *range(2, 11), 12)}
    volume.close()
    lost = rows(tmp_path)
    lose_index(tmp_path)
    monkeypatch.undo()
    rebuilt(tmp_path, pack_size=PACK).close()
    assert rows(tmp_path) == lost, "and the next rebuild says the same"


def something(volume: Volume, rng: random.Random, number: int) -> None:
    """What may happen to a volume, but for evictions."""
    key = f"/{rng.randrange(70)}"
    known = volume.lookup(name(volume, key))
    match rng.randrange(8):
        case 0:
            volume.delete(name(volume, key), None, Eviction.INVALIDATED)
        case 1 if known is not None and volume.packs.active is not None:
            volume.refresh(name(volume, key), replace(known, fresh_until=float(number), tags=(b"b",)))
        case 2 | 3:
            start = SLICE * rng.randrange(4)
            if known is None or start not in {extent.start for extent in volume.extents(known)}:
                put(
                    volume,
                    key,
                    1 if known is None else int(known.etag.strip(b'"')),
                    SLICE,
                    start=start,
                    total=5 * SLICE,
                )
        case 4:
            scope = rng.choice([Scope.KEY, Scope.TAG])
            text = key.encode() if scope is Scope.KEY else b"%d" % rng.randrange(120)
            volume.purges.do_now(Purge(scope, text, soft=rng.random() < 0.5))
        case _:
            put(volume, key, 5000 + number, rng.randrange(1, 30_000))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_meanwhile_the_index_afterwards_is_what_the_journals_say_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    volume = lived_and_lost(tmp_path, monkeypatch, rng)
    number = 0
    while volume.rebuild_step():
        for _ in range(rng.randrange(30 if volume.rebuild_waits else 4)):
            something(volume, rng, number)
            number += 1
    assert number > 10
    assert volume.epoch > 1
    volume.close()
    found = rows(tmp_path)
    lose_index(tmp_path)
    monkeypatch.undo()
    rebuilt(tmp_path, pack_size=PACK).close()
    expected = rows(tmp_path)
    for table in (b"names", b"places", b"keys", b"tags", b"extents"):
        assert found[table] == expected[table]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_evicted_meanwhile_places_and_objects_afterwards_are_those_of_packs_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    volume = lived_and_lost(tmp_path, monkeypatch, rng)
    before, number = set(volume.packs.all), 0
    while volume.rebuild_step():
        for _ in range(rng.randrange(1, 4)):
            something(volume, rng, number)
            number += 1
            if rng.random() < 0.3:
                volume.evict_step(keep=rng.random() < 0.5)
    assert before - volume.packs.all.keys()
    places = {(entry.pack, entry.offset) for pack in range(1000) for entry in volume.index.placed(pack)}
    named = set()
    for at in range(70):
        record = volume.lookup(name(volume, f"/{at}"))
        if record is not None:
            found = volume.index.extents(record)
            assert [extent.start for extent in found] == sorted({extent.start for extent in found})
            named |= {(extent.pack, extent.offset) for extent in found}
    assert places == named
    assert {pack for pack, _ in places} <= volume.packs.all.keys()
    volume.close()


def test_a_purge_holds_whenever_it_comes_in_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_builder(monkeypatch)
    filled(tmp_path)
    steps = 0
    while True:
        volume = open_volume(tmp_path, pack_size=PACK)
        done = 0
        while done < steps and volume.rebuild_step():
            done += 1
        over = not volume.rebuilding
        volume.purges.do_now(Purge(Scope.PREFIX, b"/1"))
        finish_rebuild(volume)
        assert [n for n in range(12) if prove(volume, f"/{n}") is None] == [1, 10, 11]
        volume.close(clean=False)
        (tmp_path / "v" / "purges").unlink()  # as if there had been none
        lose_index(tmp_path)
        if over:
            break
        steps += 1
    assert steps > 4


def test_an_extent_that_was_dropped_meanwhile_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path, pack_size=PACK)
    put(volume, "/a", 1, SLICE, total=3 * SLICE)
    volume.close()
    volume = open_volume(tmp_path, pack_size=PACK)
    put(volume, "/a", 1, SLICE, start=SLICE, total=3 * SLICE)
    record = put(volume, "/b", 1, 1000)
    put(volume, "/b", 1, 1000)
    volume.close()
    lose_index(tmp_path)
    volume = open_volume(tmp_path, pack_size=PACK)
    assert volume.rebuild_step() is False
    volume.close()
    lose_index(tmp_path)
    use_builder(monkeypatch)
    volume = opened(tmp_path)
    known = volume.lookup(name(volume, "/b"))
    assert known is not None
    assert known.first is not None
    assert known.generation == record.generation
    assert volume.mending.drop_extent(
        name(volume, "/b"), known.generation, known.first.pack, known.first.offset, Eviction.CORRUPT
    )
    finish_rebuild(volume)
    assert prove(volume, "/b") == {}
    assert prove(volume, "/a") == {0: SLICE, SLICE: SLICE}
    volume.close()


def test_packs_that_are_evicted_meanwhile_are_not_named_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled_and_opened(tmp_path, monkeypatch)
    oldest = min(volume.packs.all)
    while oldest in volume.packs.all:
        assert volume.evict_step(keep=False)
    newer = min(volume.packs.all)
    volume.room._evicting = newer  # and one is under way, with what was known of it
    finish_rebuild(volume)
    assert not volume.index.placed(oldest)
    assert [number for number in range(12) if prove(volume, f"/{number}") is None] == [0, 1]
    while newer in volume.packs.all:
        assert volume.evict_step(keep=False)
    assert not volume.index.placed(newer)
    assert [number for number in range(12) if prove(volume, f"/{number}") is None] == [0, 1, 2, 3]
    volume.close()


def test_a_short_lived_answer_stays_the_only_one_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = filled_and_opened(tmp_path, monkeypatch)
    record = replace(put(volume, "/x", 1, 10), key=b"/0")
    assert volume.put_live(name(volume, "/0"), record, b"0123456789")
    finish_rebuild(volume)
    assert volume.lookup(name(volume, "/0")) is None
    raw = volume.live.raw(name(volume, "/0"))
    assert raw is not None
    assert split_live(raw)[1] == b"0123456789"
    volume.close()


def test_a_run_that_is_killed_meanwhile_is_followed_by_one_that_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_builder(monkeypatch)
    filled(tmp_path)
    reached = 0
    while True:
        volume = open_volume(tmp_path, pack_size=PACK)
        assert volume.rebuilding
        steps = 0
        while steps <= reached and volume.rebuild_step():
            steps += 1
        over = not volume.rebuilding
        volume.close(clean=False)
        if over:
            break
        assert steps == reached + 1
        reached += 1
    volume = open_volume(tmp_path, pack_size=PACK)
    assert not volume.rebuilding
    assert all(prove(volume, f"/{number}") == {0: 100_000} for number in range(12))
    volume.close()
    assert len(indexes(tmp_path)) == 1


def test_where_building_fails_the_journals_are_read_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_builder(monkeypatch, BuilderThatFails)
    live_a_little(tmp_path, random.Random(3))
    lost = rows(tmp_path)
    lose_index(tmp_path)
    rebuilt(tmp_path, pack_size=PACK).close()
    assert rows(tmp_path) == lost
    assert len(indexes(tmp_path)) == 1


def test_a_builder_that_is_killed_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    use_builder(monkeypatch, None)
    built: list[Builder] = []

    class Watched(Builder):
        def __init__(self, *asked: object) -> None:
            super().__init__(*asked)  # type: ignore[arg-type]
            os.kill(self._process.pid, signal.SIGKILL)
            built.append(self)

    monkeypatch.setattr("edge.store.opening.Builder", Watched)
    volume = open_volume(tmp_path, pack_size=PACK)
    finish_rebuild(volume)
    assert len(built) == 1
    assert all(prove(volume, f"/{number}") == {0: 100_000} for number in range(12))
    volume.close()
    assert len(indexes(tmp_path)) == 1


def test_a_journal_that_is_not_whole_is_counted_once_and_what_is_good_in_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    journal = tmp_path / "v" / "packs" / "0000000002.journal"
    raw = bytearray(journal.read_bytes())
    raw[200] ^= 1
    journal.write_bytes(raw)
    use_builder(monkeypatch)
    volume = opened(tmp_path)
    finish_rebuild(volume)
    assert volume.tallies.take_damage()[Damage.JOURNAL] == 1
    assert len([number for number in range(12) if prove(volume, f"/{number}") != {0: 100_000}]) == 1
    assert 2 not in volume.index.whole_journals()
    volume.close()


def test_a_worker_reads_the_new_index_before_it_is_told_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    use_builder(monkeypatch)
    shared = Shared.of(create_hits_file(), KEEPER)
    volume = Volume.open(
        tmp_path / "v", settings(tmp_path, pack_size=PACK), clock=FakeClock(), shared=shared, boot="boot-1"
    )
    while not volume.rebuild_waits:
        assert volume.rebuild_step()
    indexes = {volume.index.path: volume.index._tables}

    class Looking(ReadIndex):
        """A process opens an environment once: what the volume has open is read."""

        def __init__(self, path: Path, map_bytes: int, _bus: object) -> None:
            if path not in indexes and path != volume.index.path:
                raise lmdb.Error("there is none")
            self.unreadable = False
            tables = indexes.setdefault(path, volume.index._tables)
            self._env, self._begin, self._path = tables.env, tables.env.begin, path
            self._names, self._extents = tables.names, tables.extents
            self._lock, self._closing = threading.Lock(), False

        def close(self) -> None:
            pass

    class NothingLive:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr("edge.store.reader.ReadIndex", Looking)
    monkeypatch.setattr("edge.store.reader.LiveTable", NothingLive)
    reader = Reader(volume.hello, FakeClock(), shared)
    before = volume.hello
    assert reader.lookup(name(volume, "/11")) is not None
    assert reader.lookup(name(volume, "/0")) is None
    finish_rebuild(volume)
    assert reader.lookup(name(volume, "/0")) == volume.lookup(name(volume, "/0"))
    volume.purges.do_now(Purge(Scope.KEY, b"/11"))
    assert reader.lookup(name(volume, "/11")) is None
    shared.versions.move(shared.cell, volume.epoch + 1)  # a keeper that has gone before anybody could look
    assert reader.lookup(name(volume, "/4")) is not None
    shared.versions.move(shared.cell, volume.epoch)
    reader.reopen(before)  # what was said before and comes late
    assert reader.lookup(name(volume, "/11")) is None
    reader.reopen(volume.hello)
    assert reader.lookup(name(volume, "/11")) is None
    assert reader.lookup(name(volume, "/4")) is not None
    reader.close()
    volume.close()


def test_an_epoch_is_known_by_its_mark_and_no_mark_is_none() -> None:
    for epoch in (1, 2, 65_534, 65_535, 65_536, 200_000):
        assert epoch_mark(epoch + 1) > 0
        assert epoch_mark(epoch + 1) != epoch_mark(epoch)
        assert marked_epoch(epoch_mark(epoch + 1), epoch) == epoch + 1
        assert marked_epoch(epoch_mark(epoch + 3), epoch) == epoch + 3


def test_a_keeper_that_begins_leaves_it_to_its_hello_which_index_is_read() -> None:
    versions = Versions()
    versions.count_up(3)
    versions.move(3, 7)
    versions.count_up(3)
    assert versions.cells[3] >> EPOCH_SHIFT == epoch_mark(7)
    count = versions.cells[3] & ((1 << EPOCH_SHIFT) - 1)
    versions.begin(3)
    assert versions.cells[3] == count + 1, "counted on: what was remembered of the last run is looked up again"


async def test_workers_are_greeted_when_the_index_has_become_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    use_builder(monkeypatch)
    volume = open_volume(tmp_path, pack_size=PACK)
    before = volume.hello.index_path
    told = asyncio.Event()
    store = StoreThread(volume)
    store.on_trust = lambda _: told.set()
    store.start()
    await asyncio.wait_for(told.wait(), 60)
    assert volume.hello.index_path != before
    assert await store.call(volume.lookup, name(volume, "/0")) is not None
    await store.close()


def test_rows_that_are_out_of_order_are_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a zero in it may end like the row of another one: LMDB leaves such a row out and says nothing."""
    volume = open_volume(tmp_path, pack_size=PACK)
    put(volume, "/a", 1, 1000)
    longer = "/a\0" + name(volume, "/a").decode("latin-1") + "\0"
    record = replace(put(volume, "/b", 1, 1000), key=longer.encode("latin-1"), generation=volume.new_generation())
    volume.commit(b"n" * 16, record, [])
    volume.close()
    volume = open_volume(tmp_path, pack_size=PACK)
    put(volume, "/c", 1, 1000)
    volume.close()
    lost = rows(tmp_path)
    lose_index(tmp_path)
    use_builder(monkeypatch, None)
    rebuilt(tmp_path, pack_size=PACK).close()
    assert rows(tmp_path) == lost, "step by step"


def test_a_builder_ends_with_its_keeper(tmp_path: Path) -> None:
    filled(tmp_path)
    identity = files.identity(Disk(), tmp_path / "v")
    packs = tmp_path / "v" / "packs"
    order = Order(
        str(packs), str(tmp_path / "none"), identity.volume.hex, [*range(1, len([*packs.glob("*.pack")]) + 1)], MIB, 1
    )
    (tmp_path / "build").mkdir()
    order.write(tmp_path / "build")
    command = [sys.executable, "-m", "edge.store.bulk", str(tmp_path / "build")]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert ended.returncode != 0
    assert b"the keeper has gone" in ended.stderr
    assert not (tmp_path / "build" / "answer").exists()


def test_until_a_builder_is_closed_its_number_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    use_builder(monkeypatch, None)
    answered: list[int] = []

    class Watched(Builder):
        def poll(self) -> Answer | None:
            answer = super().poll()
            if answer is not None:
                os.kill(self._process.pid, 0)  # there is such a process, though it has ended
                answered.append(self._process.pid)
            return answer

    monkeypatch.setattr("edge.store.opening.Builder", Watched)
    volume = open_volume(tmp_path, pack_size=PACK)
    finish_rebuild(volume)
    assert volume.epoch > 1
    (pid,) = answered
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    volume.close()


def test_a_hello_names_one_index_also_while_another_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = filled_and_opened(tmp_path, monkeypatch)
    said = []
    become = volume.index.become

    def watched(new: Index) -> None:
        said.append(volume.hello)  # as the loop may ask for it at any moment
        become(new)
        said.append(volume.hello)

    monkeypatch.setattr(volume.index, "become", watched)
    finish_rebuild(volume)
    assert len(said) == 2
    assert all(Path(hello.index_path).name == f"index-{hello.epoch}" for hello in said)
    volume.close()


def in_steps(volume: Volume, purge: Purge) -> Iterator[None]:
    """A purge as a keeper does it: the store does other things between its steps."""
    purging = volume.purges.begin([purge], volume.new_generation())
    yield
    while purging.step():
        yield
    volume.purges.end(purging.sequence)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("between", [1, 2])
@pytest.mark.parametrize("ahead", range(1, 6))
def test_a_purge_under_way_while_the_index_changes_places_forgets_all_that_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int, between: int, soft: bool
) -> None:
    monkeypatch.setattr("edge.store.purging.STEP_SECONDS", 0.0)
    for bound in ("LOOK", "GATHERED_A_STEP", "GATHERED_MOST"):
        monkeypatch.setattr(f"edge.store.purging.{bound}", 2)
    volume = filled_and_opened(tmp_path, monkeypatch)
    for number in (1, 10, 11, 12, 13, 14):
        put(volume, f"/{number}", 2, 20_000)  # younger than the journals, older than the purge
    for _ in range(ahead):
        volume.rebuild_step()
    purging = in_steps(volume, Purge(Scope.PREFIX, b"/1", soft=soft))
    next(purging)
    put(volume, "/15", 1, 10_000)
    for _ in purging:
        for _ in range(between):
            volume.rebuild_step()
    finish_rebuild(volume)
    assert volume.epoch > 1
    found = {number: volume.lookup(name(volume, f"/{number}")) for number in range(16)}
    good = {number for number, record in found.items() if record is not None and not record.flags & Flag.STALE}
    assert good == {0, *range(2, 10), 15}
    there = {number for number, record in found.items() if record is not None}
    assert there == (set(range(16)) if soft else good)
    placed = {entry.name for pack in volume.packs.all for entry in volume.index.placed(pack)}
    assert placed == {name(volume, f"/{number}") for number in there}
    volume.close()
