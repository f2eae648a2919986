"""A far and lossy path on one machine: kernel TCP at both ends, a user-space forwarder between.

Two network namespaces, a TUN device in each. The forwarder moves packets between them with a one-way delay, a rate,
a drop-tail queue and random loss, each direction by itself. What it measures of itself is printed first: a path
that cannot carry its own rate would flatter nobody.

    python -m benchmarks.path [--rtt 200] [--mbit 300] [--loss 0.1] [--seconds 5]      shows goodput and round trip

Needs root (namespaces, TUN).
"""

import argparse
import contextlib
import ctypes
import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path as File

CLIENT, SERVER = "10.213.7.1", "10.213.7.2"
MTU = 1500
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
ALLOWED = File("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
BATCH = 64
BURST = 0.0005  # seconds of sending that may go at once: timers are not finer


@dataclass(frozen=True)
class Shape:
    """`rtt` in seconds, `rate` in bytes a second, `loss` a share of packets, `queue` in bytes."""

    rtt: float = 0.2
    rate: float = 300e6 / 8
    loss: float = 0.001
    queue: int = 4 * 2**20
    seed: int = 1


class Direction:
    """Packets from one device to the other."""

    def __init__(self, source: int, target: int, shape: Shape, seed: int) -> None:
        self._source = source
        self._target = target
        self._shape = shape
        self._random = random.Random(seed)
        self._free_at = 0.0  # when the bottleneck has sent all that it holds
        self._under_way: deque[tuple[float, bytes]] = deque()

    def take(self, now: float) -> None:
        shape, under_way = self._shape, self._under_way
        for _ in range(BATCH):
            try:
                packet = os.read(self._source, 65536)
            except BlockingIOError:
                return
            if shape.loss and self._random.random() < shape.loss:
                continue
            start = max(now, self._free_at)
            if (start - now) * shape.rate > shape.queue:
                continue  # the queue is full
            self._free_at = start + len(packet) / shape.rate
            under_way.append((self._free_at + shape.rtt / 2, packet))

    def deliver(self, now: float) -> float:
        """Write what is due; when the next one is."""
        under_way = self._under_way
        while under_way and under_way[0][0] <= now + BURST:
            with contextlib.suppress(OSError):
                os.write(self._target, under_way.popleft()[1])
        return under_way[0][0] if under_way else now + 1.0


def forward(one: int, other: int, shape: Shape) -> None:
    """Move packets until SIGTERM."""
    there, back = Direction(one, other, shape, shape.seed), Direction(other, one, shape, shape.seed + 1)
    poll = select.epoll()
    poll.register(one, select.EPOLLIN)
    poll.register(other, select.EPOLLIN)
    clock = time.perf_counter
    while True:
        now = clock()
        due = min(there.deliver(now), back.deliver(now))
        for fd, _ in poll.poll(max(0.0, due - clock())):
            (there if fd == one else back).take(clock())


def tun_in(namespace: str, name: str) -> int:
    """A TUN device in a namespace; its descriptor, which works from here."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    finally:
        libc.setns(here, CLONE_NEWNET)
        os.close(here)
        os.close(there)
    return fd


class Path:
    """`client` and `server` are prefixes of commands that run at the ends; addresses CLIENT and SERVER."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._names = [f"edgepath{os.getpid()}{end}" for end in "cs"]
        self._pid = 0

    @property
    def client(self) -> list[str]:
        return ["ip", "netns", "exec", self._names[0]]

    @property
    def server(self) -> list[str]:
        return ["ip", "netns", "exec", self._names[1]]

    def __enter__(self) -> "Path":
        if os.geteuid() != 0:
            sys.exit("the emulated path needs root: network namespaces and TUN devices")
        fds = []
        try:
            for name, address, peer in zip(self._names, (CLIENT, SERVER), (SERVER, CLIENT), strict=True):
                ip("netns", "add", name)
                fds.append(tun_in(name, "far0"))
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "addr", "add", address, "peer", peer, "dev", "far0")
                ip("-n", name, "link", "set", "far0", "up", "mtu", str(MTU), "txqueuelen", "10000")
            self._pid = os.fork()
            if self._pid == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                with contextlib.suppress(OSError):
                    os.nice(-15)  # packets are not late because a benchmark is busy
                forward(fds[0], fds[1], self._shape)
        except BaseException:
            self.__exit__()
            raise
        finally:
            for fd in fds:
                os.close(fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    def congestion_control(self, name: str) -> bool:
        """Have both ends send with it; False where the kernel does not have it."""
        subprocess.run(["modprobe", f"tcp_{name}"], stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(OSError):  # other namespaces may only use what is allowed to everybody
            words = ALLOWED.read_text().split()
            if name not in words:
                ALLOWED.write_text(" ".join([*words, name]))
        return all(
            subprocess.run(
                [*end, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={name}"],
                stderr=subprocess.DEVNULL,
                check=False,
            ).returncode
            == 0
            for end in (self.client, self.server)
        )


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


MEASURE = """
import socket, sys, time
if sys.argv[1] == "serve":
    listening = socket.create_server((sys.argv[2], 5001))
    print("up", flush=True)
    sock, _ = listening.accept()
    data, until = bytes(1 << 20), time.monotonic() + float(sys.argv[3])
    while time.monotonic() < until:
        sock.sendall(data)
else:
    begun = time.monotonic()
    sock = socket.create_connection((sys.argv[2], 5001))
    trip = time.monotonic() - begun
    got, rates, at = 0, [], time.monotonic()
    while data := sock.recv(1 << 20):
        got += len(data)
        if time.monotonic() - at >= 1:
            rates.append(got / (time.monotonic() - at)); got, at = 0, time.monotonic()
    print(f"{trip * 1000:.1f} {max(rates, default=0) * 8 / 1e6:.0f}")
"""


def measure(shape: Shape, seconds: float) -> tuple[float, float]:
    """(round trip of a handshake in ms, best second's goodput in Mbit/s) of one connection."""
    with Path(shape) as path:
        serve = subprocess.Popen(
            [*path.server, sys.executable, "-c", MEASURE, "serve", SERVER, str(seconds)], stdout=subprocess.PIPE
        )
        assert serve.stdout is not None
        serve.stdout.readline()
        out = subprocess.run(
            [*path.client, sys.executable, "-c", MEASURE, "ask", SERVER], capture_output=True, text=True, check=True
        ).stdout
        serve.kill()
        serve.wait()
    trip, rate = out.split()
    return float(trip), float(rate)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtt", type=float, default=200.0, help="milliseconds")
    parser.add_argument("--mbit", type=float, default=300.0)
    parser.add_argument("--loss", type=float, default=0.1, help="percent of packets, each way")
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    shape = Shape(args.rtt / 1000, args.mbit * 1e6 / 8, args.loss / 100)
    for name, shaped in (
        ("no delay, no loss", Shape(0.0, shape.rate, 0.0)),
        ("delay, no loss", Shape(shape.rtt, shape.rate, 0.0)),
        ("delay and loss", shape),
    ):
        trip, rate = measure(shaped, max(args.seconds, 3 + 10 * shaped.rtt))
        print(f"{name:18} handshake {trip:6.1f} ms, one connection at best {rate:4.0f} Mbit/s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
