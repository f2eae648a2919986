"""Popularity: it is learnt, it survives a restart, and a day's writes are bounded by it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import NotAdmitted, StoreError
from edge.store.budget import DAY_SECONDS, WriteBudget
from edge.store.eviction import Policy, Row, admit
from edge.store.hits import MOST, HitCounters, create_hits_file
from edge.store.popularity import HALF_LIFE, Popularity, title_of
from edge.store.volume import Volume
from edge.words import MIB
from tests.support.volumes import name, open_volume, put, settings

NAME = b"n" * 16


@pytest.fixture
def hits() -> Iterator[HitCounters]:
    fd = create_hits_file()
    yield HitCounters(fd)
    os.close(fd)


def fill(volume: Volume, numbers: range) -> None:
    for number in numbers:
        put(volume, f"/{number}", 1, 900_000)
        while volume.needs_room() and volume.evict_step():
            pass


def test_renditions_of_a_title_share_its_popularity_and_other_titles_do_not() -> None:
    assert title_of(b"site/films/a/720p/1.m4s") == title_of(b"site/films/a/1080p/9.m4s?x=1")
    assert title_of(b"site/films/a/720p/1.m4s") != title_of(b"site/films/b/720p/1.m4s")


def test_an_unhit_segment_of_a_wanted_title_scores_above_one_of_an_unwanted_title(hits: HitCounters) -> None:
    popularity = Popularity(MIB, 0.0, hits)
    for _ in range(MOST):
        hits.touch(NAME)
    for _ in range(100):
        popularity.observe(NAME, 1)
    assert popularity.observe(b"m" * 16, 1) > popularity.observe(b"m" * 16, 2) + 3


def test_after_a_half_life_everything_counts_half_and_shared_counters_are_halved_by_one_keeper_only(
    hits: HitCounters,
) -> None:
    popularity = Popularity(MIB, 1000.0, hits)
    popularity.level = 4.0
    for _ in range(8):
        hits.touch(NAME)
    popularity.age(1000.0 + HALF_LIFE - 1, counters=True)
    assert (hits.count(NAME), popularity.level) == (8, 4.0)
    popularity.age(1000.0 + HALF_LIFE, counters=True)
    assert (hits.count(NAME), popularity.level) == (4, 2.0)
    popularity.age(1000.0 + 2 * HALF_LIFE, counters=False)
    assert (hits.count(NAME), popularity.level) == (4, 1.0)


def test_what_is_wanted_less_than_what_was_let_go_begins_in_the_new_row() -> None:
    assert admit(Policy.POPULAR, 0.0, 0.0) is Row.NEW
    assert admit(Policy.POPULAR, 1.0, 0.0) is Row.KEPT
    assert admit(Policy.POPULAR, 2.0, 3.5) is Row.NEW
    assert admit(Policy.POPULAR, 9.0, 3.5) is Row.KEPT
    assert admit(Policy.LRU, 9.0, 0.0) is Row.NEW


def test_popularity_and_the_rows_of_packs_survive_a_restart(tmp_path: Path, hits: HitCounters) -> None:
    volume = open_volume(tmp_path)
    volume.popularity.hits = hits
    hot = name(volume, "/title/r/hot")
    for _ in range(6):
        hits.touch(hot)
    place = volume.reserve(100_000, hot, b"/title/r/hot")
    volume.release(place)
    fill(volume, range(5))
    rows = {number: pack.row for number, pack in volume.packs.all.items()}
    assert set(rows.values()) == {Row.NEW, Row.KEPT}
    volume.popularity.level = 2.5
    wanted = volume.popularity.observe(b"m" * 16, title_of(b"/title/r/other"))
    volume.close()
    fd = create_hits_file()
    again = open_volume(tmp_path)
    again.popularity.hits = HitCounters(fd)
    again.room.recall()
    assert {number: pack.row for number, pack in again.packs.all.items()} == rows
    assert again.popularity.level == 2.5
    assert again.popularity.hits.count(hot) == 6
    learnt = again.popularity.observe(b"m" * 16, title_of(b"/title/r/other"))
    assert 0 < learnt <= wanted
    again.close()
    os.close(fd)


def test_counters_that_are_in_use_are_not_replaced_by_older_ones(hits: HitCounters) -> None:
    old = hits.to_bytes()
    hits.touch(NAME)
    hits.restore(old)
    assert hits.count(NAME) == 1


def test_a_damaged_file_of_popularity_is_refused_and_the_volume_opens(tmp_path: Path, hits: HitCounters) -> None:
    open_volume(tmp_path).close()
    path = tmp_path / "v" / "popularity"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    with pytest.raises(StoreError):
        Popularity(MIB, 0.0, hits).restore(bytes(raw))
    path.write_bytes(raw)
    open_volume(tmp_path).close()


def test_a_days_writes_tighten_admission_from_half_on_and_end_it_when_they_are_used_up() -> None:
    popularity = Popularity(MIB, 0.0)
    budget = WriteBudget(1000, popularity)
    popularity.level = 2.0
    noon = 20_000.5 * DAY_SECONDS
    budget.spend(500, noon)
    budget.check(0.0, noon)
    budget.spend(200, noon)  # tightness 0.4: what scores 1/3 and less is out
    with pytest.raises(NotAdmitted):
        budget.check(0.0, noon)
    budget.check(1.0, noon)
    budget.spend(300, noon)
    with pytest.raises(NotAdmitted):
        budget.check(100.0, noon)
    budget.check(0.0, noon + DAY_SECONDS)


def test_a_volume_writes_no_more_in_a_day_than_it_may(tmp_path: Path, hits: HitCounters) -> None:
    volume = open_volume(tmp_path, daily_writes=8 * MIB)
    volume.popularity.hits = hits
    with pytest.raises(NotAdmitted):
        fill(volume, range(60))
    assert 4 * MIB <= volume.packs.take_written_bytes() <= 8 * MIB
    volume.close()


def test_what_a_day_has_written_is_known_after_a_kill_and_forgotten_on_another_day(tmp_path: Path) -> None:
    clock = FakeClock()
    volume = Volume.open(tmp_path / "v", settings(tmp_path), clock=clock, boot="boot-1")
    put(volume, "/a", 1, 100_000)
    assert volume.room.written_today == 100_000
    volume.close(clean=False)
    volume = Volume.open(tmp_path / "v", settings(tmp_path), clock=clock, boot="boot-1")
    assert volume.room.written_today == 100_000
    clock.advance(DAY_SECONDS)
    assert volume.room.written_today == 0
    volume.close()


def test_without_a_hit_what_is_new_does_not_displace_what_was_hit(tmp_path: Path, hits: HitCounters) -> None:
    volume = open_volume(tmp_path, pack_size=MIB)
    volume.popularity.hits = hits
    for number in range(8):
        hits.touch(name(volume, f"/hot/r/{number}"))
        put(volume, f"/hot/r/{number}", 1, 100_000)
        for _ in range(5):
            hits.touch(name(volume, f"/hot/r/{number}"))
    fill(volume, range(100))
    assert all(volume.lookup(name(volume, f"/hot/r/{number}")) for number in range(8))
    assert volume.packs.used_bytes <= volume.settings.size_bytes + 2 * volume.pack_size
    volume.close()
