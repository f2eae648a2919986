"""What the store's thread does each second, and with each deletion, does not grow with what is stored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.store.eviction import Row
from edge.store.journal import DeleteEntry
from edge.store.live import VALIDATED_LATER
from edge.store.pack import Pack
from tests.support.volumes import open_volume, put

FRESH = 1000.0


@pytest.mark.parametrize(
    ("more", "grace"),
    [
        ({}, 0),
        ({"stale_while_revalidate": 30}, 30),
        ({"stale_if_error": 90, "stale_while_revalidate": 30}, 90),
        ({"etag": b'"a"'}, VALIDATED_LATER),
        ({"last_modified": 1}, VALIDATED_LATER),
        ({"last_modified": 1, "stale_if_error": 7200}, 7200),
    ],
)
def test_a_short_lived_answer_is_swept_when_it_is_of_no_more_use_and_none_is_decoded_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], grace: int
) -> None:
    volume = open_volume(tmp_path)
    record = replace(put(volume, "/x", 1, 10), first=None, etag=b"", fresh_until=FRESH, stored_at=7.0, base_time=5.0)
    assert volume.live.put(b"n" * 16, replace(record, **more), b"list")

    def decoded(_value: bytes) -> None:
        raise AssertionError("thirty thousand of them take 0.2 s")

    monkeypatch.setattr("edge.store.live.split_live", decoded)
    assert volume.live.sweep(FRESH + grace) == 0
    assert volume.live.sweep(FRESH + grace + 0.1) == 1
    volume.close()


def test_a_deletion_goes_into_the_journals_that_are_open_without_a_look_at_all_packs(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    packs = volume.packs
    for row in Row:
        packs.reserve(100, row)

    class Many(dict[int, Pack]):
        def values(self) -> Any:
            raise AssertionError("there may be 30,000")

    before, packs.all = packs.all, Many(packs.all)
    lengths = {row: packs.actives[row].journal_at for row in Row}
    packs.log_for_certain(DeleteEntry(b"n" * 16, 1, 1))
    assert all(packs.actives[row].journal_at > lengths[row] for row in Row)
    packs.all = before
    volume.close()
