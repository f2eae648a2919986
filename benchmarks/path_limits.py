"""What the emulated path itself can carry: one plain TCP transfer, without and with its rate, delay and loss."""

import argparse
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from dataclasses import replace
from typing import Final

from benchmarks.bench import machine
from benchmarks.path import Path, PathSettings

PORT: Final = 7000
PIECE: Final = 256 * 1024
PINGS: Final = 20


def measure(settings: PathSettings, seconds: float) -> int:
    """Print a line for each of: nothing emulated, rate alone, the path without loss, the path as told."""
    print(machine())
    free = replace(settings, rtt=0.0, rate=0.0, loss=0.0)
    rows = {
        "nothing emulated": free,
        "rate alone": replace(settings, rtt=0.0, loss=0.0),
        "rate and delay": replace(settings, loss=0.0),
    }
    if settings.loss:
        rows[f"as told, {settings.loss:.2%} lost"] = settings
    for name, row in rows.items():
        print(_row(name, row, seconds), flush=True)
    return 0


def _row(name: str, settings: PathSettings, seconds: float) -> str:
    with Path(settings) as path:
        server = path.server.start(
            sys.executable, "-m", "benchmarks.path_limits", "serve", path.server.address, stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        server.stdout.readline()
        before = path.crossed()
        client = [sys.executable, "-m", "benchmarks.path_limits", "fetch", path.server.address, str(seconds)]
        told = path.client.run(*client, stdout=subprocess.PIPE).stdout
        after = path.crossed()
    found = json.loads(told)
    packets = after.down["delivered"] + after.up["delivered"] - before.down["delivered"] - before.up["delivered"]
    cpu = after.cpu_seconds - before.cpu_seconds
    return (
        f"{name:22} {settings.congestion}: {found['bits_per_second'] / 1e6:7.1f} Mbit/s over {found['seconds']:.1f} s "
        f"({found['steady_bits_per_second'] / 1e6:.1f} in the second half), RTT p50 {found['rtt_p50'] * 1000:.2f} ms, "
        f"max {found['rtt_max'] * 1000:.2f} ms; lost {after.down['lost']}, dropped {after.down['dropped']} of "
        f"{after.down['delivered']} packets down; forwarder {cpu / found['seconds']:.0%} of a core, "
        f"{cpu / max(1, packets) * 1e6:.1f} us a packet"
    )


def serve(host: str) -> None:
    """Each connection: answer pings of one byte; at a `g` send without end."""
    with socket.create_server((host, PORT)) as listener:
        print("ready", flush=True)
        data = bytes(PIECE)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    while (word := connection.recv(1)) == b"p":
                        connection.sendall(b"p")
                    while word == b"g":
                        connection.sendall(data)
                except ConnectionError:
                    pass  # the client has seen enough


def fetch(host: str, seconds: float) -> dict[str, float]:
    """Round trips of one byte, then bytes for so long."""
    with socket.create_connection((host, PORT)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(PINGS):
            begun = time.perf_counter()
            sock.sendall(b"p")
            sock.recv(1)
            trips.append(time.perf_counter() - begun)
        sock.sendall(b"g")
        begun = time.perf_counter()
        total = half = 0
        half_at = begun + seconds / 2
        while (now := time.perf_counter()) < begun + seconds:
            total += len(sock.recv(PIECE))
            if not half and now > half_at:
                half, half_at = total, now
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST: the server stops at once
    return {
        "bits_per_second": total * 8 / (now - begun),
        "steady_bits_per_second": (total - half) * 8 / (now - half_at),
        "seconds": now - begun,
        "rtt_p50": statistics.median(trips),
        "rtt_max": max(trips),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["serve", "fetch"])
    parser.add_argument("host")
    parser.add_argument("seconds", type=float, nargs="?", default=1.0)
    args = parser.parse_args()
    if args.verb == "serve":
        serve(args.host)
    else:
        print(json.dumps(fetch(args.host, args.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
