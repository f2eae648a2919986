"""Purges in the store: exactly what is meant goes, and no restart or rebuild brings it back."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import FormatUnknown
from edge.policy.purges import Purge, Scope
from edge.store import purging as at_work
from edge.store.purgelog import PurgeLog
from edge.store.record import Extent, Flag, checksum
from edge.store.volume import Volume
from edge.words import KIB, Eviction
from tests.support.rebuilding import finish_rebuild, lose_index, rebuilt
from tests.support.volumes import FailingDisk, name, open_volume, prove, put

KEYS = ("films/a", "films/a?x=1", "films/a?x=2", "films/ab", "films/b/1", "films/b/2", "toons/a", "toons/b/1")


def purge(volume: Volume, what: Purge) -> int:
    """Like the keeper: begun, done in steps, ended."""
    purging = volume.purges.begin([what], volume.new_generation())
    while purging.step():
        pass
    volume.purges.end(purging.sequence)
    return purging.objects


def tag(volume: Volume, key: str, *tags: bytes) -> None:
    """Have an object's record name tags."""
    record = volume.lookup(name(volume, key))
    assert record is not None
    assert volume.refresh(name(volume, key), replace(record, tags=tags))


def there(volume: Volume) -> set[str]:
    return {key for key in KEYS if prove(volume, key) is not None}


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    opened = open_volume(tmp_path)
    for key in KEYS:
        put(opened, key, 1, 1000)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        (Purge(Scope.KEY, b"films/a"), {"films/a"}),
        (Purge(Scope.KEY, b"films/a?x=1"), {"films/a?x=1"}),
        (Purge(Scope.PATH, b"films/a"), {"films/a", "films/a?x=1", "films/a?x=2"}),
        (Purge(Scope.PREFIX, b"films/a"), {"films/a", "films/a?x=1", "films/a?x=2", "films/ab"}),
        (Purge(Scope.PREFIX, b"films/b/"), {"films/b/1", "films/b/2"}),
        (Purge(Scope.PREFIX, b"films/"), {key for key in KEYS if key.startswith("films/")}),
        (Purge(Scope.PREFIX, b""), set(KEYS)),
        (Purge(Scope.KEY, b"films/none"), set()),
    ],
)
def test_exactly_what_is_meant_goes(volume: Volume, what: Purge, gone: set[str]) -> None:
    dry = volume.purges.count([what])
    while dry.step():
        pass
    assert there(volume) == set(KEYS)
    assert purge(volume, what) == len(gone) == dry.objects
    assert there(volume) == set(KEYS) - gone
    assert dry.length == 1000 * len(gone)
    assert volume.tallies.take_evictions().get(Eviction.PURGE, 0) == len(gone)


def test_a_tag_names_what_has_it_now_and_may_be_bound_to_a_site(volume: Volume) -> None:
    tag(volume, "films/a", b"new", b"x")
    tag(volume, "films/ab", b"new")
    tag(volume, "toons/a", b"new")
    tag(volume, "films/ab", b"old")
    assert purge(volume, Purge(Scope.TAG, b"new", b"films")) == 1
    assert there(volume) == set(KEYS) - {"films/a"}
    assert purge(volume, Purge(Scope.TAG, b"new")) == 1
    assert purge(volume, Purge(Scope.TAG, b"ne")) == 0
    assert there(volume) == set(KEYS) - {"films/a", "toons/a"}


def test_a_soft_purge_marks_once_and_a_renewed_record_is_good_again(volume: Volume) -> None:
    what = Purge(Scope.PREFIX, b"films/b/", soft=True)
    assert purge(volume, what) == 2
    assert there(volume) == set(KEYS)
    record = volume.lookup(name(volume, "films/b/1"))
    assert record is not None
    assert record.flags == Flag.STRONG | Flag.STALE
    assert purge(volume, what) == 0
    volume.refresh(name(volume, "films/b/1"), replace(record, flags=Flag.STRONG))
    assert purge(volume, what) == 1


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps that have no time for more than the least."""
    monkeypatch.setattr(at_work, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(at_work, "LOOK", 7)
    return 7


def test_more_than_a_step_of_objects_in_several_extents_leaves_nothing_behind(tmp_path: Path, short_steps: int) -> None:
    volume = open_volume(tmp_path)
    for n in range(8 * short_steps):
        put(volume, f"films/{n}", 1, 10)
    for start in (0, 128 * KIB):
        put(volume, "films/big", 1, 64 * KIB, start=start, total=256 * KIB)
    assert purge(volume, Purge(Scope.PREFIX, b"films/")) == 8 * short_steps + 1
    assert volume.index.objects() == 0
    assert all(not volume.index.placed(pack) for pack in volume.packs.all)
    volume.close()


@pytest.mark.parametrize("soft", [False, True])
def test_a_step_of_a_purge_ends_when_its_time_is_over(tmp_path: Path, short_steps: int, soft: bool) -> None:
    """What is committed and written by others goes between the steps."""
    volume = open_volume(tmp_path)
    for n in range(5 * short_steps):
        put(volume, f"films/{n}", 1, 10)
    purging = volume.purges.begin([Purge(Scope.PREFIX, b"films/", soft=soft)], volume.new_generation())
    found = [0]
    while purging.step():
        found.append(purging.objects)
    assert {after - before for before, after in itertools.pairwise(found)} <= {0, 1}
    assert purging.objects == 5 * short_steps
    volume.close()


def test_a_step_of_a_purge_finds_so_many_names_and_so_many_that_name_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more of them are held in memory than are put in order at once."""
    monkeypatch.setattr(at_work, "GATHERED_A_STEP", 7)
    monkeypatch.setattr(at_work, "GATHERED_MOST", 20)
    monkeypatch.setattr(at_work, "RANGES_A_STEP", 3)
    volume = open_volume(tmp_path)
    for n in range(60):
        put(volume, f"films/{n}", 1, 10)
    whats = [Purge(Scope.PREFIX, b"films/"), *(Purge(Scope.KEY, b"nothing/%d" % n) for n in range(10))]
    purging = volume.purges.begin(whats, volume.new_generation())
    held, ranges = [0], [len(purging._ranges)]
    while purging.step():
        held.append(len(purging._wanted))
        ranges.append(len(purging._ranges))
    assert max(after - before for before, after in itertools.pairwise(held)) <= 7
    assert max(before - after for before, after in itertools.pairwise(ranges)) <= 3
    assert 20 <= max(held) < 20 + 7
    assert purging.objects == 60
    volume.close()


def test_a_step_of_a_purge_takes_all_that_there_is_time_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "STEP_SECONDS", 60.0)
    monkeypatch.setattr(at_work, "LOOK", 7)
    volume = open_volume(tmp_path)
    for n in range(50):
        put(volume, f"films/{n}", 1, 10)
    purging = volume.purges.begin([Purge(Scope.PREFIX, b"films/")], volume.new_generation())
    assert purging.step()  # names are gathered
    purging.step()
    assert purging.objects == 50
    volume.close()


def test_keys_longer_than_a_row_of_the_index_are_told_apart(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    alike = "films/" + "x" * 500
    for end in ("1", "2"):
        put(volume, alike + end, 1, 10)
    assert purge(volume, Purge(Scope.KEY, (alike + "1").encode())) == 1
    assert prove(volume, alike + "1") is None
    assert prove(volume, alike + "2") is not None
    assert purge(volume, Purge(Scope.PREFIX, alike.encode())) == 1
    volume.close()


def after_lost_index(volume: Volume, tmp_path: Path) -> Volume:
    volume.close()
    lose_index(tmp_path)
    return rebuilt(tmp_path)


def test_a_rebuild_brings_nothing_back_and_keeps_what_came_after(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for key in KEYS:
        put(volume, key, 1, 1000)
    tag(volume, "toons/a", b"t")
    purge(volume, Purge(Scope.PATH, b"films/a"))
    purge(volume, Purge(Scope.PREFIX, b"films/b/", soft=True))
    purge(volume, Purge(Scope.TAG, b"t", b"toons"))
    put(volume, "films/a", 2, 500)
    volume = after_lost_index(volume, tmp_path)
    assert there(volume) == {"films/a", "films/ab", "films/b/1", "films/b/2", "toons/b/1"}
    assert prove(volume, "films/a") == {0: 500}
    stale = {key for key in there(volume) if volume.lookup(name(volume, key)).flags & Flag.STALE}  # type: ignore[union-attr]
    assert stale == {"films/b/1", "films/b/2"}
    volume = after_lost_index(volume, tmp_path)
    assert prove(volume, "films/a") == {0: 500}
    volume.close()


def test_a_purge_during_a_rebuild_holds_for_what_is_rebuilt_later(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "films/a", 1, 1000)
    volume.close()
    (tmp_path / "v" / "clean").unlink()
    volume = open_volume(tmp_path)
    assert volume.rebuilding
    assert purge(volume, Purge(Scope.KEY, b"films/a")) == 0
    put(volume, "films/b", 1, 1000)
    finish_rebuild(volume)
    assert prove(volume, "films/a") is None
    assert prove(volume, "films/b") == {0: 1000}
    volume.close()


def test_what_is_stored_while_the_index_is_rebuilt_is_newer_than_what_the_journals_say(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for _ in range(3):
        put(volume, "films/a", 1, 1000)
        volume.delete(name(volume, "films/a"), None, Eviction.REPLACED)
    put(volume, "films/a", 1, 1000)
    volume.close()
    (tmp_path / "v" / "clean").unlink()
    volume = open_volume(tmp_path)
    put(volume, "films/a", 2, 700)
    finish_rebuild(volume)
    assert prove(volume, "films/a") == {0: 700}
    volume.close()


def test_what_a_killed_run_had_begun_is_done_at_the_next_start(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for key in KEYS:
        put(volume, key, 1, 1000)
    volume.purges.begin([Purge(Scope.PREFIX, b"films/")], volume.new_generation())
    volume.close(clean=False)
    volume = open_volume(tmp_path)
    assert there(volume) == {"toons/a", "toons/b/1"}
    volume.close()


def test_short_lived_answers_are_purged_too(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    old = put(volume, "films/live", 1, 10)
    for key in ("films/live", "films/soft"):
        volume.put_live(
            name(volume, key), replace(old, key=key.encode(), generation=volume.new_generation()), b"#EXTM3U"
        )
    assert purge(volume, Purge(Scope.KEY, b"films/live")) == 1
    assert volume.lookup_live(name(volume, "films/live")) is None
    assert purge(volume, Purge(Scope.KEY, b"films/soft", soft=True)) == 1
    found = volume.lookup_live(name(volume, "films/soft"))
    assert found is not None
    assert found[0].flags & Flag.STALE
    volume.close()


def test_a_purge_that_cannot_be_noted_is_an_error(tmp_path: Path) -> None:
    disk = FailingDisk(0)
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "films/a", 1, 10)
    disk.left = 1
    with pytest.raises(OSError, match="Input/output"):
        volume.purges.begin([Purge(Scope.KEY, b"films/a")], volume.new_generation())
    volume.close()


def test_the_log_forgets_what_no_pack_can_bring_back(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for n in range(30):
        put(volume, f"films/{n}", 1, 1000)
        purge(volume, Purge(Scope.KEY, b"films/%d" % n))
    volume.flush_journals()
    volume.close()
    path = tmp_path / "v" / "purges"
    full = path.stat().st_size
    volume = open_volume(tmp_path)
    put(volume, "films/new", 1, 1000)
    while len(volume.packs.all) > 1:
        assert volume.evict_step()
    volume.close()
    open_volume(tmp_path).close()
    assert path.stat().st_size < full // 10
    volume = open_volume(tmp_path)
    assert prove(volume, "films/new") == {0: 1000}
    volume.close()


def test_a_log_cut_short_or_of_another_version_is_recognised(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "films/a", 1, 10)
    purge(volume, Purge(Scope.KEY, b"films/a"))
    purge(volume, Purge(Scope.KEY, b"films/b"))
    volume.close()
    path = tmp_path / "v" / "purges"
    raw = path.read_bytes()
    path.write_bytes(raw[:-3])
    volume = open_volume(tmp_path)
    assert [what.text for what, _ in volume.purges.log.since(0)] == [b"films/a"]
    volume.close()
    path.write_bytes(raw[:8] + b"\x09" + raw[9:32] + b"entries of another kind" * 9)
    with pytest.raises(FormatUnknown, match="version 9"):
        open_volume(tmp_path)


def test_a_log_that_is_too_long_forgets_more_rather_than_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.purgelog.ENTRIES_MOST", 4)
    volume = open_volume(tmp_path)
    record = put(volume, "films/a", 1, 10)
    log: PurgeLog = volume.purges.log
    for n in range(6):
        log.append([Purge(Scope.KEY, b"films/%d" % n)], 1 << 60, 1, 1)
    assert len(log.entries) <= 5
    assert log.revised(record) is None
    volume.close()


def test_an_index_of_before_is_rebuilt_so_that_a_purge_finds_all(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "films/a", 1, 10)
    with volume.index.writing() as txn:
        txn.set_meta(b"format", 1)
    volume.close()
    volume = rebuilt(tmp_path)
    assert purge(volume, Purge(Scope.PREFIX, b"films/")) == 1
    volume.close()


def test_a_variant_goes_with_its_key(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    base = put(volume, "films/a", 1, 10)
    place = volume.reserve(3)
    volume.write(place, 0, b"abc")
    variant = replace(base, generation=volume.new_generation(), total=3, etag=b'"v"')
    other = name(volume, "some other name")
    volume.commit(other, variant, [Extent(0, 3, place.pack, place.offset, (checksum(b"abc"),))])
    assert purge(volume, Purge(Scope.KEY, b"films/a")) == 2
    assert volume.lookup(other) is None
    volume.close()


@pytest.mark.usefixtures("short_steps")
def test_what_is_kept_anew_between_the_steps_of_a_purge_is_found_by_the_next_one(tmp_path: Path) -> None:
    """Rows of the side tables go last: one that is written anew by then is of another object, and has the same key."""
    volume = open_volume(tmp_path)
    record = put(volume, "/a/1", 1, 1000)
    volume.commit(name(volume, "/a/1"), replace(record, tags=(b"t",), stored_at=4.0), [])
    purging = volume.purges.begin([Purge(Scope.PREFIX, b"/a/")], volume.new_generation())
    kept = 0
    while purging.step():
        if volume.lookup(name(volume, "/a/1")) is None:
            record = put(volume, "/a/1", 2, 2000)
            volume.commit(name(volume, "/a/1"), replace(record, tags=(b"t",), stored_at=5.0), [])
            kept += 1
    volume.purges.end(purging.sequence)
    assert kept == 1
    assert prove(volume, "/a/1") == {0: 2000}
    assert purge(volume, Purge(Scope.TAG, b"t", soft=True)) == 1
    assert purge(volume, Purge(Scope.PREFIX, b"/a/")) == 1
    assert prove(volume, "/a/1") is None
    volume.close()


@pytest.mark.usefixtures("short_steps")
def test_a_purge_that_is_killed_between_its_steps_is_done_to_its_end_by_the_next_run(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for number in range(20):
        put(volume, f"/a/{number}", 1, 1000)
    steps = 0
    while True:
        purging = volume.purges.begin([Purge(Scope.PREFIX, b"/a/1")], volume.new_generation())
        more, done = True, 0
        while more and done < steps:
            more, done = purging.step(), done + 1
        volume.close(clean=False)
        volume = open_volume(tmp_path)
        assert [number for number in range(20) if prove(volume, f"/a/{number}") is None] == [1, *range(10, 20)]
        assert {placed.name for pack in volume.packs.all for placed in volume.index.placed(pack)} >= {
            name(volume, f"/a/{number}") for number in (0, *range(2, 10))
        }
        for number in (1, *range(10, 20)):
            put(volume, f"/a/{number}", 2 + steps, 1000)
        if not more:
            break
        steps += 1
    assert steps > 1
    assert purge(volume, Purge(Scope.PREFIX, b"/a/")) == 20
    volume.close()


def test_a_tag_that_an_object_had_before_a_kill_names_no_later_one(volume: Volume) -> None:
    tag(volume, "films/a", b"old")
    cut_short = volume.purges.begin([Purge(Scope.TAG, b"old")], volume.new_generation())
    while volume.lookup(name(volume, "films/a")) is not None:
        assert cut_short.step()  # its row in the side table would have been next
    put(volume, "films/a", 2, 1000)
    assert purge(volume, Purge(Scope.TAG, b"old")) == 0
    assert there(volume) == set(KEYS)


def test_what_a_log_looks_up_is_bounded_as_its_entries_are(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.purgelog.ENTRIES_MOST", 10)
    for number in range(100):
        text = b"%d" % number
        for scope in Scope:
            volume.purges.do_now(Purge(scope, text))
    log = volume.purges.log
    assert len(log.entries) <= 10
    assert len(log._hard) + len(log._soft) <= 10
    assert log.concerns(0, b"anything", ()), "the older half has become one that names all"


def test_a_start_with_a_lost_index_does_no_purge_again_and_none_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path)
    for key in KEYS:
        put(volume, key, 1, 1000)
    purge(volume, Purge(Scope.PREFIX, b"films/a"))
    put(volume, "films/ab", 2, 1000)
    newest = volume.purges.log.newest
    begun: list[object] = []
    monkeypatch.setattr("edge.store.purge.Purging", lambda *asked, **_: begun.append(asked))
    volume = after_lost_index(volume, tmp_path)
    assert not begun
    finish_rebuild(volume)
    assert there(volume) == {"films/ab", "films/b/1", "films/b/2", "toons/a", "toons/b/1"}
    assert volume.index.meta(b"purged") == newest
    volume.close()
