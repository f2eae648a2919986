"""What proved bad where it lay is forgotten, and nothing else; what the scrubber finds: test_scrub."""

from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from edge.errors import StoreError
from edge.store.record import Flag
from edge.words import KIB, Eviction
from tests.support.volumes import FailingIndex, name, open_volume, prove, put


def test_an_extent_that_proved_bad_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, start=0, total=200_000)
    record = put(volume, "/a", 1, 64 * KIB, start=64 * KIB, total=200_000)
    stored = volume.lookup(name(volume, "/a"))
    assert stored is not None
    bad, good = volume.extents(stored)
    a, generation = name(volume, "/a"), record.generation
    assert not volume.mending.drop_extent(a, generation, bad.pack, bad.offset + 1, Eviction.CORRUPT)  # it has moved
    assert volume.mending.drop_extent(a, generation, bad.pack, bad.offset, Eviction.CORRUPT)
    assert prove(volume, "/a") == {64 * KIB: 64 * KIB}
    assert not volume.mending.drop_extent(a, generation, bad.pack, bad.offset, Eviction.CORRUPT)  # who finds it second
    assert not volume.mending.drop_extent(a, generation + 1, good.pack, good.offset, Eviction.CORRUPT)
    volume.close()


def test_what_an_index_that_cannot_be_written_keeps_is_not_offered_again(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, start=0, total=200_000)
    record = put(volume, "/a", 1, 64 * KIB, start=64 * KIB, total=200_000)
    a = name(volume, "/a")
    for extent in volume.extents(volume.lookup(a) or record):
        FailingIndex(volume, 1, lmdb.DiskError("EIO"))
        with pytest.raises(StoreError):
            volume.mending.drop_extent(a, record.generation, extent.pack, extent.offset, Eviction.CORRUPT)
        assert volume.index.record(a) is not None
    left = volume.lookup(a)
    assert left is not None
    assert (left.first, volume.extents(left)) == (None, [])
    volume.close()


def test_of_what_cannot_be_forgotten_so_many_places_are_kept_in_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.mending.LOST_MOST", 3)
    volume = open_volume(tmp_path)
    FailingIndex(volume, 6, lmdb.DiskError("EIO"), for_ever=True)
    places = []
    for number in range(5):
        record = put(volume, f"/{number}", 1, 1000)
        (extent,) = volume.extents(volume.lookup(name(volume, f"/{number}")) or record)
        places.append((name(volume, f"/{number}"), record.generation, extent.pack, extent.offset))
    for place in places:
        with pytest.raises(StoreError):
            volume.mending.drop_extent(*place, Eviction.CORRUPT)
    assert list(volume.mending.lost) == [place[2:] for place in places[2:]], "those that were found last"
    volume.close()


def test_of_what_is_whole_or_nothing_a_bad_extent_that_cannot_be_forgotten_takes_all(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    record = replace(put(volume, "/a", 1, 1000), flags=Flag.WHOLE, generation=volume.new_generation())
    a = name(volume, "/a")
    (extent,) = volume.extents(volume.lookup(a) or record)
    assert volume.commit(a, record, [extent])
    FailingIndex(volume, 1, lmdb.DiskError("EIO"))
    with pytest.raises(StoreError):
        volume.mending.drop_extent(a, record.generation, extent.pack, extent.offset, Eviction.CORRUPT)
    assert volume.lookup(a) is None
    volume.close()
