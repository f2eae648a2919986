"""What a worker remembers of a volume and has open of it is bounded; what it remembers asks no index."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.store import reader as reading
from edge.store.doubts import KEEPER
from edge.store.hits import Shared, create_hits_file
from edge.store.reader import Reader
from edge.store.volume import Volume
from edge.words import KIB
from tests.support.reading import reader_beside
from tests.support.volumes import name, put, settings


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    told = settings(tmp_path, pack_size=128 * KIB)
    volume = Volume.open(
        tmp_path / "v", told, clock=FakeClock(), shared=Shared.of(create_hits_file(), KEEPER), boot="boot-1"
    )
    yield volume
    volume.close()


@pytest.fixture
def reader(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """As a worker has it, beside that keeper."""
    shared = Shared.of(create_hits_file(), 0)
    assert volume._versions is not None
    reader = reader_beside(volume, FakeClock(), monkeypatch, shared._replace(versions=volume._versions))
    yield reader
    reader.close()


def asked_of(reader: Reader) -> list[bytes]:
    """Names that the index is asked for from now on."""
    asked, raw = list[bytes](), reader._index.raw

    def counted(name: bytes) -> bytes | None:
        asked.append(name)
        return raw(name)

    reader._index.raw = counted  # type: ignore[method-assign]
    return asked


def test_a_name_that_is_remembered_is_not_looked_up_until_something_is_committed_nor_decoded_until_it_changes(
    volume: Volume, reader: Reader
) -> None:
    put(volume, "/a", 1, 1000)
    wanted = name(volume, "/a")
    asked = asked_of(reader)
    known = [reader.lookup(wanted) for _ in range(2)][-1]
    assert known is not None
    assert asked == [wanted] * 2, "the second time it is remembered"
    assert all(reader.lookup(wanted) is known for _ in range(5))
    assert len(asked) == 2
    put(volume, "/b", 1, 1000)
    assert all(reader.lookup(wanted) is known for _ in range(5)), "the index has the same bytes"
    assert len(asked) == 3
    put(volume, "/a", 2, 1000)
    renewed = reader.lookup(wanted)
    assert renewed is not None
    assert (known.etag, renewed.etag) == (b'"1"', b'"2"')


def test_a_worker_remembers_so_many_names_and_none_that_it_was_asked_for_once(
    volume: Volume, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MEMO", 10)
    names = [name(volume, f"/{number}") for number in range(60)]
    for number in range(60):
        put(volume, f"/{number}", 1, 100)
    for wanted in names[:30]:
        assert reader.lookup(wanted) is not None
        assert reader.lookup(wanted) is not None
        assert len(reader._memo) <= 10
    assert list(reader._memo) == names[20:30], "those that came last"
    for wanted in names[30:]:
        assert reader.lookup(wanted) is not None
    assert list(reader._memo) == names[20:30]


def test_a_worker_has_so_many_packs_open(volume: Volume, reader: Reader) -> None:
    for number in range(12):
        put(volume, f"/{number}", 1, 100_000)
    volume.flush_journals()

    def descriptors() -> int:
        links = (Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
        return sum(str(volume.packs.directory) in os.readlink(link) for link in links if link.is_symlink())

    before, reader._most_packs = descriptors(), 3
    assert len(volume.packs.all) == 12
    for pack in volume.packs.all:
        assert reader.pack_file(pack) is not None
        reader._close_some()  # as its threads do
        assert descriptors() <= before + 3
    assert descriptors() == before + 3
    assert list(reader._packs) == list(volume.packs.all)[-3:]


def test_a_worker_remembers_so_many_short_lived_answers(volume: Volume, reader: Reader) -> None:
    record = put(volume, "/other", 1, 10)
    reader._live = volume.live
    for number in range(1010):
        wanted = name(volume, f"/list/{number}")
        assert volume.live.put(wanted, replace(record, generation=number + 2), b"list")
        assert reader.lookup_live(wanted) is not None
    assert len(reader._live_memo) == 1000


async def test_a_worker_knows_so_many_blocks_to_be_right(
    volume: Volume, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "VERIFIED_BLOCKS", 5)
    for number in range(4):
        record = put(volume, f"/{number}", 1, 100_000)  # two blocks
        stored = reader.lookup(name(volume, f"/{number}"))
        assert stored is not None
        assert stored.first is not None
        assert len(await reader.read_verified(record, stored.first, 0, 100_000)) == 100_000
    assert len(reader._verified) == 5
