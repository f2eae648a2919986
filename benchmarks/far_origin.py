"""Cold segments over a far and lossy path: the edge beside nginx in three configurations, in the same run.

Viewers fetch 4 MB segments one after another through a cold cache; the origin (nginx, static) is at the other end of
the emulated path (`benchmarks.path`: kernel TCP at both ends). First and last byte, and the bytes that the origin
sent for each byte that a viewer got.

    python -m benchmarks.far_origin [--loss 0.1,1] [--viewers 1,8] [--control cubic,bbr] [--segments 8]
        [--caches edge,nginx,buffers,slice] [--warm 3] [--json FILE]

Needs root, nginx.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as File

from benchmarks.bench import end, machine, need, scratch_directory
from benchmarks.path import SERVER, Path, Shape

SIZE = 4 * 2**20
PORT, ORIGIN_PORT = 8080, 8000
CACHES = ("edge", "nginx", "buffers", "slice")
ORIGIN = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; user root;
events {{ worker_connections 4096; }}
http {{
  log_format bytes "$body_bytes_sent"; access_log {directory}/bytes.log bytes;
  sendfile on; tcp_nodelay on; keepalive_timeout 300; keepalive_requests 1000000; open_file_cache max=10;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen {address}:{port};
    location / {{ root {directory}; rewrite ^ /blob break; add_header Cache-Control max-age=3600; }}
  }}
}}
"""
CACHE = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  proxy_cache_path {directory}/cache levels=1:2 keys_zone=c:64m max_size=8g inactive=1d use_temp_path=off;
  upstream o {{ server {origin}; keepalive 64; keepalive_requests 1000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c; proxy_cache_valid 200 206 1d; proxy_cache_lock on; proxy_cache_lock_timeout 120s;
      proxy_cache_lock_age 120s; proxy_read_timeout 120s; {more}
    }}
  }}
}}
"""
MORE = {
    "nginx": "",
    "buffers": "proxy_buffers 64 256k; proxy_buffer_size 256k; proxy_busy_buffers_size 4m;",
    "slice": "slice 1m; proxy_set_header Range $slice_range; proxy_cache_key $uri$slice_range;",
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    control: str
    loss: float
    viewers: int
    cache: str


@contextlib.contextmanager
def running(command: list[str], ready: tuple[list[str], int]) -> Iterator["subprocess.Popen[str]"]:
    """A server; `ready`: the prefix of commands in its namespace, and its port."""
    log = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(command, text=True, stdout=log, stderr=subprocess.STDOUT)
    prefix, port = ready
    look = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    try:
        for _ in range(100):
            if subprocess.run([*prefix, sys.executable, "-c", look], capture_output=True, check=False).returncode == 0:
                break
            if process.poll() is not None:
                log.seek(0)
                sys.exit(f"{command[4:]} has ended: {log.read()}")
            time.sleep(0.1)
        yield process
    finally:
        end(process)
        log.close()


def cache_command(case: Case, directory: File, path: Path, config: File | None) -> list[str]:
    directory.mkdir()
    if case.cache == "edge":
        command = [*path.client, sys.executable, "-m", "edge", "serve", "--origin", f"http://{SERVER}:{ORIGIN_PORT}"]
        command += ["--listen", f"127.0.0.1:{PORT}", "--admin", "127.0.0.1:9180", "--workers", "1"]
        command += ["--cache-dir", str(directory / "cache"), "--cache-size", "4GB"]
        return command + (["--config", str(config)] if config is not None else [])
    more = MORE[case.cache]
    text = CACHE.format(directory=directory, origin=f"{SERVER}:{ORIGIN_PORT}", port=PORT, more=more)
    (directory / "nginx.conf").write_text(text)
    return [*path.client, need("nginx"), "-c", str(directory / "nginx.conf")]


def measure(case: Case, segments: int, warm: int, config: File | None) -> dict[str, object]:
    """One case on a path of its own."""
    with scratch_directory() as directory, Path(Shape(loss=case.loss)) as path:
        if not path.congestion_control(case.control):
            return {"case": vars(case), "skipped": f"this kernel has no {case.control}"}
        far = directory / "origin"
        far.mkdir()
        blob = os.urandom(SIZE)
        (far / "blob").write_bytes(blob)
        (far / "nginx.conf").write_text(ORIGIN.format(directory=far, address="0.0.0.0", port=ORIGIN_PORT))
        with (
            running([*path.server, need("nginx"), "-c", str(far / "nginx.conf")], (path.server, ORIGIN_PORT)),
            running(cache_command(case, directory / "cache", path, config), (path.client, PORT)),
        ):
            time.sleep(4.0)  # connections that are opened ahead
            viewers = [
                *path.client, sys.executable, "-m", "benchmarks.far_origin", "--view", str(case.viewers),
                "--segments", str(segments), "--warm", str(warm), "--digest", hashlib.sha256(blob).hexdigest(),
            ]  # fmt: skip
            out = subprocess.run(viewers, capture_output=True, text=True, check=False)
            if out.returncode:
                sys.exit(f"{case}: {out.stdout}{out.stderr}")
        seen = json.loads(out.stdout)
        sent = sum(int(line) for line in (far / "bytes.log").read_text().split())
        got = case.viewers * (segments + warm) * SIZE
    return {"case": vars(case), "first": seen["first"], "last": seen["last"], "origin_bytes_per_byte": sent / got}


# -- viewers, in their namespace -----------------------------------------------------------------


async def view(number: int, segments: int, warm: int, digest: str, figures: dict[str, list[float]]) -> None:
    """Segments one after another, each checked; the first `warm` are not counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for segment in range(segments + warm):
        begun = time.monotonic()
        writer.write(f"GET /viewer{number}/seg-{segment}.ts HTTP/1.1\r\nHost: films\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if b" 200 " not in head or length is None or int(length[1]) != SIZE:
            sys.exit(f"viewer {number} got {head!r}")
        data = bytearray(await reader.read(65536))
        first = time.monotonic() - begun
        data += await reader.readexactly(SIZE - len(data))
        last = time.monotonic() - begun
        if hashlib.sha256(data).hexdigest() != digest:
            sys.exit(f"viewer {number}: wrong bytes in segment {segment}")
        if segment >= warm:
            figures["first"].append(first)
            figures["last"].append(last)
    writer.close()


async def view_all(args: argparse.Namespace) -> None:
    figures: dict[str, list[float]] = {"first": [], "last": []}
    await asyncio.gather(*(view(n, args.segments, args.warm, args.digest, figures) for n in range(args.view)))
    print(json.dumps(figures))


def tell(row: dict[str, object]) -> str:
    case = Case(**row["case"])  # type: ignore[arg-type]
    name = f"{case.control:6} {case.loss:5.1%} loss, {case.viewers} viewers, {case.cache:8}"
    if "skipped" in row:
        return f"{name} skipped: {row['skipped']}"
    first, last = (sorted(row[key]) for key in ("first", "last"))  # type: ignore[call-overload]
    high = int(len(last) * 0.95)
    return (
        f"{name} first byte p50 {statistics.median(first):6.2f} p95 {first[high]:6.2f} s, last byte "
        f"p50 {statistics.median(last):6.2f} p95 {last[high]:6.2f} s, origin bytes {row['origin_bytes_per_byte']:.3f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", default="0.1,1", help="percent of packets, each way")
    parser.add_argument("--viewers", default="1,8")
    parser.add_argument("--control", default="cubic,bbr", help="congestion control of both ends")
    parser.add_argument("--caches", default=",".join(CACHES))
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--warm", type=int, default=3, help="segments before those that count")
    parser.add_argument("--edge-config", type=File, help="for the edge, beside the flags")
    parser.add_argument("--json", type=File)
    parser.add_argument("--view", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--digest", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.view:
        asyncio.run(view_all(args))
        return 0
    print(machine())
    rows = []
    for control in args.control.split(","):
        for loss in args.loss.split(","):
            for viewers in args.viewers.split(","):
                for cache in args.caches.split(","):
                    case = Case(control, float(loss) / 100, int(viewers), cache)
                    rows.append(measure(case, min(args.segments, 100), args.warm, args.edge_config))
                    print(tell(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
