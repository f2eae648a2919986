"""Short-lived answers where shared memory has no room: refused, or kept elsewhere, and the disk is not to blame."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest

from edge.errors import StoreError
from edge.store.health import is_of_the_disk
from edge.store.live import split_live
from edge.store.volume import Volume
from edge.words import KIB
from tests.support.rebuilding import lose_index, rebuilt
from tests.support.volumes import fill_up, name, open_volume, prove, put

BODY = os.urandom(100 * KIB)


@contextmanager
def no_more_than(path: Path) -> Iterator[None]:
    """No file of this process may become longer than this one is, as if nothing were left where it lies."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def keep(volume: Volume, key: str) -> bool:
    record = replace(put(volume, "/other", 1, 10), key=key.encode(), generation=volume.new_generation())
    return volume.put_live(name(volume, key), record, BODY)


def test_what_has_no_room_in_shared_memory_is_refused_and_the_rest_stays(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    for number in range(8):
        assert keep(volume, f"/{number}")
    with no_more_than(volume._opened.live_path / "data.mdb"):
        assert not keep(volume, "/8")
        raw = volume.live.raw(name(volume, "/7"))
        assert raw is not None
        assert split_live(raw)[1] == BODY
        assert volume.live.raw(name(volume, "/8")) is None
        volume.live.drop(name(volume, "/7"))
        assert volume.live.raw(name(volume, "/7")) is None
    assert keep(volume, "/8")
    volume.close()


def test_what_cannot_be_removed_from_shared_memory_is_told_and_is_no_error_of_the_disk(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    assert keep(volume, "/a")
    fill_up(volume.live)
    with pytest.raises(StoreError) as told:
        volume.live.drop(name(volume, "/a"))
    assert not is_of_the_disk(told.value)
    assert volume.live.sweep(1e12) == 1, "the next sweep goes on"
    volume.close()


def test_a_lasting_answer_is_kept_also_where_the_short_lived_one_before_it_cannot_be_removed(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    assert keep(volume, "/a")
    fill_up(volume.live)
    put(volume, "/a", 1, 1000)
    put(volume, "/b", 1, 1000)
    assert prove(volume, "/a") == {0: 1000}
    volume.close()
    lose_index(tmp_path)
    volume = rebuilt(tmp_path)
    assert prove(volume, "/a") == prove(volume, "/b") == {0: 1000}, "its journal knows it, too"
    volume.close()


def test_a_start_without_room_in_shared_memory_keeps_short_lived_answers_beside_the_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, lmdb_open = tmp_path / "shm", lmdb.open
    shared.mkdir()

    def no_room(path: str, **more: Any) -> Any:
        if path.startswith(str(shared)):
            raise lmdb.DiskError(f"{path}: No space left on device")
        return lmdb_open(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", no_room)
        volume = open_volume(tmp_path, live_dir=shared)
    assert not list(shared.iterdir())
    assert keep(volume, "/a")
    place = Path(volume.hello.live_path)
    assert place.parent == (tmp_path / "v").resolve()
    volume.close(clean=False)
    assert not place.exists()


def test_a_start_finds_a_place_also_where_there_is_no_shared_memory(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, live_dir=Path("/proc/self/none"))
    assert keep(volume, "/a")
    left = Path(volume.hello.live_path)
    assert left.parent == (tmp_path / "v").resolve()
    volume._opened.live_path = tmp_path / "none"  # killed: its directory stays
    volume.close(clean=False)
    assert left.exists()
    volume = open_volume(tmp_path)
    assert not left.exists()
    volume.close()


def test_what_is_renewed_needs_room_for_what_it_is_longer_only(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    volume.live._budget = 3 * len(BODY)
    assert keep(volume, "/a")
    assert keep(volume, "/b")
    assert keep(volume, "/b"), "it takes the place of the one before"
    assert not keep(volume, "/c")
    assert volume.live.raw(name(volume, "/a")) is not None
    assert volume.live.raw(name(volume, "/b")) is not None
    volume.close()


def test_what_there_is_no_room_to_renew_is_gone_since_a_newer_one_has_been_served(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    assert keep(volume, "/a")
    volume.live._budget = len(BODY)
    assert not keep(volume, "/a")
    assert volume.live.raw(name(volume, "/a")) is None
    assert volume.live._bytes == 0
    volume.close()
