"""Millions of objects in one volume: index bytes, rebuild, look-ups, start, memory, purges of 100,000 names.

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.bench import machine, scratch_directory
from benchmarks.scale_hits import open_reader, side_by_side
from edge.clock import SystemClock
from edge.policy.purges import Purge, Scope
from edge.store import files
from edge.store.disk import Disk
from edge.store.journal import ExtentEntry, ObjectEntry, SealedEntry, encode_entry, header
from edge.store.names import name_of
from edge.store.purgelog import PurgeLog
from edge.store.record import Extent, Flag, Record
from edge.store.settings import VolumeSettings
from edge.store.volume import Volume
from edge.words import GIB, MIB, Kind

T = TypeVar("T")

SEGMENT = 4 * MIB
PER_PACK = GIB // SEGMENT
SERIES = 1000  # segments of a rendition, all under one path
SHARED = 100_000  # objects of one tag: renditions of one owner, spread over all that there are
LOOKUPS = 100_000
PURGED = 100_000
HEAD = b"Content-Type: video/mp2t\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nAccess-Control-Allow-Origin: *\r\n"


def key_of(number: int) -> bytes:
    return b"default/films/%08d/1080p/segment-%05d.ts" % (number // SERIES, number % SERIES)


def tag_of(number: int, records: int) -> bytes:
    return b"owner-%d" % (number // SERIES % max(1, records // SHARED))


def settings(records: int) -> VolumeSettings:
    size = max(4 * GIB, records * SEGMENT + 4 * GIB)
    return VolumeSettings(size, index_map_bytes=max(GIB, records * 2000), min_free_ratio=0.0, pack_size=GIB)


def write_journals(directory: Path, records: int) -> None:
    """As after a power loss: packs and journals, no index that is trusted."""
    disk = Disk()
    packs = directory / "packs"
    identity = files.identity(disk, directory)
    PurgeLog(disk, directory / "purges", identity.volume, (), 0).close()  # without it all would become stale
    counter = files.Counter(disk, directory / "counter")
    counter.at_least(records // PER_PACK + 2, records)
    counter.close()
    packs.mkdir()
    for number in range(1, (records + PER_PACK - 1) // PER_PACK + 1):
        first = (number - 1) * PER_PACK
        parts = [header(number, identity.volume)]
        those = range(first, min(first + PER_PACK, records))
        parts += [_entries(at, number, identity.secret, tag_of(at, records)) for at in those]
        parts.append(encode_entry(SealedEntry(GIB)))
        (packs / f"{number:010d}.journal").write_bytes(b"".join(parts))
        with (packs / f"{number:010d}.pack").open("wb") as pack:
            pack.truncate(GIB)


def _entries(at: int, pack: int, secret: bytes, tag: bytes) -> bytes:
    """What a keeper logs of one segment."""
    key = key_of(at)
    name = name_of(key, secret)
    record = Record(
        at + 1, Kind.SEGMENT, 200, Flag.STRONG, SEGMENT, MIB, 1.7e9, 1.8e9, 1.7e9, 0, 0, 0, at + 1, key,
        b"", b'"%016x"' % at, b"", (tag,), HEAD,
    )  # fmt: skip
    extent = Extent(0, SEGMENT, pack, at % PER_PACK * SEGMENT, (at, at + 1, at + 2, at + 3))
    return encode_entry(ObjectEntry(name, record)) + encode_entry(ExtentEntry(name, at + 1, extent))


def anonymous_mib() -> float:
    """What this process holds for itself; pages of the index belong to the page cache."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def rebuild(directory: Path, records: int) -> dict[str, Any]:
    """As the store's thread does it: step by step, with a look now and then while a builder is at work."""
    begun = time.monotonic()
    volume = Volume.open(directory, settings(records), clock=SystemClock())
    opened = time.monotonic() - begun
    cpu, begun, steps, first = time.process_time(), time.monotonic(), [(0.0, 0.0)], 0.0
    while volume.rebuilding:
        if volume.rebuild_waits:
            first = first or time.monotonic() - begun
            time.sleep(0.2)
        step, used = time.monotonic(), time.thread_time()
        volume.rebuild_step()
        steps.append((time.monotonic() - step, time.thread_time() - used))
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    assert volume.index.objects() == records
    used_bytes = (volume.index.path / "data.mdb").stat().st_blocks * 512
    builder = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_builder = builder.ru_utime + builder.ru_stime
    found = {
        "start_without_index_s": opened,
        "newest_are_there_s": first or seconds,
        "rebuild_s": seconds,
        "rebuilt_per_s": records / seconds,
        "rebuild_cpu_s": cpu,
        "builder_cpu_s": cpu_builder,
        "rebuilt_per_cpu_s": records / (cpu + cpu_builder),
        "builder_peak_mib": builder.ru_maxrss / 1024,
        "longest_step_ms": max(step for step, _ in steps) * 1000,
        "longest_step_cpu_ms": max(used for _, used in steps) * 1000,
        "index_bytes_per_object": used_bytes / records,
        "journal_bytes_per_object": sum(path.stat().st_size for path in directory.glob("packs/*.journal")) / records,
        "keeper_mib": anonymous_mib(),
        "keeper_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    volume.close()
    return found


def start(directory: Path, records: int) -> dict[str, Any]:
    """With an index that is trusted; then purges of 100,000 names: by a tag, by prefixes, key by key."""
    begun = time.monotonic()
    volume = Volume.open(directory, settings(records), clock=SystemClock())
    found: dict[str, Any] = {"start_s": time.monotonic() - begun, "keeper_after_start_mib": anonymous_mib()}
    assert not volume.rebuilding
    count = min(PURGED, records // 4)
    films = range(records // SERIES - max(1, count // SERIES), records // SERIES)
    found |= _purge(volume, "purge_tag", [Purge(Scope.TAG, tag_of(0, records))])
    found |= _purge(volume, "purge_prefix", [Purge(Scope.PREFIX, b"default/films/%08d/" % film) for film in films])
    found |= _purge(volume, "purge_key", [Purge(Scope.KEY, key_of(number)) for number in range(0, 2 * count, 2)])
    volume.close()
    return found


def _purge(volume: Volume, called: str, what: list[Purge]) -> dict[str, float]:
    """A thousand at a time, as the admin side takes them; between two steps commits and writes have their turn."""
    cpu, begun, steps, before = time.process_time(), time.monotonic(), [(0.0, 0.0)], volume.index.objects()
    for at in range(0, len(what), 1000):
        purging = volume.purges.begin(what[at : at + 1000], volume.new_generation())
        more = True
        while more:
            step, used = time.monotonic(), time.thread_time()
            more = purging.step()
            steps.append((time.monotonic() - step, time.thread_time() - used))
        volume.purges.end(purging.sequence)
    return {
        f"{called}_objects": before - volume.index.objects(),
        f"{called}_s": time.monotonic() - begun,
        f"{called}_cpu_s": time.process_time() - cpu,
        f"{called}_step_ms": max(step for step, _ in steps) * 1000,
        f"{called}_step_cpu_ms": max(used for _, used in steps) * 1000,
    }


def look_up(directory: Path, records: int) -> dict[str, Any]:
    """A worker's look-ups of random names that it has not decoded before, and the same for what it has."""
    reader, names = open_reader(directory, SystemClock()), names_of(directory, records)
    before = anonymous_mib()
    for name in names[: LOOKUPS // 10]:
        reader.lookup(name)
    found = {**_percentiles("raw", lambda name: reader._index.raw(name), names)}
    found |= _percentiles("lookup", lambda name: (reader._memo.clear(), reader.lookup(name)), names)
    hot = names[:500] * 100
    found |= _percentiles("reread", reader.lookup, hot)
    reader._versions, reader._cell = memoryview(bytes(8)), 0  # as workers have it: nothing has been committed
    found |= _percentiles("known", reader.lookup, hot)
    for name in names:
        reader.lookup(name)
    reader.close()
    return {**found, "worker_mib_more": anonymous_mib() - before}


def names_of(directory: Path, records: int) -> list[bytes]:
    """Names of a volume at random, always the same."""
    identity, rng = files.identity(Disk(), directory), random.Random(1)
    return [name_of(key_of(rng.randrange(records)), identity.secret) for _ in range(LOOKUPS)]


def _percentiles(called: str, function: Callable[[bytes], object], names: list[bytes]) -> dict[str, float]:
    """Of the time that a call with each of the names takes."""
    took = []
    for name in names:
        begun = time.perf_counter_ns()
        function(name)
        took.append(time.perf_counter_ns() - begun)
    cuts = statistics.quantiles(took, n=100)
    return {f"{called}_p50_us": cuts[49] / 1000, f"{called}_p99_us": cuts[98] / 1000}


def apart(function: Callable[..., T], *args: object) -> T:
    """In a process of its own, so that memory is its own and an index is opened once."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def measure(scratch: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    volumes = [(scratch / str(records), records) for records in sizes]
    found: list[dict[str, Any]] = [{"records": records} for records in sizes]
    for (directory, records), figures in zip(volumes, found, strict=True):
        directory.mkdir()
        write_journals(directory, records)
        figures |= apart(rebuild, directory, records)
        figures |= apart(look_up, directory, records)
    names = [list(dict.fromkeys(names_of(*volume)))[:500] for volume in volumes]
    for figures, hits in zip(found, apart(side_by_side, [path for path, _ in volumes], names), strict=True):
        figures |= hits
    for (directory, records), figures in zip(volumes, found, strict=True):
        figures |= apart(start, directory, records)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with scratch_directory() as scratch:
        found = measure(scratch, [1000, args.records])
    for key in found[0]:
        print(f"{key:24}" + "".join(f"{one[key]:16,.2f}" for one in found))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "found": found}, indent=1))


if __name__ == "__main__":
    main()
