"""Popularity: it is learnt, it survives a restart, and a day's writes are bounded by it."""

import errno
import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import NotAdmitted, StoreError
from edge.store.budget import DAY_SECONDS, WriteBudget
from edge.store.doubts import KEEPER
from edge.store.eviction import Policy, Row, admit
from edge.store.hits import BUCKETS, FULL, MOST, HitCounters, Shared, buckets_in, create_hits_file
from edge.store.popularity import HALF_LIFE, HALF_LIFE_MOST, STEPS, Popularity
from edge.store.traits import TITLES, Traits, titles_for, traits_of
from edge.store.volume import Volume
from edge.words import GIB, MIB
from tests.support.volumes import FailingDisk, name, open_volume, prove, put, settings

TB = 10**12
NAME, OTHER = b"n" * 16, b"m" * 16


@pytest.fixture
def hits() -> Iterator[HitCounters]:
    fd = create_hits_file()
    yield HitCounters(fd)
    os.close(fd)


def one_title_is_wanted(hits: HitCounters, times: int) -> Popularity:
    """What has seen a segment that is hit as often as is counted so many times."""
    popularity = Popularity(GIB, MIB, 0.0, hits)
    for _ in range(MOST):
        hits.touch(NAME)
    for _ in range(times):
        popularity.observe(NAME, Traits(1, 1, 1))
    return popularity


def fill(volume: Volume, numbers: range) -> None:
    for number in numbers:
        put(volume, f"/{number}", 1, 900_000)
        while volume.needs_room() and volume.evict_step():
            pass


def test_renditions_of_a_title_share_its_popularity_and_other_titles_do_not() -> None:
    one, other = traits_of(b"site/films/a/720p/1.m4s"), traits_of(b"site/films/a/1080p/9.m4s?x=1")
    assert one.title == other.title
    assert one.title != traits_of(b"site/films/b/720p/1.m4s").title


def test_a_rendition_and_a_file_name_are_the_same_in_all_titles() -> None:
    one, other = traits_of(b"site/films/a/720p/1.m4s?x=1"), traits_of(b"site/series/b/720p/1.m4s")
    assert one[1:] == other[1:]
    assert set(one[1:]).isdisjoint(traits_of(b"site/films/a/1080p/9.m4s")[1:])
    assert traits_of(b"flat") == traits_of(b"flat?x")  # no title, no rendition


def test_an_unhit_segment_of_a_wanted_title_scores_above_one_of_an_unwanted_title(hits: HitCounters) -> None:
    popularity = one_title_is_wanted(hits, 100)
    assert popularity.observe(OTHER, Traits(1, 1, 1)) > popularity.observe(OTHER, Traits(2, 1, 1)) + 3


def test_of_two_unhit_segments_of_a_title_the_one_whose_like_are_hit_elsewhere_scores_higher(
    hits: HitCounters,
) -> None:
    popularity = Popularity(GIB, MIB, 0.0, hits)
    for _ in range(MOST):
        hits.touch(NAME)
    for title in range(200):  # beginnings (file 1) are hit in all titles, ends (file 2) in none
        for _ in range(4):
            popularity.observe(NAME, Traits(title, 5, 1))
            popularity.observe(OTHER, Traits(title, 5, 2))
    assert popularity.observe(OTHER, Traits(7, 5, 1)) > 2 * popularity.observe(OTHER, Traits(7, 5, 2))


def test_after_a_half_life_everything_counts_half_and_shared_counters_fade_by_one_keeper_only(
    hits: HitCounters,
) -> None:
    popularity = Popularity(GIB, MIB, 1000.0, hits)
    popularity.level = 4.0
    for _ in range(8):
        hits.touch(NAME)
    popularity.age(1000.0 + HALF_LIFE / STEPS - 1, counters=True)
    assert (hits.count(NAME), popularity.level) == (8, 4.0)
    popularity.age(1000.0 + HALF_LIFE / STEPS, counters=True)
    assert hits.count(NAME) == pytest.approx(8 * 0.5 ** (1 / STEPS), abs=1 / 16)
    popularity.age(1000.0 + HALF_LIFE, counters=True)
    assert hits.count(NAME) == pytest.approx(4, abs=1 / 8)
    assert popularity.level == pytest.approx(2.0)
    left = hits.count(NAME)
    popularity.age(1000.0 + 2 * HALF_LIFE, counters=False)
    assert hits.count(NAME) == left
    assert popularity.level == pytest.approx(1.0)
    for day in range(3, 30):
        popularity.age(1000.0 + day * HALF_LIFE, counters=True)
    assert hits.count(NAME) == 0


def test_of_the_keepers_of_a_node_one_fades_the_counters_that_they_share(tmp_path: Path) -> None:
    """With four volumes what was wanted would be forgotten four times as fast."""
    fd, clock = create_hits_file(), FakeClock()
    told = settings(tmp_path)
    first, second = [
        Volume.open(
            tmp_path / f"{number}",
            told,
            clock=clock,
            shared=Shared.of(fd, KEEPER - number, fades=not number),
            boot="boot-1",
        )
        for number in range(2)
    ]
    hits = HitCounters(fd)
    for _ in range(8):
        hits.touch(NAME)
    first.popularity.level = second.popularity.level = 4.0
    clock.advance(HALF_LIFE / STEPS)
    second.sweep_live()
    assert hits.count(NAME) == 8
    first.sweep_live()
    assert hits.count(NAME) == pytest.approx(8 * 0.5 ** (1 / STEPS), abs=1 / 16)
    assert first.popularity.level == second.popularity.level < 4, "what is their own each of them fades"
    for volume in (first, second):
        volume.close()
    os.close(fd)


def test_what_is_expected_of_titles_renditions_and_files_counts_half_after_a_half_life(hits: HitCounters) -> None:
    popularity = one_title_is_wanted(hits, 200)
    title, rendition, file = popularity._means[1], popularity._renditions, popularity._files
    found, expected = rendition._found[1], file._expected[1]
    assert min(title, found, expected) > 1
    popularity.age(HALF_LIFE, counters=False)
    assert popularity._means[1] == pytest.approx(title / 2)
    for ratios in (rendition, file):
        assert (ratios._found[1], ratios._expected[1]) == pytest.approx((found / 2, expected / 2))


def test_after_a_restart_everything_goes_on_where_it_was(hits: HitCounters) -> None:
    known = Popularity(GIB, MIB, 0.0, hits)
    for _ in range(MOST):
        hits.touch(NAME)
    for number in range(200):
        known.observe(NAME, Traits(1, 1, 1))
        known.observe(OTHER, Traits(1, 2, number % 2 + 1))
    known.level = 4.0
    known.earn(GIB // 8, HALF_LIFE / 4)  # a turn takes two half-lives
    known.age(HALF_LIFE / 2, counters=False)
    off = HALF_LIFE * 0.9  # a step is a half-life: it is nearly over
    kept = known.to_bytes(off)
    again = Popularity(GIB, MIB, off, hits)
    again.restore(kept, off)
    assert (again.level, again.credit) == (known.level, known.credit) == (4.0, 4 * MIB)
    assert again.half_life == known.half_life == 4 * HALF_LIFE
    for traits in (Traits(1, 1, 1), Traits(1, 2, 2), Traits(1, 2, 1), Traits(2, 1, 1)):
        assert again.observe(OTHER, traits) == pytest.approx(known.observe(OTHER, traits))
    for now in (HALF_LIFE - 1, HALF_LIFE, 2 * HALF_LIFE):
        for popularity in (known, again):
            popularity.age(now, counters=False)
        assert again.level == known.level
    assert again.level == pytest.approx(4 * 0.5**0.5)


def test_a_volume_that_fills_slowly_forgets_slowly_within_bounds() -> None:
    for days_of_a_turn, half_life in ((0.1, HALF_LIFE), (1.0, 2 * HALF_LIFE), (30.0, HALF_LIFE_MOST)):
        popularity = Popularity(GIB, MIB, 0.0)
        assert popularity.half_life == HALF_LIFE
        for part in range(1, 101):
            popularity.earn(GIB // 100, part / 100 * days_of_a_turn * HALF_LIFE)
        assert popularity.half_life == pytest.approx(half_life, rel=0.1)


def test_the_time_that_a_node_is_off_is_no_part_of_a_turn() -> None:
    popularity = Popularity(GIB, MIB, 0.0)
    popularity.earn(GIB // 16, HALF_LIFE)
    again = Popularity(GIB, MIB, 40 * HALF_LIFE)
    again.restore(popularity.to_bytes(HALF_LIFE), 40 * HALF_LIFE)
    again.earn(GIB // 16, 41 * HALF_LIFE)
    assert again.turn == pytest.approx(16 * HALF_LIFE)


def test_a_counter_holds_fifteen_hits_and_no_more(hits: HitCounters) -> None:
    for _ in range(3):
        hits.touch(NAME)
    hits.fade(0.9)
    for _ in range(MOST):
        hits.touch(NAME)
    assert hits.count(NAME) == MOST == FULL / 16


def test_what_the_version_before_has_written_of_popularity_is_read(hits: HitCounters) -> None:
    counters = bytearray(BUCKETS)
    counters[int.from_bytes(NAME[:4], "little") % BUCKETS] = 7
    means = array("f", bytes(4 * TITLES))
    means[3] = 2.5
    head = struct.pack("<8sdddqd", b"EDGEPOP1", 50.0, 1.5, 10.0, 20_000, 300.0)
    body = zlib.compress(head + means.tobytes() + counters)
    popularity = Popularity(GIB, MIB, 100.0, hits)
    popularity.restore(zlib.crc32(body).to_bytes(4, "little") + body, 100.0)
    assert (popularity.level, popularity.credit, popularity.day, popularity.spent) == (1.5, 10.0, 20_000, 300.0)
    assert hits.count(NAME) == 7
    assert popularity.observe(OTHER, Traits(3, 1, 1)) > 1


def test_what_is_wanted_less_than_what_was_let_go_begins_in_the_new_row() -> None:
    assert admit(Policy.POPULAR, 0.0, 0.0) is Row.NEW
    assert admit(Policy.POPULAR, 1.0, 0.0) is Row.KEPT
    assert admit(Policy.POPULAR, 2.9, 3.5) is Row.NEW
    assert admit(Policy.POPULAR, 3.1, 3.5) is Row.KEPT
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
    wanted = volume.popularity.observe(OTHER, traits_of(b"/title/r/other"))
    volume.close()
    fd = create_hits_file()
    again = open_volume(tmp_path)
    again.popularity.hits = HitCounters(fd)
    again.room.recall()
    assert {number: pack.row for number, pack in again.packs.all.items()} == rows
    assert again.popularity.level == 2.5
    assert again.popularity.hits.count(hot) == 6
    learnt = again.popularity.observe(OTHER, traits_of(b"/title/r/other"))
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
        Popularity(GIB, MIB, 0.0, hits).restore(bytes(raw), 0.0)
    path.write_bytes(raw)
    open_volume(tmp_path).close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_popularity_that_cannot_be_written_costs_a_stop_nothing_else(tmp_path: Path, number: int) -> None:
    disk = FailingDisk(1 << 60, for_ever=True, number=number, where="popularity.new")
    volume = open_volume(tmp_path, disk=disk)
    put(volume, "/a", 1, 1000)
    disk.arm(1)
    volume.close()
    assert disk.failed
    volume = open_volume(tmp_path, boot="boot-2")
    assert not volume.rebuilding, "it has stopped in order"
    assert prove(volume, "/a") == {0: 1000}
    volume.close()


def test_a_days_writes_tighten_admission_from_half_on_and_end_it_when_they_are_used_up() -> None:
    popularity = Popularity(GIB, MIB, 0.0)
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


@pytest.mark.parametrize("policy", [Policy.LRU, Policy.FIFO])
def test_with_one_row_what_was_hit_last_stays_and_nothing_else_counts(
    tmp_path: Path, hits: HitCounters, policy: Policy
) -> None:
    volume = open_volume(tmp_path, pack_size=MIB, policy=policy)
    volume.popularity.hits = hits
    put(volume, "/hot/r/1", 1, 100_000)
    put(volume, "/hot/r/2", 1, 100_000)
    for number in range(40):
        hits.touch(name(volume, "/hot/r/1"))
        fill(volume, range(number, number + 1))
    assert volume.lookup(name(volume, "/hot/r/1")) is not None
    assert volume.lookup(name(volume, "/hot/r/2")) is None
    assert {pack.row for pack in volume.packs.all.values()} == {Row.NEW}
    volume.close()


def test_a_full_counter_can_be_marked_and_is_full_after_the_first_hit(hits: HitCounters) -> None:
    name = bytes(16)
    for _ in range(2 * MOST):
        hits.touch(name)
    hits.mark_ahead(name)
    assert hits.touch(name)
    assert hits.count(name) == MOST


def test_a_clock_that_is_set_ages_nothing(hits: HitCounters) -> None:
    """A machine without a clock of its own starts in 1970, and NTP sets it a minute later."""
    known = Popularity(GIB, MIB, 1_800_000_000.0, hits)
    known.level = 3.0
    kept = known.to_bytes(1_800_000_000.0)
    popularity = Popularity(GIB, MIB, 0.0, hits)
    popularity.restore(kept, 10.0)
    for now in (10.0, 11.0, 60.0, 1_800_000_100.0, 1_800_000_101.0, 5.0, 6.0, 4_000_000_000.0, 1_800_000_200.0):
        popularity.earn(MIB, now)
        popularity.age(now, counters=True)
    assert popularity.level == 3.0
    assert popularity.half_life == HALF_LIFE
    popularity.age(1_800_000_200.0 + HALF_LIFE, counters=True)
    assert popularity.level == pytest.approx(1.5)


def test_however_long_a_node_was_off_at_most_a_half_life_has_passed(hits: HitCounters) -> None:
    known = Popularity(GIB, MIB, 1000.0, hits)
    known.level = 4.0
    kept = known.to_bytes(1000.0)
    popularity = Popularity(GIB, MIB, 0.0, hits)
    popularity.restore(kept, 4_000_000_000.0)
    popularity.age(4_000_000_001.0, counters=True)
    assert popularity.level == pytest.approx(2.0)


def test_a_days_bytes_are_not_forgotten_when_the_clock_is_set(hits: HitCounters) -> None:
    today = 20_000 * DAY_SECONDS + 3600.0
    popularity = Popularity(GIB, MIB, today, hits)
    budget = WriteBudget(1000, popularity)
    budget.spend(600, today)
    for now in (60.0, today + 60, today + 400 * DAY_SECONDS, today + 120):
        assert budget.written(now) == 600
    mark = budget.mark
    budget = WriteBudget(1000, Popularity(GIB, MIB, 0.0, hits))
    budget.recall(mark)
    budget.spend(100, 30.0)  # a start in 1970
    assert budget.written(today + 300) == 700
    assert budget.written(today + DAY_SECONDS) == 0, "a midnight is one"
    budget.spend(50, today + DAY_SECONDS)
    mark = budget.mark
    budget = WriteBudget(1000, Popularity(GIB, MIB, 0.0, hits))
    budget.recall(mark)
    assert budget.written(today + 5 * DAY_SECONDS) == 0, "it was off for some days"


def test_a_fill_that_is_given_up_costs_nothing_of_the_days_bytes(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, daily_writes=100 * MIB)
    place = volume.reserve(MIB, NAME, b"/a")
    volume.write(place, 0, bytes(1000))
    volume.release(place)
    assert volume.room.written_today == 1000
    assert volume.popularity.credit < 1000
    volume.close()


@pytest.mark.parametrize("policy", [Policy.LRU, Policy.POPULAR])
def test_when_the_days_bytes_are_used_up_nothing_is_appended_anew(
    tmp_path: Path, hits: HitCounters, policy: Policy
) -> None:
    volume = open_volume(tmp_path, daily_writes=5 * MIB, policy=policy)
    volume.popularity.hits = hits
    for number in range(5):
        put(volume, f"/{number}", 1, 900_000)
        for _ in range(MOST):
            hits.touch(name(volume, f"/{number}"))
    volume.popularity.credit = 4.0 * MIB
    volume.popularity.spent = 5.0 * MIB
    volume.packs.seal_all()
    while volume.evict_step():
        pass
    assert volume.tallies.rewritten_bytes == 0
    volume.close()


def test_counters_and_means_are_as_many_as_the_volumes_need_within_bounds() -> None:
    sizes = {}
    for size in (0, 8 * TB, 30 * TB, 10_000 * TB):
        fd = create_hits_file(size)
        sizes[size] = buckets_in(fd) >> 20, titles_for(size) >> 10
        os.close(fd)
    assert sizes == {0: (4, 64), 8 * TB: (4, 64), 30 * TB: (16, 256), 10_000 * TB: (16, 1024)}
    assert len({traits_of(b"site/%d/720p/1.m4s" % n, titles_for(30 * TB)).title for n in range(100_000)}) > 80_000


def test_what_was_learnt_is_kept_when_the_volume_becomes_larger_or_smaller() -> None:
    small, large = create_hits_file(), create_hits_file(30 * TB)
    one, other = HitCounters(small), HitCounters(large)
    names = [n.to_bytes(4, "little") + bytes(12) for n in (1, BUCKETS - 1, 5 * BUCKETS + 7)]
    for name_of_it in names:
        one.touch(name_of_it)
    known = Popularity(GIB, MIB, 0.0, one)
    for _ in range(50):
        known.observe(names[0], Traits(70, 1, 1))
    score = known.observe(names[0], Traits(70, 1, 1))
    kept = known.to_bytes(0.0)
    grown = Popularity(30 * TB, MIB, 0.0, other)
    grown.restore(kept, 0.0)
    assert [other.count(each) for each in names] == [1, 1, 1]
    assert grown.observe(names[0], Traits(70 + 65_536, 1, 1)) == pytest.approx(score, rel=0.05)
    again = create_hits_file()
    shrunk = Popularity(GIB, MIB, 0.0, HitCounters(again))
    shrunk.restore(grown.to_bytes(0.0), 0.0)
    assert shrunk.observe(names[0], Traits(70, 1, 1)) == pytest.approx(score, rel=0.1)
    for fd in (small, large, again):
        os.close(fd)


def test_a_file_of_the_format_before_is_read(hits: HitCounters) -> None:
    known = Popularity(GIB, MIB, 0.0, hits)
    hits.touch(NAME)
    for _ in range(50):
        known.observe(NAME, Traits(70, 1, 1))
    known.level = 2.0
    body = zlib.decompress(known.to_bytes(0.0)[4:])
    head = 8 + 9 * 8
    old = zlib.compress(b"EDGEPOP2" + body[8:head] + body[head + 4 :])
    fd = create_hits_file()
    popularity = Popularity(GIB, MIB, 0.0, HitCounters(fd))
    popularity.restore(zlib.crc32(old).to_bytes(4, "little") + old, 0.0)
    assert popularity.level == 2.0
    assert popularity.observe(NAME, Traits(70, 1, 1)) == known.observe(NAME, Traits(70, 1, 1))
    os.close(fd)


def test_popularity_is_written_down_a_little_at_a_time(tmp_path: Path, hits: HitCounters) -> None:
    """All at once it held up the store's thread for longer than a disk may take to answer."""
    taken: list[bytes] = []

    def counted() -> Iterator[bytes]:
        for piece in real():
            taken.append(piece)
            yield piece

    volume = open_volume(tmp_path)
    volume.popularity.hits, clock, real = hits, volume.room._clock, hits.in_pieces
    hits.in_pieces = counted  # type: ignore[method-assign]
    hits.touch(NAME)
    file = tmp_path / "v" / "popularity"
    assert isinstance(clock, FakeClock)
    clock.advance(3601)
    steps = 0
    while not file.exists():
        before = len(taken)
        volume.sweep_live()
        steps += 1
        assert len(taken) <= before + 1
        assert steps < 20
    assert len(taken) == BUCKETS // MIB == 4
    volume.sweep_live()
    assert len(taken) == 4, "until the next hour"
    later = Popularity(GIB, MIB, clock.wall(), hits)
    hits._map[:] = bytes(BUCKETS)
    later.restore(file.read_bytes(), clock.wall())
    assert hits.count(NAME) == 1
    volume.close()
