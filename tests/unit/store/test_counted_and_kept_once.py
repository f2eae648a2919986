"""What is counted once though it was tried twice, what leaves no row behind, what is renewed by its own 304 only."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import IndexFull
from edge.policy.purges import Purge, Scope
from edge.store.volume import Volume
from edge.words import MIB, Eviction
from tests.support.volumes import SLICE, name, open_volume, put
from tests.unit.store.test_disk_bound import Quick


def test_a_304_renews_no_short_lived_answer_of_another_version(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    like, asked = put(volume, "/other", 1, 10), name(volume, "/list")
    first = replace(like, generation=volume.new_generation(), etag=b'"1"', total=3)
    second = replace(like, generation=volume.new_generation(), etag=b'"2"', total=5)
    assert volume.put_live(asked, first, b"one")
    assert volume.put_live(asked, second, b"three"), "somebody else has brought it while the first was asked about"
    assert not volume.refresh(asked, replace(first, fresh_until=99.0))
    assert volume.lookup_live(asked) == (second, b"three")
    assert volume.refresh(asked, replace(second, fresh_until=99.0))
    found = volume.lookup_live(asked)
    assert found is not None
    assert (found[0].fresh_until, found[0].etag, found[1]) == (99.0, b'"2"', b"three")
    volume.close()


def extents_in_table(volume: Volume) -> int:
    with volume.index._tables.env.begin() as txn:
        return int(txn.stat(volume.index._tables.extents)["entries"])


def test_a_purge_leaves_no_row_behind_of_an_object_whose_extents_overlap(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/film", 1, SLICE, start=SLICE, total=3 * SLICE)
    put(volume, "/film", 1, 3 * SLICE)  # all of it has come in one piece
    purging = volume.purges.begin([Purge(Scope.KEY, b"/film")], volume.generation)
    while purging.step():
        pass
    assert purging.objects == 1
    volume.packs.seal_all()
    while volume.packs.all:
        assert volume.evict_step(keep=False)
    assert extents_in_table(volume) == 0
    volume.close()


def test_what_is_committed_at_the_second_try_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 1000)
    volume.packs.seal_all()
    volume.tallies.take_evictions()
    before, admitted = volume.tallies.admissions, volume.tallies.admitted_bytes
    note, full = volume._numbers.note, [True]

    def noting(txn: object) -> None:
        if full[0]:
            full[0] = False
            raise IndexFull("the index is full")
        note(txn)  # type: ignore[arg-type]

    monkeypatch.setattr(volume._numbers, "note", noting)
    monkeypatch.setattr(volume.room, "make_index_room", lambda: True)
    put(volume, "/a", 2, 1000)
    assert (volume.tallies.admissions - before, volume.tallies.admitted_bytes - admitted) == (1, 1000)
    assert volume.tallies.take_evictions() == {Eviction.REPLACED: 1}
    volume.close()


INSPECTING = """
import sys
from pathlib import Path
from edge.store import inspect
inspect.BATCH, decode, seen = 1, inspect.decode_stored, []
def waiting(raw):
    if not seen:
        print("begun", flush=True)
        sys.stdin.readline()
    seen.append(raw)
    return decode(raw)
inspect.decode_stored = waiting
print(inspect._count(Path(sys.argv[1]))[0])
"""


def test_an_index_that_grows_meanwhile_is_inspected(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, disk=Quick())
    for number in range(3):
        put(volume, f"/{number}", 1, 10)
    command = [sys.executable, "-c", INSPECTING, str(volume.index.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inspecting:
        assert inspecting.stdin is not None
        assert inspecting.stdout is not None
        assert inspecting.stdout.readline() == "begun\n"
        with volume.index._tables.env.begin(write=True) as txn:
            for number in range(2000):
                txn.put(b"\0%d" % number, bytes(8000), db=volume.index._tables.names)
        assert volume.index.used_bytes() > 10 * MIB
        said, _ = inspecting.communicate("go on\n", 60)
    assert int(said) == 3
    volume.close()
