"""What an origin or a player says at such length that no record can hold it: not kept, and the index is as good."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.store.record import Extent, checksum
from edge.store.volume import Volume
from tests.support.volumes import name, open_volume, prove, put

LONG = b"x" * 70_000  # a field of a record says its length in 16 bits


@pytest.mark.parametrize("field", ["key", "vary"])
def test_a_field_that_is_too_long_for_a_record_is_no_reason_to_lose_the_index(tmp_path: Path, field: str) -> None:
    volume, lost = open_volume(tmp_path), list[str]()
    volume.index.lost = lost.append
    record = put(volume, "/a", 1, 1000)
    place = volume.reserve(1)
    volume.write(place, 0, b"x")
    volume.release(place)
    longer = replace(record, generation=volume.new_generation(), **{field: LONG})  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="cannot hold"):
        volume.commit(name(volume, "/b"), longer, [Extent(0, 1, place.pack, place.offset, (checksum(b"x"),))])
    renewed = replace(record, **{field: LONG})  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="cannot hold"):  # as when lists of variants grow
        volume.refresh(name(volume, "/a"), renewed)
    with pytest.raises(StoreError, match="cannot hold"):
        volume.put_live(name(volume, "/c"), longer, b"x")
    assert lost == []
    still_good(volume)
    volume.close()


def still_good(volume: Volume) -> None:
    assert prove(volume, "/a") == {0: 1000}
    assert volume.lookup(name(volume, "/b")) is None
    put(volume, "/b", 1, 2000)
    assert prove(volume, "/b") == {0: 2000}
