"""The real store and its model agree on the same requests."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.policies import model
from benchmarks.policies.workload import Law, Shape, Trace, generate
from edge.store.hits import BUCKETS, HitCounters, create_hits_file
from edge.store.record import Extent, Flag, Record, blocks, checksum
from edge.store.volume import Volume
from edge.words import KIB, MIB, Kind
from tests.support.volumes import name, open_volume

PACK = 512 * KIB


def small(requests: int) -> Trace:
    """A day's requests for segments of a 64th of their size."""
    trace = generate(Shape(law=Law.BENT, titles=25, requests=requests, days=1))
    sizes = -(-trace.sizes // 64 // 4096) * 4096
    return Trace(trace.shape, trace.times, trace.objects, trace.crawled, sizes, trace.groups, trace.titles)


def store(volume: Volume, name: bytes, key: bytes, length: int) -> None:
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


def replay(volume: Volume, trace: Trace, keys: list[str], names: list[bytes]) -> float:
    """The byte hit ratio of the second half."""
    asked = hit = 0
    hits = volume.popularity.hits
    assert hits is not None
    for at, entry in enumerate(trace.objects.tolist()):
        size = int(trace.sizes[entry])
        stored = volume.lookup(names[entry]) is not None
        if at >= len(trace.objects) // 2:
            asked += size
            hit += size * stored
        if stored:
            hits.touch(names[entry])
            continue
        while volume.needs_room() and volume.evict_step():
            pass
        store(volume, names[entry], keys[entry].encode(), size)
    return hit / asked


def check(directory: Path, requests: int, share: float) -> None:
    trace = small(requests)
    capacity = max(16 * MIB, int(share * trace.footprint))
    fd = create_hits_file()
    volume = open_volume(directory, size_bytes=capacity, pack_size=PACK)
    volume.popularity.hits = HitCounters(fd)
    keys = [f"site/{title}/r/{entry}" for entry, title in enumerate(trace.titles.tolist())]
    names = [name(volume, key) for key in keys]
    buckets = np.array([int.from_bytes(raw[:4], "little") % BUCKETS for raw in names])
    half, end = len(trace.objects) // 2, len(trace.objects)
    real = replay(volume, trace, keys, names)
    assert volume.tallies.rewritten_bytes > 0
    volume.close()
    os.close(fd)
    expected = model.run(trace, capacity, np.array([0, half, end]), model.Rule(), buckets, PACK)
    assert real == pytest.approx(expected.ratios[1], abs=0.01)


def test_the_real_store_is_within_a_point_of_the_model(tmp_path: Path) -> None:
    check(tmp_path, 3_000, 0.1)


@pytest.mark.long
@pytest.mark.parametrize("share", [0.06, 0.1, 0.3])
def test_the_real_store_is_within_a_point_of_the_model_for_long(tmp_path: Path, share: float) -> None:
    check(tmp_path, 60_000, share)
