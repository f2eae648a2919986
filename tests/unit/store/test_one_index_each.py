"""A place for indexes that two configurations name: the packs of both have the same numbers."""

import shutil
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import VolumeBusy
from edge.store.volume import Volume
from edge.words import KIB
from tests.support.rebuilding import finish_rebuild
from tests.support.volumes import prove, put, settings


def opened(directory: Path, called: str) -> Volume:
    said = settings(directory, index_dir=directory / "ssd")
    return Volume.open(directory / called, said, clock=FakeClock(), boot="boot-1")


def test_who_comes_second_is_told_who_has_it(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    put(first, "/x", 1, KIB)
    with pytest.raises(VolumeBusy, match="ssd is kept by another process"):
        opened(tmp_path, "b")
    assert prove(first, "/x") == {0: KIB}
    first.close()
    second = opened(tmp_path, "b")
    second.close()


def test_an_index_that_another_volume_has_left_in_its_place_is_not_taken_for_its_own(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    put(first, "/x", 1, KIB)
    first.close()
    second = opened(tmp_path, "b")
    for number in range(20):
        put(second, f"/{number}", 1, KIB)
    second.close()
    (index,) = (tmp_path / "ssd").glob("index-*")
    if index.name != first.hello.index_path.rpartition("/")[2]:
        shutil.move(index, tmp_path / "ssd" / first.hello.index_path.rpartition("/")[2])
    first = opened(tmp_path, "a")
    assert first.index_lost
    finish_rebuild(first)
    assert (first.index.objects(), prove(first, "/x")) == (1, {0: KIB})
    first.close()
    first = opened(tmp_path, "a")
    assert not first.index_lost
    first.close()
