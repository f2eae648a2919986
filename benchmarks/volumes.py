"""Filling one volume beside two: throughput and CPU per GB, with a keeper each.

nginx serves the same 4 MB file under every name; wrk asks for new names all the time, so that everything is a miss.
Origin, edge and load share the machine: on two cores the CPU per GB says more than the throughput.

    python -m benchmarks.volumes [--seconds 8] [--rounds 3] [--connections 8] [--json FILE]
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Server, edge_processes, end, machine, need, scratch_directory

SIZE = 4 * 2**20
NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000; open_file_cache max=10;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {directory}; rewrite ^ /blob break; add_header Cache-Control max-age=3600; }}
  }}
}}
"""
NAMES = """
local n = 0
request = function() n = n + 1; return wrk.format("GET", "/" .. "{salt}" .. "-" .. n .. ".ts") end
"""


@contextlib.contextmanager
def static_origin(directory: Path) -> Iterator[str]:
    """nginx with one file under every name."""
    directory.mkdir()
    (directory / "blob").write_bytes(os.urandom(SIZE))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port))
    process = subprocess.Popen([need("nginx"), "-c", str(directory / "nginx.conf")], text=True)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


@contextlib.contextmanager
def edge_with(directory: Path, origin: str, volumes: int) -> Iterator[Server]:
    """An edge with so many volumes of 2 GB in all, and two workers."""
    directory.mkdir()
    text = "".join(f'[[volume]]\npath = "{directory / str(n)}"\nsize = "{2 / volumes}GB"\n' for n in range(volumes))
    (directory / "edge.toml").write_text(text)
    command = [sys.executable, "-m", "edge", "serve", "--origin", origin, "--listen", "127.0.0.1:0", "--workers", "2"]
    command += ["--admin", "127.0.0.1:0", "--config", str(directory / "edge.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = ""
    try:
        for line in process.stdout:
            if "for players" in line:
                url = "http://" + line.rstrip().rpartition("//")[2]
            if line.startswith("ready"):
                break
        pids = edge_processes(process.pid)
        yield Server(f"{volumes} volumes", url, pids, process)
    finally:
        end(process)


def fill(server: Server, directory: Path, salt: str, seconds: int, connections: int) -> tuple[float, float]:
    """(MB a second, CPU seconds per GB) of misses."""
    script = directory / "names.lua"
    script.write_text(NAMES.format(salt=salt))
    before = server.cpu_seconds()
    command = [need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), server.url + "/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = server.cpu_seconds() - before
    found = re.search(r"(\d+) requests in ([\d.]+)s", out)
    if found is None or "Non-2xx" in out:
        sys.exit(f"{server.name} failed:\n{out}")
    gigabytes = int(found[1]) * SIZE / 1e9
    return gigabytes * 1000 / float(found[2]), used / gigabytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seconds, rounds = min(max(args.seconds, 1), 60), min(max(args.rounds, 1), 20)
    print(machine())
    figures: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for turn in range(rounds):
        for volumes in (1, 2):
            with scratch_directory() as directory, static_origin(directory / "origin") as origin:
                with edge_with(directory / "edge", origin, volumes) as server:
                    fill(server, directory, "warm", 1, args.connections)
                    figures[volumes].append(fill(server, directory, f"r{turn}", seconds, args.connections))
    rows = []
    for volumes, found in figures.items():
        rate, cpu = (statistics.median(figure[n] for figure in found) for n in (0, 1))
        rows.append({"volumes": volumes, "mb_per_second": rate, "cpu_seconds_per_gb": cpu})
        print(
            f"{volumes} volume{'s' if volumes > 1 else ' '}: {rate:6.0f} MB/s filled and served, "
            f"{cpu:.2f} s of CPU per GB"
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
