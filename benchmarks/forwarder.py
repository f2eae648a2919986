"""The user-space end of the emulated path: two network namespaces, a TUN device in each, packets carried between them.

Each direction is a line: what enters waits its turn at the rate (drop-tail, counted in bytes), is lost with a seeded
chance, and leaves after the one-way delay. Both ends are the kernel's own TCP; nothing here looks into a packet.

The process is started by `benchmarks.path` with its line's figures in JSON, says on stdout where its namespaces are
(descriptor numbers in its own /proc/PID/fd), answers a line `counts` on stdin with its counters, and ends at the end
of stdin: first it kills whatever still runs in its namespaces, so that nothing outlives the benchmark, however that
ended. The namespaces have no names: they are gone with the last process and descriptor that hold them.
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000  # sched.h
TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU: Final = 1500
PRIORITY: Final = -15
AUTOGROUP: Final = Path("/proc/self/autogroup")  # sched(7); where the kernel has it
PACKET_MOST: Final = 2048
DEVICE: Final = "far0"
NET: Final = "10.77.0.0/24"
ADDRESSES: Final = {"client": "10.77.0.1", "server": "10.77.0.2"}
# Packets that the kernel may hold before this process reads them: only our own queue is to drop any. At 300 Mbit/s
# these are 0.4 s, more than a busy machine keeps a process waiting.
DEVICE_QUEUE: Final = 20_000
TICK: Final = 0.0005  # seconds between two looks while packets are under way: 12 packets a look at 300 Mbit/s
ENTERING: Final = 0.1  # seconds from opening a namespace's descriptor to being inside: microseconds if not preempted
BATCH: Final = 64  # packets read from one side before the other side's turn
HEADERS: Final = 52  # bytes of IPv4 (20) and TCP with time stamps (32) in each packet of a body


@dataclass(frozen=True, slots=True)
class LineSettings:
    """One direction. Seconds, bits a second (0 = no limit), bytes that may wait, share of packets that are lost."""

    delay: float = 0.1
    rate: float = 300e6
    queue: int = 3_750_000
    loss: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Counts:
    """What a direction has seen; `delivered` and `delivered_bytes` came out at the other end."""

    delivered: int = 0
    delivered_bytes: int = 0
    lost: int = 0
    dropped: int = 0


class Line:
    """When a packet leaves at the far end, or that it never does. Knows no clock and no packet's content."""

    def __init__(self, settings: LineSettings) -> None:
        self.counts = Counts()
        self._delay, self._loss = settings.delay, settings.loss
        self._byte = 8 / settings.rate if settings.rate else 0.0  # seconds that one byte takes
        self._longest = settings.queue * self._byte  # seconds that the last byte in a full queue waits
        self._random = random.Random(settings.seed)
        self._free_at = 0.0  # when the last packet that was let in has left the queue

    def __repr__(self) -> str:
        return f"<Line {self._delay * 1000:g} ms, {self.counts}>"

    def due(self, now: float, size: int) -> float | None:
        """The moment at which a packet that enters `now` comes out, None when it is dropped or lost."""
        begin = self._free_at if self._free_at > now else now
        if begin - now > self._longest:
            self.counts.dropped += 1
            return None
        self._free_at = free_at = begin + size * self._byte
        if self._loss and self._random.random() < self._loss:  # it has used its time on the wire all the same
            self.counts.lost += 1
            return None
        return free_at + self._delay


class Forwarder:
    """Carries packets between two TUN devices until stdin ends."""

    def __init__(self, client: int, server: int, up: Line, down: Line) -> None:
        self._ways = ((client, server, up), (server, client, down))
        self._under_way: tuple[deque[tuple[float, bytes]], deque[tuple[float, bytes]]] = (deque(), deque())

    def turn(self) -> float | None:
        """Take in what waits, let out what is due; seconds until the next look, None = when something comes."""
        most = 0
        for (source, target, line), under_way in zip(self._ways, self._under_way, strict=True):
            most = max(most, take_in(source, line, under_way))
            let_out(target, line, under_way)
        if most:
            return TICK if most < BATCH else 0.0
        firsts = [queue[0][0] for queue in self._under_way if queue]
        return max(TICK, min(firsts) - time.monotonic()) if firsts else None

    def run(self) -> None:
        tuns = [source for source, _, _ in self._ways]
        while True:
            wait = self.turn()
            if wait is not None and wait <= TICK:
                time.sleep(wait)  # packets gather meanwhile: waking for each would cost more than the packet
                ready = select.select([0], [], [], 0)[0]
            else:
                ready = select.select([*tuns, 0], [], [], wait)[0]
            if 0 in ready and not self._answer():
                return

    def _answer(self) -> bool:
        """A command on stdin; False at its end."""
        if not os.read(0, 100):
            return False
        counts: dict[str, object] = {
            name: asdict(line.counts) for name, (_, _, line) in zip(("up", "down"), self._ways, strict=True)
        }
        print(json.dumps({**counts, "cpu_seconds": time.process_time()}), flush=True)
        return True


def take_in(source: int, line: Line, under_way: deque[tuple[float, bytes]]) -> int:
    """Read up to BATCH packets; how many there were."""
    now = time.monotonic()
    for count in range(BATCH):
        try:
            packet = os.read(source, PACKET_MOST)
        except BlockingIOError:
            return count
        due = line.due(now, len(packet))
        if due is not None:
            under_way.append((due, packet))
    return BATCH


def let_out(target: int, line: Line, under_way: deque[tuple[float, bytes]]) -> None:
    """Hand over what is due."""
    now, counts = time.monotonic(), line.counts
    while under_way and under_way[0][0] <= now:
        packet = under_way.popleft()[1]
        os.write(target, packet)
        counts.delivered += 1
        counts.delivered_bytes += len(packet)


def call(name: str, *args: int) -> None:
    """A system call that Python 3.11 does not have."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def new_namespace(side: str, congestion: str, sysctls: dict[str, str]) -> tuple[int, int]:
    """(namespace, TUN device) as descriptors; this process is left inside the new namespace.

    The congestion control is the route's: as a namespace's own default only those are taken that the machine's
    administrator has allowed to everybody (tcp_allowed_congestion_control).
    """
    call("unshare", CLONE_NEWNET)
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for words in (
        f"addr add {ADDRESSES[side]}/24 dev {DEVICE}",
        f"link set {DEVICE} mtu {MTU} txqueuelen {DEVICE_QUEUE} up",
        "link set lo up",
        f"route replace {NET} dev {DEVICE} scope link src {ADDRESSES[side]} congctl {congestion}",
    ):
        subprocess.run(["ip", *words.split()], check=True, stdout=subprocess.DEVNULL)
    for name, value in sysctls.items():
        Path("/proc/sys", *name.split(".")).write_text(value)  # /proc/sys/net is that of the namespace
    return namespace, tun


def inhabitants(namespaces: set[int]) -> Iterator[int]:
    """Other processes that live in these namespaces (inode numbers)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino in namespaces:
                    yield int(entry.name)


def kill_all(namespaces: set[int]) -> None:
    """Kill whatever runs there, again until nothing does (it may fork meanwhile)."""
    for _ in range(100):
        found = list(inhabitants(namespaces))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def empty(namespaces: list[int]) -> None:
    """Leave nobody in these namespaces (descriptors), not even who is on the way into them.

    1. nsenter has been started and has not opened /proc/PID/fd/N yet: the descriptor is closed, so it fails.
    2. nsenter has opened it and is not inside yet: it is by the time of the second look.
    Copies keep the namespaces alive between the looks: a number that is free again could be somebody else's.
    """
    copies = [os.dup(namespace) for namespace in namespaces]
    numbers = {os.fstat(copy).st_ino for copy in copies}
    kill_all(numbers)
    for namespace in namespaces:
        os.close(namespace)
    time.sleep(ENTERING)
    kill_all(numbers)


def main() -> int:
    told = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the benchmark's: it ends us by our stdin
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        ends = {side: new_namespace(side, told["congestion"][side], told["sysctls"]) for side in ADDRESSES}
        # Back home, so that nothing but what was started there lives there.
        call("setns", home, CLONE_NEWNET)
    except (OSError, subprocess.CalledProcessError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    namespaces = [namespace for namespace, _ in ends.values()]
    # What is at home is not ours to kill.
    assert os.fstat(home).st_ino not in {os.fstat(namespace).st_ino for namespace in namespaces}
    up, down = (Line(LineSettings(**told[way])) for way in ("up", "down"))
    print(json.dumps({side: namespace for side, (namespace, _) in ends.items()}), flush=True)
    with contextlib.suppress(OSError):
        os.nice(PRIORITY)  # packets are not late because a benchmark keeps the cores busy
        AUTOGROUP.write_text(str(PRIORITY))  # each session is a group of its own, and niceness holds within it only
    gc.freeze()
    gc.disable()  # packets make no cycles; a collection would hold them all up
    try:
        Forwarder(ends["client"][1], ends["server"][1], up, down).run()
    finally:
        empty(namespaces)
    return 0


if __name__ == "__main__":
    sys.exit(main())
