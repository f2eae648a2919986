"""A body whose record is older than the index: it goes by the index, and reports nothing good as bad."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.delivery.body import ObjectBody
from edge.demo.describing import body_slice
from edge.fill.messages import Bad, Fetch, Message
from edge.server.exchange import FileWindow
from edge.store.live import LiveTable
from edge.store.reader import Reader
from edge.store.record import Record
from edge.store.volume import Volume
from edge.tasks import Tasks
from edge.words import KIB, PENDING, Eviction
from tests.support.volumes import name, open_volume, put

TOTAL = 200_000


@dataclass
class Keeper:
    """What the keeper is told."""

    told: list[Message] = field(default_factory=list)

    def tell(self, message: Message) -> None:
        self.told.append(message)


class NotAskedFor(Exception):
    """The body wanted to have something fetched."""


class Room:
    """Sources over a volume, and the exchange of the body: `moved` when that may go on."""

    def __init__(self, volume: Volume) -> None:
        volume.close()  # LMDB wants a process to have an index open once only
        LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
        self.volume = volume
        self.reader = Reader(volume.hello, FakeClock())
        self.asker = Keeper()
        self.tasks = Tasks("reads")
        self.moved = asyncio.Event()

    def resume(self) -> None:
        self.moved.set()

    def body(self, record: Record, start: int, end: int) -> ObjectBody:
        def no_fetch(start: int, end: int, *_: object) -> Fetch:
            raise NotAskedFor(f"{start}-{end}")

        return ObjectBody(self, self, record, [(start, end)], no_fetch, name=name(self.volume, "/a"))  # type: ignore[arg-type]

    async def read(self, record: Record, start: int, end: int) -> bytes:
        body, data = self.body(record, start, end), bytearray()
        async with asyncio.timeout(10):
            while (window := body.next_window(1 << 20)) is not None:
                if window is PENDING:
                    await self.moved.wait()
                    self.moved.clear()
                elif isinstance(window, FileWindow):
                    data += os.pread(window.file.fileno(), window.count, window.offset)
                else:
                    assert not isinstance(window, type(PENDING))
                    data += window
        return bytes(data)


async def test_what_came_to_lie_before_the_extent_of_the_record_at_hand_is_found(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, start=64 * KIB, total=TOTAL)
    at_hand = volume.lookup(name(volume, "/a"))
    assert at_hand is not None
    put(volume, "/a", 1, 64 * KIB, start=0, total=TOTAL)  # the index has this one in the record now
    room = Room(volume)
    assert await room.read(at_hand, 1000, 70_000) == body_slice("/a", 1, 1000, 70_000)
    assert room.asker.told == []


async def test_an_extent_that_moved_is_read_where_it_is_now_and_not_called_bad(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    at_hand = volume.lookup(name(volume, "/a"))
    assert at_hand is not None
    assert at_hand.first is not None
    filler = put(volume, "/filler", 1, volume.pack_size)
    put(volume, "/a", 1, 64 * KIB, total=TOTAL)  # the same bytes, in another pack
    renewed = volume.lookup(name(volume, "/a"))
    assert renewed is not None
    assert renewed.first is not None
    assert renewed.first.pack > at_hand.first.pack, filler
    volume.packs.pack_path(at_hand.first.pack).unlink()
    room = Room(volume)
    assert await room.read(at_hand, 0, 1000) == body_slice("/a", 1, 0, 1000)
    assert room.asker.told == []


async def test_a_pack_that_is_gone_is_reported_where_the_index_still_offers_it(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    at_hand = volume.lookup(name(volume, "/a"))
    assert at_hand is not None
    assert at_hand.first is not None
    volume.packs.pack_path(at_hand.first.pack).unlink()
    room = Room(volume)
    body = room.body(at_hand, 0, 1000)
    with pytest.raises(NotAskedFor):
        body.next_window(1000)
    assert [(bad.pack, bad.offset) for bad in room.asker.told if isinstance(bad, Bad)] == [
        (at_hand.first.pack, at_hand.first.offset)
    ]


async def test_the_same_version_that_somebody_fetched_anew_is_as_good_as_the_promised_one(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    at_hand = volume.lookup(name(volume, "/a"))
    assert at_hand is not None
    volume.delete(name(volume, "/a"), None, Eviction.REPLACED)
    put(volume, "/a", 1, TOTAL)
    room = Room(volume)
    assert await room.read(at_hand, 60_000, 190_000) == body_slice("/a", 1, 60_000, 190_000)
    assert room.asker.told == []


@pytest.mark.parametrize(("version", "total"), [(2, TOTAL), (1, TOTAL + 1)])
async def test_another_version_is_never_taken_for_it(tmp_path: Path, version: int, total: int) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    at_hand = volume.lookup(name(volume, "/a"))
    assert at_hand is not None
    volume.delete(name(volume, "/a"), None, Eviction.REPLACED)
    put(volume, "/a", version, total)
    with pytest.raises(NotAskedFor):
        Room(volume).body(at_hand, 100_000, 190_000).next_window(1000)


async def test_a_body_that_waits_lets_go_of_what_it_has_handed_out(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    record = put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    room = Room(volume)
    body = room.body(record, 64 * KIB, TOTAL)
    read: list[int] = []
    asking: Any = SimpleNamespace(
        over=False,
        fetch=SimpleNamespace(start=0, end=TOTAL, suffix=0),
        at=lambda _: None,
        read=lambda position, _: read.append(position),
        cancel=lambda: None,
    )
    body._asking = asking
    assert body.next_window(1 << 20) is PENDING
    assert read == [64 * KIB]
    body.close()


async def test_who_asks_for_more_lets_go_of_what_he_asked_before(tmp_path: Path) -> None:
    """Of several ranges each is asked for by itself. The worker kept each fetch that was over, and its scratch, too."""
    volume = open_volume(tmp_path)
    record = put(volume, "/a", 1, 64 * KIB, total=TOTAL)
    body = Room(volume).body(record, 64 * KIB, TOTAL)
    let_go: list[str] = []
    over: Any = SimpleNamespace(over=True, at=lambda _: None, cancel=lambda: let_go.append("former"))
    body._asking = over
    asked: Any = SimpleNamespace(over=False, read=lambda *_: None, cancel=lambda: let_go.append("own"))
    body._make_fetch = lambda *_: asked
    body._sources.asker.ask = lambda *_: asked  # type: ignore[method-assign]
    assert body.next_window(1 << 20) is PENDING
    assert let_go == ["former"]
    body.close()
    assert let_go == ["former", "own"]
