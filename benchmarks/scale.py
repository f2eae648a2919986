"""Millions of objects in one volume: index bytes, rebuild, look-ups, start, memory, purges of 100,000 names.

Journals of segments of 4 MB are written as a keeper writes them, beside packs that are holes (nothing here reads a
body). The index is rebuilt from them, then looked up by a reader in a process of its own, beside one of 1,000 objects.

    python -m benchmarks.scale [--records 5000000] [--json FILE]
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import socket
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
from edge.words import GIB, KIB, MIB, Kind

SEGMENT = 4 * MIB
PER_PACK = GIB // SEGMENT
SERIES = 1000  # segments of a rendition, all under one path
SHARED = 100_000  # objects of one tag: renditions of one owner, spread over all that there are
LOOKUPS = 100_000
PURGED = 100_000
SENT = 64 * KIB
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
    found = {**_percentiles("raw", lambda name: reader._index.raw(name), names)}
    found |= _percentiles("lookup", lambda name: (reader._memo.clear(), reader.lookup(name)), names)
    hot = names[:500] * 100
    found |= _percentiles("reread", reader.lookup, hot)
    reader._versions, reader._cell = memoryview(bytes(8)), 0  # as workers have it: nothing has been committed
    found |= _percentiles("known", reader.lookup, hot)
    found |= _hits(reader, names)
    for name in names:
        reader.lookup(name)
    reader.close()
    return {**found, "worker_mib_more": anonymous_mib() - before}


def _hits(reader: Reader, names: list[bytes]) -> dict[str, float]:
    """What a hit does in the store and the kernel: 64 KiB that are in memory, of names that are not remembered."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
    taken = bytearray(SENT)

    def hit(name: bytes) -> bool:
        record = reader.lookup(name)
        assert record is not None
        extent = reader.extent_at(record, 0)
        assert extent is not None
        file = reader.ready(record, extent, 0, SENT)
        if file is None:  # others have needed the memory
            _read(reader, name)
            return False
        assert os.sendfile(ours.fileno(), file.fileno(), extent.offset, SENT) == SENT
        return True

    def emptied(name: bytes) -> None:
        theirs.recv_into(taken, SENT, socket.MSG_WAITALL)
        reader._memo.pop(name, None)

    names = names[:500]
    for name in names:
        _read(reader, name)
    rng = random.Random(2)
    names = [rng.choice(names) for _ in range(20_000)]
    reader._memo.clear()
    return _percentiles("hit", hit, names, emptied)


def _read(reader: Reader, name: bytes) -> None:
    """It is a hole, but pages of it are in memory once they have been read."""
    record = reader.lookup(name)
    assert record is not None
    assert record.first is not None
    file = reader.pack_file(record.first.pack)
    assert file is not None
    os.pread(file.fileno(), MIB, record.first.offset)


def _percentiles(
    called: str, function: Callable[[bytes], object], names: list[bytes], after: Callable[[bytes], None] | None = None
) -> dict[str, float]:
    """Of the time that a call with each of the names takes; one that returns False does not count."""
    took = []
    for name in names:
        begun = time.perf_counter_ns()
        counts = function(name) is not False
        if counts:
            took.append(time.perf_counter_ns() - begun)
        if after is not None and counts:
            after(name)
    cuts = statistics.quantiles(took, n=100)
    return {f"{called}_p50_us": cuts[49] / 1000, f"{called}_p99_us": cuts[98] / 1000}


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
