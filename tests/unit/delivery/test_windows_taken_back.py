"""Windows whose bytes are not in memory any more: the pool reads them, and a keeper brings what it cannot."""

import errno
import os
from pathlib import Path

import pytest

from edge.delivery.body import ObjectBody
from edge.demo.describing import body_slice
from edge.fill.asking import Asking
from edge.fill.messages import Bad, Fetch, Mode, Place
from edge.server.exchange import BodyBroken, FileWindow
from edge.store import packfile, reader
from edge.store.record import Record
from edge.store.volume import Volume
from edge.words import KIB, PENDING, Kind, Reason
from tests.support.volumes import name, open_volume, put
from tests.unit.delivery.test_body import NotAskedFor, Room

SIZE = 200_000
WHOLE = body_slice("/a", 1, 0, SIZE)
LIMIT = 1 << 20


def stored(tmp_path: Path) -> tuple[Volume, Record]:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, SIZE)
    record = volume.lookup(name(volume, "/a"))
    assert record is not None
    return volume, record


def fails(*_: object) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def read_in_pool(room: Room, body: ObjectBody) -> None:
    assert body.next_window(LIMIT) is PENDING
    await room.moved.wait()
    room.moved.clear()


async def test_what_was_taken_back_comes_from_the_pool_verified_from_the_same_byte(tmp_path: Path) -> None:
    volume, record = stored(tmp_path)
    room = Room(volume)
    body = room.body(record, 1000, SIZE)
    window = body.next_window(LIMIT)
    assert isinstance(window, FileWindow)
    assert window.count == 64 * KIB - 1000
    body.take_back(60_000)
    await read_in_pool(room, body)
    again = body.next_window(LIMIT)
    assert isinstance(again, memoryview)
    assert bytes(again) == WHOLE[64 * KIB - 60_000 : 64 * KIB]
    following = body.next_window(LIMIT)
    assert isinstance(following, FileWindow), "what is in memory is sent from there"
    assert room.asker.told == []


async def test_nobody_believes_any_more_that_it_is_in_memory(tmp_path: Path) -> None:
    volume, record = stored(tmp_path)
    room = Room(volume)
    body = room.body(record, 0, SIZE)
    body.next_window(LIMIT)
    assert repr(room.reader.seen) == "<Seen blocks=1>"
    body.take_back(10)
    assert repr(room.reader.seen) == "<Seen blocks=0>"
    await read_in_pool(room, body)


async def test_what_the_disk_does_not_give_either_is_told_and_asked_for_from_the_same_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, record = stored(tmp_path)
    assert record.first is not None
    room = Room(volume)
    body = room.body(record, 0, SIZE)
    body.next_window(LIMIT)
    monkeypatch.setattr(reader, "read_blocks", fails)
    body.take_back(5000)
    await read_in_pool(room, body)
    with pytest.raises(NotAskedFor, match=f"^{64 * KIB - 5000}-{SIZE}$"):
        body.next_window(LIMIT)
    place = record.first.pack, record.first.offset
    assert room.asker.told == [Bad(name(volume, "/a"), record.generation, *place, Reason.STORE_FAILED)]


async def test_a_whole_body_that_was_not_in_memory_begins_in_the_pool(tmp_path: Path) -> None:
    volume, record = stored(tmp_path)
    assert record.first is not None
    room = Room(volume)
    body = room.body(record, 70_000, 190_000)
    body.begin_in_pool(record.first)
    await read_in_pool(room, body)
    got = body.next_window(LIMIT)
    assert isinstance(got, memoryview)
    assert bytes(got) == WHOLE[70_000:190_000]
    assert body.next_window(LIMIT) is None


class Keeper:
    """A keeper that has announced where all of the object lies."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def send(self, message: object) -> None:
        self.told.append(message)

    tell = drop = send


def announced(tmp_path: Path) -> tuple[Room, ObjectBody, Keeper]:
    volume, record = stored(tmp_path)
    assert record.first is not None
    room, keeper = Room(volume), Keeper()
    room.asker = keeper  # type: ignore[assignment]
    fetch = Fetch(7, Mode.FILL, "s", b"GET", b"/a", b"/a", b"/a", Kind.SEGMENT)
    asking = Asking(keeper, fetch, None)  # type: ignore[arg-type]
    asking.take(Place(7, 0, SIZE, record.first.pack, record.first.offset), [])

    def make_fetch(start: int, end: int, *_: object) -> Fetch:
        raise NotAskedFor(f"{start}-{end}")

    body = ObjectBody(
        room, room, record, [(0, SIZE)], make_fetch, name=name(volume, "/a"), asking=asking  # type: ignore[arg-type]
    )  # fmt: skip
    return room, body, keeper


def cached(room: Room, record: Record) -> int:
    assert record.first is not None
    file = room.reader.pack_file(record.first.pack)
    assert file is not None
    os.fdatasync(file.fileno())
    return room.reader._residency.cached(file.fileno(), record.first.offset, SIZE)


async def test_what_was_announced_and_is_not_in_memory_any_more_comes_from_the_pool(tmp_path: Path) -> None:
    room, body, keeper = announced(tmp_path)
    assert cached(room, body._record) == 49
    window = body.next_window(LIMIT)
    assert isinstance(window, FileWindow)
    assert window.count == SIZE
    body.take_back(SIZE - 10)
    await read_in_pool(room, body)
    again = body.next_window(LIMIT)
    assert isinstance(again, memoryview)
    assert bytes(again) == WHOLE[10:]
    assert not any(isinstance(said, Bad) for said in keeper.told)
    assert cached(room, body._record) == 0, "nobody has verified it, so it does not stay in memory"


async def test_what_was_announced_and_cannot_be_read_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, body, keeper = announced(tmp_path)
    assert body._record.first is not None
    body.next_window(LIMIT)
    monkeypatch.setattr(reader, "read_at", fails)
    body.take_back(SIZE - 10)
    await read_in_pool(room, body)
    with pytest.raises(NotAskedFor, match=f"^10-{SIZE}$"):
        body.next_window(LIMIT)
    place = body._record.first.pack, body._record.first.offset
    assert Bad(body._name, body._record.generation, *place, Reason.STORE_FAILED) in keeper.told


async def test_memory_that_cannot_be_read_breaks_the_body(tmp_path: Path) -> None:
    volume, record = stored(tmp_path)
    with pytest.raises(BodyBroken):
        Room(volume).body(record, 0, SIZE).take_back(1)


@pytest.mark.parametrize("what", ["read", "checksum"])
async def test_a_read_that_has_failed_leaves_nothing_that_counts_as_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The kernel keeps a page that it has not got, and says that it is there: who sends it would wait, and fail."""
    volume, record = stored(tmp_path)
    assert record.first is not None
    room = Room(volume)
    assert cached(room, record) == 49
    plain = packfile.read_at

    def reads(fd: int, count: int, offset: int) -> bytes:
        data = plain(fd, count, offset)
        return fails() if what == "read" else bytes(len(data))

    monkeypatch.setattr(packfile, "read_at", reads)
    with pytest.raises(OSError if what == "read" else packfile.CorruptExtent):
        await room.reader.read_verified(record, record.first, 0, SIZE)
    assert cached(room, record) == 0
    assert repr(room.reader.seen) == "<Seen blocks=0>"
