"""What a hit costs in the store and the kernel, of two volumes side by side: what else goes on hits both alike.

Rounds of one and of the other take turns. A hit: 64 KiB that are in memory, of a name that is not remembered: the
look-up, its extent, whether its pages are in memory, and a sendfile into a socket that is empty. Beside the time by
the clock stands the thread's processor time, which other processes do not lengthen by taking the core away.
Whether pages are in memory is asked again after a second: the readers' clock has one for each 10,000 hits, however
busy the machine is; so of 500 names that are hit at random one hit in twenty asks, and that is what p99 is made of.
"""

import os
import random
import socket
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from edge.clock import Clock, FakeClock
from edge.store import files
from edge.store.disk import Disk
from edge.store.live import LiveTable
from edge.store.marks import MARK, read_mark
from edge.store.reader import Reader
from edge.store.settings import VolumeHello
from edge.words import GIB, KIB, MIB

SENT = 64 * KIB
ROUNDS = 60
A_ROUND = 500
A_HIT_SECONDS = 1e-4


def open_reader(directory: Path, clock: Clock) -> Reader:
    """As a worker has it, of a volume that nobody keeps now."""
    identity = files.identity(Disk(), directory)
    mark = read_mark(directory / MARK)
    assert mark is not None
    live = directory / "live"
    LiveTable(live, MIB, readonly=False).close()
    index = str(directory / f"index-{mark.epoch}")
    hello = VolumeHello(str(directory), index, str(live), mark.epoch, identity.secret, 0, 0, MIB, GIB * 64, MIB)
    return Reader(hello, clock)


class Hits:
    """Of 500 names of a volume, all in memory."""

    def __init__(self, directory: Path, names: Sequence[bytes]) -> None:
        self._clock = FakeClock()
        self._reader, self._names = open_reader(directory, self._clock), names
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        for end in (self._ours, self._theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        self._taken = bytearray(SENT)
        self._rng = random.Random(2)
        self.wall: list[int] = []
        self.cpu: list[int] = []
        for name in names:
            self._read(name)

    def round(self) -> None:
        for _ in range(A_ROUND):
            name = self._rng.choice(self._names)
            self._reader._memo.pop(name, None)
            self._clock.advance(A_HIT_SECONDS)
            begun, used = time.perf_counter_ns(), time.thread_time_ns()
            if not self._hit(name):  # others have needed the memory
                self._read(name)
                continue
            self.cpu.append(time.thread_time_ns() - used)
            self.wall.append(time.perf_counter_ns() - begun)
            self._theirs.recv_into(self._taken, SENT, socket.MSG_WAITALL)

    def _hit(self, name: bytes) -> bool:
        record = self._reader.lookup(name)
        assert record is not None
        extent = self._reader.extent_at(record, 0)
        assert extent is not None
        file = self._reader.ready(record, extent, 0, SENT)
        if file is None:
            return False
        return os.sendfile(self._ours.fileno(), file.fileno(), extent.offset, SENT) == SENT

    def _read(self, name: bytes) -> None:
        """It is a hole, but pages of it are in memory once they have been read."""
        record = self._reader.lookup(name)
        assert record is not None
        assert record.first is not None
        file = self._reader.pack_file(record.first.pack)
        assert file is not None
        os.pread(file.fileno(), MIB, record.first.offset)

    def close(self) -> None:
        self._reader.close()
        self._ours.close()
        self._theirs.close()

    def figures(self) -> dict[str, float]:
        wall, cpu = (statistics.quantiles(took, n=100) for took in (self.wall, self.cpu))
        return {
            "hit_p50_us": wall[49] / 1000,
            "hit_p99_us": wall[98] / 1000,
            "hit_cpu_p50_us": cpu[49] / 1000,
            "hit_cpu_p99_us": cpu[98] / 1000,
        }


def side_by_side(directories: Sequence[Path], names: Sequence[Sequence[bytes]]) -> list[dict[str, float]]:
    """The figures of each volume."""
    all_hits = [Hits(directory, those) for directory, those in zip(directories, names, strict=True)]
    for _ in range(ROUNDS):
        for hits in all_hits:
            hits.round()
    for hits in all_hits:
        hits.close()
    return [hits.figures() for hits in all_hits]
