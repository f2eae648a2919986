"""The real store and its model agree on the same requests, and a restart half way changes little.

The usual tests go without the disk's waits and without the compiler: a busy machine needs minutes for both.
"""

import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.policies import model
from benchmarks.policies.workload import Law, Shape, Trace, generate, key_of, reduced
from edge.clock import FakeClock
from edge.store.disk import Disk
from edge.store.hits import BUCKETS, HitCounters, create_hits_file
from edge.store.names import name_of
from edge.store.record import Extent, Flag, Record, blocks, checksum
from edge.store.room import Room
from edge.store.volume import Volume
from edge.words import KIB, MIB, Kind
from tests.support.volumes import settings

PACK = 512 * KIB
COMPILED = ("_append", "_touch", "_observe", "_fade", "_oldest", "_scores", "_evict", "_fill", "_replay")
IDENTITY = json.dumps({"format": 1, "volume": str(uuid.UUID(int=1)), "key": "0f" * 16, "created": 0})


def small(requests: int) -> Trace:
    """A day's requests for segments of a 64th of their size."""
    return reduced(generate(Shape(law=Law.BENT, titles=25, requests=requests, days=1)), 64)


def capacity_of(trace: Trace, share: float) -> int:
    return max(16 * MIB, int(share * trace.footprint))


class UnsyncedDisk(Disk):
    """No power is lost here."""

    def fdatasync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model as it is written: for a few thousand requests that is quicker than to compile it."""
    for function in COMPILED:
        monkeypatch.setattr(model, function, getattr(model, function).py_func)


@dataclass
class Node:
    """A volume and its counters, as a keeper has them; `off` loses what is only in memory."""

    directory: Path
    capacity: int
    clock: FakeClock = field(default_factory=FakeClock)
    rewritten: int = 0

    def on(self) -> None:
        if not (self.directory / "v").exists():  # a key of its own would make other names: other collisions each time
            (self.directory / "v").mkdir(parents=True)
            (self.directory / "v" / "volume.json").write_text(IDENTITY)
        self.fd = create_hits_file()
        told = settings(self.directory, size_bytes=self.capacity, pack_size=PACK)
        self.volume = Volume.open(self.directory / "v", told, clock=self.clock, disk=UnsyncedDisk(), boot="boot-1")
        self.hits = self.volume.popularity.hits = HitCounters(self.fd)
        self.volume.room.recall()

    def off(self) -> None:
        self.rewritten += self.volume.tallies.rewritten_bytes
        self.volume.close()
        os.close(self.fd)

    def store(self, name: bytes, key: bytes, length: int) -> None:
        volume = self.volume
        while volume.needs_room() and volume.evict_step():
            pass
        record = Record(
            volume.new_generation(), Kind.SEGMENT, 200, Flag.STRONG, length, MIB, 1.0, 2.0, 3.0, 0, 0, 0, 0, key, key,
            b'"1"', b"", (), b"",
        )  # fmt: skip
        place = volume.reserve(length, name, key)
        data = bytes(length)
        volume.write(place, 0, data)
        sums = tuple(checksum(data[start:end]) for start, end in blocks(0, length, MIB))
        volume.commit(name, record, [Extent(0, length, place.pack, place.offset, sums)])
        volume.release(place)

    def replay(self, trace: Trace, keys: list[str], names: list[bytes], *, restart: bool = False) -> float:
        """The byte hit ratio of the second half."""
        asked = hit = 0
        began, half = self.clock.wall(), len(trace.objects) // 2
        for at, (entry, now) in enumerate(zip(trace.objects.tolist(), trace.times.tolist(), strict=True)):
            if restart and at == half:
                self.off()
                self.on()
            self.clock.advance(began + now - self.clock.wall())
            self.volume.room.tend(ages_counters=True)
            size = int(trace.sizes[entry])
            stored = self.volume.lookup(names[entry]) is not None
            if at >= half:
                asked += size
                hit += size * stored
            if stored:
                self.hits.touch(names[entry])
            else:
                self.store(names[entry], keys[entry].encode(), size)
        return hit / asked


@pytest.fixture(autouse=True)
def _packs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model knows bodies: what index and journals take of so small a volume is not in it."""
    monkeypatch.setattr(Room, "taken_bytes", property(lambda room: room._packs.used_bytes))


def replayed(directory: Path, trace: Trace, share: float, *, restart: bool = False) -> tuple[float, float]:
    """(the store's byte hit ratio, the model's)"""
    node = Node(directory, capacity_of(trace, share))
    node.on()
    keys = [key_of(trace, entry) for entry in range(len(trace.sizes))]
    secret = node.volume.hello.secret
    names = [name_of(key.encode(), secret) for key in keys]
    buckets = np.array([int.from_bytes(raw[:4], "little") % BUCKETS for raw in names])
    real = node.replay(trace, keys, names, restart=restart)
    node.off()
    assert node.rewritten > 0
    marks = np.array([0, len(trace.objects) // 2, len(trace.objects)])
    return real, float(model.run(trace, node.capacity, marks, model.Rule(), buckets, PACK).ratios[1])


@pytest.mark.usefixtures("interpreted")
def test_the_real_store_is_within_a_point_of_the_model(tmp_path: Path) -> None:
    real, expected = replayed(tmp_path, small(5_000), 0.3)
    assert real == pytest.approx(expected, abs=0.01)


@pytest.mark.usefixtures("interpreted")
def test_a_restart_half_way_costs_less_than_a_point_since_order_and_popularity_survive_it(tmp_path: Path) -> None:
    real, expected = replayed(tmp_path, small(8_000), 0.2, restart=True)
    assert real == pytest.approx(expected, abs=0.01)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("share", [0.06, 0.1, 0.3])
def test_the_real_store_is_within_a_point_of_the_model_for_long(tmp_path: Path, share: float, restart: bool) -> None:
    real, expected = replayed(tmp_path, small(60_000), share, restart=restart)
    assert real == pytest.approx(expected, abs=0.01)
