"""A film that players read in ranges has thousands of extents: work on one of them must not look at all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.policy.purges import Purge, Scope
from edge.store import index, purging, writing
from edge.store.eviction import Policy
from edge.store.hits import HitCounters, create_hits_file
from edge.store.record import Extent
from edge.store.scrub import Scrubber, ScrubSettings
from edge.store.volume import Volume
from edge.words import KIB, MIB
from tests.support.volumes import name, open_volume, prove, put
from tests.unit.store.test_disk_bound import Quick

FILM = "/film.mp4"
PIECE = 4 * KIB
EXTENTS = 1500
MORE = {"size_bytes": 64 * MIB, "pack_size": 4 * MIB}


class Film:
    """A volume with a film in two packs, and how many rows of extents have been read since."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> None:
        self.volume = open_volume(directory, disk=Quick(), **{**MORE, **more})
        for number in range(EXTENTS):
            put(self.volume, FILM, 1, PIECE, start=number * PIECE, total=EXTENTS * PIECE)
        self.volume.flush_journals()
        self.volume.packs.seal_all()
        assert len(self.volume.packs.all) == 2
        self.rows = 0
        self._monkeypatch = monkeypatch

    @contextmanager
    def counting(self) -> Iterator[None]:
        with self._monkeypatch.context() as patched:
            for module in (index, writing):
                patched.setattr(module, "decode_extent_row", self._counted(module.decode_extent_row))
            yield

    def _counted(self, decode: Callable[[bytes, bytes], Extent | None]) -> Callable[[bytes, bytes], Extent | None]:
        def counted(key: bytes, raw: bytes) -> Extent | None:
            self.rows += 1
            return decode(key, raw)

        return counted


def leave(volume: Volume, *, keep: bool) -> None:
    first = next(iter(volume.packs.all))
    while first in volume.packs.all:
        assert volume.evict_step(keep=keep)


def test_packs_of_a_film_leave_without_a_look_at_all_of_it_for_each_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(tmp_path, monkeypatch)
    with film.counting():
        leave(film.volume, keep=False)
    assert film.rows < 5 * EXTENTS
    found = prove(film.volume, FILM)
    assert found is not None
    assert 0 < len(found) < EXTENTS
    leave(film.volume, keep=False)
    assert film.volume.index.objects() == 0
    film.volume.close()


def test_what_stays_of_a_film_is_appended_anew_without_a_look_at_all_of_it_for_each_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(tmp_path, monkeypatch, policy=Policy.LRU)
    hits = film.volume.popularity.hits = HitCounters(create_hits_file())
    for _ in range(10):
        hits.touch(name(film.volume, FILM))
    with film.counting():
        leave(film.volume, keep=True)
    assert film.rows < 5 * EXTENTS
    assert film.volume.tallies.rewritten_bytes > 0
    assert prove(film.volume, FILM)
    film.volume.close()


def test_a_film_is_scrubbed_without_a_look_at_all_of_it_for_each_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(tmp_path, monkeypatch)
    volume, found = film.volume, list[object]()
    settings = ScrubSettings(1 << 40, 1.0, lambda _: 0.0)
    scrubber = Scrubber(
        volume.inspector(), volume.index, lambda: list(volume.packs.all), settings, FakeClock(), found.append,
        lambda _: None,
    )  # fmt: skip
    with film.counting():
        scrubber.run_pass()
    assert film.rows < 5 * EXTENTS
    assert found == []
    scrubber.close()
    volume.close()


def test_journals_are_completed_without_a_look_at_all_of_a_film_for_each_extent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film(tmp_path, monkeypatch)
    film.volume.close(clean=False)
    for journal in (tmp_path / "v" / "packs").glob("*.journal"):
        journal.write_bytes(journal.read_bytes()[:200])
    with film.counting():
        volume = open_volume(tmp_path, disk=Quick(), **MORE)
    assert film.rows < 5 * EXTENTS
    assert len(prove(volume, FILM) or ()) == EXTENTS
    volume.close()


def test_a_purge_looks_at_the_clock_after_each_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_volume(tmp_path, disk=Quick(), **MORE)
    for film in range(8):
        for number in range(20):
            put(volume, f"/films/{film}.mp4", 1, PIECE, start=number * PIECE, total=20 * PIECE)
    monkeypatch.setattr(purging, "STEP_SECONDS", 0.0)
    under_way, left = volume.purges.begin([Purge(Scope.PREFIX, b"/films/")], volume.generation), 8
    while under_way.step():
        assert left - volume.index.objects() <= 1, "others wait for this thread"
        left = volume.index.objects()
    assert (under_way.objects, volume.index.objects()) == (8, 0)
    volume.close()
