"""Millions of objects in one volume: index bytes, rebuild, look-ups, start, memory, a purge of 100,000 names.

Journals of segments of 4 MB are written as a keeper writes them, beside packs that are holes (nothing here reads a
body). The index is rebuilt from them, then looked up by a reader in a process of its own, beside one of 1,000 objects.

    python -m benchmarks.scale [--records 5000000] [--json FILE]
"""

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench import machine, scratch_directory
from edge.clock import SystemClock
from edge.policy.purges import Purge, Scope
from edge.store import files
from edge.store.disk import Disk
from edge.store.journal import ExtentEntry, ObjectEntry, SealedEntry, encode_entry, header
from edge.store.live import LiveTable
from edge.store.names import name_of
from edge.store.reader import Reader
from edge.store.record import Extent, Flag, Record
from edge.store.settings import VolumeHello, VolumeSettings
from edge.store.volume import Volume
from edge.words import GIB, MIB, Kind

SEGMENT = 4 * MIB
PER_PACK = GIB // SEGMENT
SERIES = 1000  # segments of a rendition, all under one path
LOOKUPS = 100_000
PURGED = 100_000
HEAD = b"Content-Type: video/mp2t\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nAccess-Control-Allow-Origin: *\r\n"


def key_of(number: int) -> bytes:
    return b"default/films/%08d/1080p/segment-%05d.ts" % (number // SERIES, number % SERIES)


def settings(records: int) -> VolumeSettings:
    size = max(4 * GIB, records * SEGMENT + 4 * GIB)
    return VolumeSettings(size, index_map_bytes=max(GIB, records * 2000), min_free_ratio=0.0, pack_size=GIB)


def write_journals(directory: Path, records: int) -> None:
    """As after a power loss: packs and journals, no index that is trusted."""
    disk = Disk()
    packs = directory / "packs"
    identity = files.identity(disk, directory)
    packs.mkdir()
    for number in range(1, (records + PER_PACK - 1) // PER_PACK + 1):
        parts = [header(number, identity.volume)]
        first = (number - 1) * PER_PACK
        for at in range(first, min(first + PER_PACK, records)):
            key = key_of(at)
            name = name_of(key, identity.secret)
            record = Record(
                at + 1, Kind.SEGMENT, 200, Flag.STRONG, SEGMENT, MIB, 1.7e9, 1.8e9, 1.7e9, 0, 0, 0, at + 1, key,
                b"", b'"%016x"' % at, b"", (), HEAD,
            )  # fmt: skip
            extent = Extent(0, SEGMENT, number, (at - first) * SEGMENT, (at, at + 1, at + 2, at + 3))
            parts += [encode_entry(ObjectEntry(name, record)), encode_entry(ExtentEntry(name, at + 1, extent))]
        parts.append(encode_entry(SealedEntry(GIB)))
        (packs / f"{number:010d}.journal").write_bytes(b"".join(parts))
        with (packs / f"{number:010d}.pack").open("wb") as pack:
            pack.truncate(GIB)


def anonymous_mib() -> float:
    """What this process holds for itself; pages of the index belong to the page cache."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def rebuild(directory: Path, records: int) -> dict[str, Any]:
    begun = time.monotonic()
    volume = Volume.open(directory, settings(records), clock=SystemClock())
    opened = time.monotonic() - begun
    cpu, begun, steps = time.process_time(), time.monotonic(), []
    while volume.rebuilding:
        step = time.monotonic()
        volume.rebuild_step()
        steps.append(time.monotonic() - step)
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    assert volume.index.objects() == records
    used = (volume.index.path / "data.mdb").stat().st_blocks * 512
    found = {
        "start_without_index_s": opened,
        "rebuild_s": seconds,
        "rebuilt_per_s": records / seconds,
        "rebuilt_per_cpu_s": records / cpu,
        "longest_step_ms": max(steps, default=0.0) * 1000,
        "index_bytes_per_object": used / records,
        "keeper_mib": anonymous_mib(),
        "keeper_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    volume.close()
    return found


def start(directory: Path, records: int) -> dict[str, Any]:
    """With an index that is trusted; then a purge of 100,000 names by their prefixes."""
    begun = time.monotonic()
    volume = Volume.open(directory, settings(records), clock=SystemClock())
    found: dict[str, Any] = {"start_s": time.monotonic() - begun, "keeper_after_start_mib": anonymous_mib()}
    assert not volume.rebuilding
    count = min(PURGED, records // 2)
    what = [Purge(Scope.KEY, key_of(number)) for number in range(0, 2 * count, 2)]
    cpu, begun = time.process_time(), time.monotonic()
    for at in range(0, count, 1000):
        purging = volume.begin_purge(what[at : at + 1000], volume.new_generation())
        while purging.step():
            pass
        volume.end_purge(purging.sequence)
    found |= {"purge_s": time.monotonic() - begun, "purge_cpu_s": time.process_time() - cpu, "purged": count}
    assert volume.index.objects() == records - count
    volume.close()
    return found


def look_up(directory: Path, records: int) -> dict[str, Any]:
    """A worker's look-ups of random names that it has not decoded before, and the same for what it has."""
    identity = files.identity(Disk(), directory)
    mark = files.read_mark(directory / "clean")
    assert mark is not None
    live = directory / "live"
    LiveTable(live, MIB, readonly=False).close()
    index = str(directory / f"index-{mark.epoch}")
    hello = VolumeHello(str(directory), index, str(live), mark.epoch, identity.secret, 0, 0, MIB, GIB * 64, MIB)
    reader = Reader(hello, SystemClock())
    rng = random.Random(1)
    names = [name_of(key_of(rng.randrange(records)), identity.secret) for _ in range(LOOKUPS)]
    before = anonymous_mib()
    for name in names[: LOOKUPS // 10]:
        reader.lookup(name)
    reader._memo.clear()
    took = []
    for name in names:
        reader._memo.clear()
        begun = time.perf_counter_ns()
        found = reader.lookup(name)
        took.append(time.perf_counter_ns() - begun)
        assert found is not None
    hot = names[:500]
    for name in hot:
        reader.lookup(name)
    again = []
    for _ in range(100):
        for name in hot:
            begun = time.perf_counter_ns()
            reader.lookup(name)
            again.append(time.perf_counter_ns() - begun)
    for name in names:
        reader.lookup(name)
    reader.close()
    return {
        **{f"lookup_{key}": value for key, value in _percentiles(took).items()},
        **{f"known_{key}": value for key, value in _percentiles(again).items()},
        "worker_mib_more": anonymous_mib() - before,
    }


def _percentiles(nanoseconds: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(nanoseconds, n=100)
    return {"p50_us": cuts[49] / 1000, "p99_us": cuts[98] / 1000}


def _apart(function: Callable[[Path, int], dict[str, Any]], directory: Path, records: int) -> dict[str, Any]:
    """In a process of its own, so that memory is its own and an index is opened once."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (directory, records))


def measure(directory: Path, records: int) -> dict[str, Any]:
    directory.mkdir()
    write_journals(directory, records)
    found = {"records": records}
    for stage in (rebuild, look_up, start):
        found |= _apart(stage, directory, records)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with scratch_directory() as scratch:
        found = [measure(scratch / "small", 1000), measure(scratch / "large", args.records)]
    for key in found[0]:
        print(f"{key:24}" + "".join(f"{one[key]:16,.2f}" for one in found))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "found": found}, indent=1))


if __name__ == "__main__":
    main()
