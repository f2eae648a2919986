"""CPU per hit and throughput beside nginx proxy_cache in the same run: 2 KB, 64 KB, 1 MB, 4 MB, plain and TLS 1.3.

Server processes on core 0, wrk on core 1, the two servers in turn, medians of the rounds. What counts is the
ratio: these figures move with the machine, both servers with them.

Bodies of 1 MB and more are compared at an equal load, paced, and beside that at full speed. At full speed the load
generator's core is the limit, and a server that falls behind pays less: over loopback the core that reads also does
the work of the other side's TCP, once the sender's buffer is full, and it is not booked to the server.

wrk says the same on a connection each time, as a player does; where it asks for another range with each request
(`ranges`), nothing that was read of one request helps with the next.

    python -m benchmarks.hit [--rounds 5] [--seconds 2] [--sizes 2000,65536] [--tls | --plain] [--json FILE]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.bench import (
    LOAD_CORE,
    Server,
    edge,
    fetch,
    machine,
    need,
    nginx,
    origin,
    pinned,
    scratch_directory,
)

SIZES = (2_000, 65_536, 1_048_576, 4_194_304)
BUDGET = {False: (2.5, 1.3, 1.0, 1.0), True: (2.5, 1.2, 1.0, 0.95)}
PACED = {1_048_576: 16, 4_194_304: 30}  # milliseconds that each connection waits between two requests
AS_FAST, PACES, RANGES = "", "paced", "ranges"
SHAPES = {65_536: (AS_FAST, RANGES), 1_048_576: (PACES, AS_FAST), 4_194_304: (PACES, AS_FAST)}
SCRIPTS = {
    AS_FAST: "",
    PACES: "function delay() return {pace} end\n",
    # Another range each time: nothing of the request is as it was the last time.
    RANGES: """local n = 0
function request()
  n = (n + 1) % 1000
  wrk.headers["Range"] = "bytes=" .. n .. "-"
  return wrk.format()
end
""",
}
CONNECTIONS = {2_000: 32, 65_536: 32, 1_048_576: 16, 4_194_304: 8}


def load(server: Server, path: str, connections: int, seconds: float, script: Path | None) -> tuple[float, float]:
    """(CPU microseconds a request, requests a second) under wrk."""
    command = pinned(LOAD_CORE, need("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", server.url + path)
    if script is not None:
        command += ["-s", str(script)]
    before = server.cpu_seconds()
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = server.cpu_seconds() - before
    done = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if "Non-2xx" in out or "Socket errors" in out or done is None or rate is None or int(done[1]) == 0:
        sys.exit(f"{server.name} failed under load:\n{out}")
    return used / int(done[1]) * 1e6, float(rate[1])


def measure(directory: Path, tls: bool, sizes: list[int], rounds: int, seconds: float) -> list[dict[str, object]]:
    pair: tuple[Path, Path] | None = None
    flags: list[str] = []
    if tls:
        pair = make_certificate(directory)
        flags = ["--tls-cert", str(pair[0]), "--tls-key", str(pair[1])]
    rows: list[dict[str, object]] = []
    with (
        origin() as url,
        edge(directory / "edge", url, *flags) as ours,
        nginx(directory / "nginx", url, tls=pair) as theirs,
    ):
        for size in sizes:
            path = f"/s/{size}/hit.ts"
            wanted = fetch(url + path)
            for server in (ours, theirs):
                for _ in range(2):
                    assert fetch(server.url + path) == wanted, f"{server.name} gave wrong bytes"
            for shape in SHAPES.get(size, (AS_FAST,)):
                figures: dict[str, list[tuple[float, float]]] = {"edge": [], "nginx": []}
                script = directory / "shape.lua"
                script.write_text(SCRIPTS[shape].format(pace=PACED.get(size, 0)))
                for _ in range(rounds):
                    for server in (ours, theirs):
                        connections = CONNECTIONS.get(size, 16)
                        with_script = None if shape == AS_FAST else script
                        figures[server.name].append(load(server, path, connections, seconds, with_script))
                rows.append(row(size, tls, figures, shape))
                print(tell(rows[-1]), flush=True)
    return rows


def row(size: int, tls: bool, figures: dict[str, list[tuple[float, float]]], shape: str) -> dict[str, object]:
    ours, theirs = (statistics.median(cpu for cpu, _ in figures[name]) for name in ("edge", "nginx"))
    fast, slow = (statistics.median(rate for _, rate in figures[name]) for name in ("edge", "nginx"))
    ratio = statistics.median(a[0] / b[0] for a, b in zip(figures["edge"], figures["nginx"], strict=True))
    judged = size in SIZES and shape == (PACES if size in PACED else AS_FAST)
    budget = BUDGET[tls][SIZES.index(size)] if judged else None
    return {
        "size": size, "shape": shape, "tls": tls, "edge_us": ours, "nginx_us": theirs, "ratio": ratio,
        "budget": budget, "edge_rps": fast, "nginx_rps": slow,
    }  # fmt: skip


def tell(found: dict[str, object]) -> str:
    kind = f"{'TLS 1.3' if found['tls'] else 'plain':7} {found['shape']:6}"
    return (
        f"{kind} {found['size']:>9} bytes: CPU {found['edge_us']:8.1f} us beside nginx {found['nginx_us']:8.1f} us, "
        f"ratio {found['ratio']:.2f} (budget {found['budget'] or '-'}), "
        f"{found['edge_rps']:.0f} / {found['nginx_rps']:.0f} req/s"
    )


def make_certificate(directory: Path) -> tuple[Path, Path]:
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rounds, seconds = min(max(args.rounds, 1), 50), min(max(args.seconds, 1), 60)
    print(machine())
    rows = []
    for tls in (False, True):
        if (tls and args.plain) or (not tls and args.tls):
            continue
        with scratch_directory() as directory:
            rows += measure(directory, tls, [int(size) for size in args.sizes.split(",")], rounds, seconds)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
