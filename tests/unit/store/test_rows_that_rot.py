"""Rows of the side tables that go bad: of objects in several extents, and of what lies where.

A row of `extents` has a checksum of it and its key; a row of `places` has none, and may cost what it names, its space
included until its pack goes. Nothing is read as another object's, and eviction comes to its end.
"""

import random
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage
from tests.support.rebuilding import finish_rebuild
from tests.support.volumes import open_volume, prove, put

PART, PARTS, OBJECTS = 5000, 6, 24
KEY_BYTES = {"extents": 16, "places": 12}
MORE = {"size_bytes": 64 * MIB, "pack_size": 128 * KIB}


def fill(directory: Path) -> None:
    """Parts of objects one after the other, so that each has some in several packs."""
    volume = open_volume(directory, **MORE)
    for part in range(PARTS):
        for number in range(OBJECTS):
            put(volume, f"/{number}", 1, PART, start=part * PART, total=PARTS * PART)
    volume.close()


def rows(volume: Volume, table: str) -> list[bytes]:
    """Each with its key before it, as LMDB has it on a page."""
    tables = volume.index._tables
    with tables.env.begin() as txn:
        return [bytes(key) + bytes(value) for key, value in txn.cursor(db=getattr(tables, table))]


def rot(directory: Path, table: str, seed: int, *, keys: bool = False) -> int:
    """One bit in a third of a table's rows, wherever they stand, in the value or in the key; how many."""
    volume = open_volume(directory, **MORE)
    found = rows(volume, table)
    path = volume.index.path / "data.mdb"
    volume.close()
    rng, raw = random.Random(seed), bytearray(path.read_bytes())
    harmed = rng.sample(found, len(found) // 3)
    for row in harmed:
        at = rng.randrange(KEY_BYTES[table]) if keys else rng.randrange(KEY_BYTES[table], len(row))
        bit, place = rng.randrange(8), raw.find(row)
        assert place >= 0
        while place >= 0:
            raw[place + at] ^= 1 << bit
            place = raw.find(row, place + 1)
    path.write_bytes(raw)
    return len(harmed)


def evict_all(volume: Volume) -> None:
    for _ in range(1000):
        if not volume.evict_step(keep=False):
            return
    raise AssertionError("eviction does not come to an end")


@pytest.mark.parametrize("seed", range(3))
def test_extents_with_a_bad_row_are_not_there_and_no_other_is_taken_for_them(tmp_path: Path, seed: int) -> None:
    fill(tmp_path)
    harmed = rot(tmp_path, "extents", seed)
    volume = open_volume(tmp_path, **MORE)
    found = [prove(volume, f"/{number}") or {} for number in range(OBJECTS)]
    assert harmed > 10
    assert sum(map(len, found)) == OBJECTS * PARTS - harmed
    for number in range(OBJECTS):
        for start in range(0, PARTS * PART, PART):
            if start not in found[number]:
                put(volume, f"/{number}", 1, PART, start=start, total=PARTS * PART)
        assert len(prove(volume, f"/{number}") or {}) == PARTS, "it has been fetched again"
    evict_all(volume)
    volume.close()


@pytest.mark.parametrize("seed", range(3))
def test_bad_rows_of_places_hold_up_no_eviction_and_cost_no_more_than_they_name(tmp_path: Path, seed: int) -> None:
    fill(tmp_path)
    rot(tmp_path, "places", seed)
    volume = open_volume(tmp_path, **MORE)
    used = volume.packs.used_bytes
    for number in range(OBJECTS):
        assert len(prove(volume, f"/{number}") or {}) == PARTS
    evict_all(volume)
    assert volume.packs.used_bytes == 0 < used
    for number in range(OBJECTS):
        assert not prove(volume, f"/{number}"), "its packs are gone"
        put(volume, f"/{number}", 2, PART)
        assert prove(volume, f"/{number}") == {0: PART}
    volume.close()


@pytest.mark.parametrize("table", ["extents", "places"])
@pytest.mark.parametrize("seed", range(2))
def test_bad_keys_cost_the_index_where_they_are_met_and_nothing_else(tmp_path: Path, table: str, seed: int) -> None:
    fill(tmp_path)
    rot(tmp_path, table, seed, keys=True)
    volume = open_volume(tmp_path, **MORE)

    def use() -> None:
        for number in range(OBJECTS):
            prove(volume, f"/{number}")
            put(volume, f"/{number}", 1, PART, total=PARTS * PART)
        evict_all(volume)

    with pytest.raises(StoreError, match="out of order"):
        use()
    volume.close(clean=False)
    volume = open_volume(tmp_path, **MORE)
    assert volume.rebuilding
    assert volume.tallies.take_damage() == {Damage.INDEX_PAGES: 1}
    finish_rebuild(volume)
    for number in range(OBJECTS):
        prove(volume, f"/{number}")  # what was evicted before it was found is gone
        put(volume, f"/{number}", 1, PART, total=PARTS * PART)
        assert 0 in (prove(volume, f"/{number}") or {})
    evict_all(volume)
    volume.close()


def test_places_that_say_too_much_do_not_fill_the_volume(tmp_path: Path) -> None:
    """After a kill a journal is completed from them, and what its pack holds is learnt."""
    volume = open_volume(tmp_path, **MORE)
    put(volume, "/a", 1, PART)
    (row,) = rows(volume, "places")
    path = volume.index.path / "data.mdb"
    volume.close(clean=False)
    raw = path.read_bytes()
    with path.open("r+b") as file:  # the same file: it is still in memory
        file.write(raw.replace(row, row[:-1] + bytes((row[-1] ^ 0x40,))))
    volume = open_volume(tmp_path, **MORE)
    assert not volume.rebuilding
    assert volume.packs.used_bytes <= 128 * KIB
    assert prove(volume, "/a") == {0: PART}
    volume.close()
