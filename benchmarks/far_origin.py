"""A far origin: viewers fetch cold segments of 4 MB one after another through ours and through nginx.

    viewers -> edge | nginx --(emulated path: 200 ms, 300 Mbit/s, loss)--> the self-describing origin

Each server under test has a path, an origin and a cache of its own, and meets the same pattern of losses (seed).
Rows are congestion control of the origin x loss x viewers. Printed: first and last byte, p50 and p95, and what crossed
the path per byte that the viewers got (TCP payload at the near end, retransmissions that arrived twice included); and
what a small request to the origin itself took meanwhile: a round trip with what stands in the path's queue.

  edge          `edge serve` as it is configured by default, or with --edge-config FILE
  shield        the same behind a shield of ours next to the origin, which sends with BBR whatever the origin does; not
                in the usual table
  nginx         proxy_cache with keep-alive and proxy_cache_lock
  buffers       the same with 16 MB of proxy buffers
  slice         the same with slice 1m
  pieces-32x128, pieces-NxK   no cache: N warm connections, pieces of K KiB: parallel ranges without any adaptation

Without flags it is the whole table, within 25 minutes: what has not been begun by then is left out, and said.

    python -m benchmarks.far_origin [--loss 0.1,1] [--control cubic,bbr] [--viewers 1,8] [--caches edge,nginx,...]
"""

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path as FilePath
from typing import Any, Final

from benchmarks import bench
from benchmarks.far_viewer import Sample
from benchmarks.path import (
    Path,
    PathSettings,
    PathUnavailable,
    add_flags,
    congestion_controls,
    settings_of,
    unavailable,
)

NGINX: Final = {
    "nginx": "",
    "buffers": "proxy_buffers 64 256k; proxy_buffer_size 256k; proxy_busy_buffers_size 4m;",
    "slice": "slice 1m; proxy_set_header Range $slice_range; proxy_cache_key $uri$is_args$args$slice_range;",
}
CACHES: Final = ("edge", *NGINX, "pieces-32x128")
PIECES: Final = re.compile(r"pieces-[1-9][0-9]*x[1-9][0-9]*")
FEW: Final = 10  # segments: fewer are told beside their quantiles
SETTLE: Final = 0.5  # seconds after the last byte in which what is still under way arrives and is counted


@dataclass(frozen=True, slots=True)
class Unit:
    """One cache under test on one path, in one round."""

    cache: str
    viewers: int
    path: PathSettings

    @property
    def row(self) -> "Row":
        return self.path.congestion, self.path.loss, self.viewers


@dataclass(frozen=True, slots=True)
class Result:
    """What a unit has shown: its samples, and TCP payload that came over the path while they were taken."""

    unit: Unit
    samples: tuple[Sample, ...]
    beside: tuple[float, ...]  # round trips meanwhile
    crossed: int
    forwarder_share: float  # of a core

    @property
    def viewed(self) -> int:
        return sum(sample.size for sample in self.samples)


@contextlib.contextmanager
def shield(path: Path, directory: FilePath, origin_url: str) -> Iterator[str]:
    """The URL of a shield at the far end of the path."""
    directory.mkdir(parents=True)
    config = directory / "shield.toml"
    config.write_text('[server]\nnode = "shield"\ncongestion_control = "bbr"\n')
    far, more = path.server, ("--config", str(config))
    with bench.edge(directory / "c", origin_url, *more, core=None, inside=far.prefix, host=far.address) as ours:
        yield ours.url


@contextlib.contextmanager
def target(name: str, path: Path, directory: FilePath, origin_url: str, config: FilePath | None) -> Iterator[str]:
    """The URL that viewers ask: a cache at the near end of the path, or the origin itself."""
    inside = path.client.prefix
    if name.startswith("pieces"):
        yield origin_url
    elif name == "edge":
        more = ("--config", str(config)) if config else ()
        with bench.edge(directory, origin_url, *more, core=None, inside=inside) as ours:
            yield ours.url
    elif name == "shield":
        with shield(path, directory / "shield", origin_url) as parent:
            with bench.edge(directory / "edge", parent, core=None, inside=inside) as ours:
                yield ours.url
    else:
        with bench.nginx(directory, origin_url, core=None, more=NGINX[name], inside=inside) as theirs:
            yield theirs.url


def run(unit: Unit, args: argparse.Namespace) -> Result:
    """Start everything for a unit, view, end everything."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(Path(unit.path))
        directory = stack.enter_context(bench.scratch_directory())
        origin_url = stack.enter_context(bench.origin(path.server.address, core=None, inside=path.server.prefix))
        url = stack.enter_context(target(unit.cache, path, directory / "c", origin_url, args.edge_config))
        command = [sys.executable, "-m", "benchmarks.far_viewer", url, "--origin", origin_url]
        command += ["--viewers", str(unit.viewers)]
        command += ["--size", str(args.size), "--segments", str(args.segments), "--seconds", str(args.seconds)]
        command += ["--warm", str(args.warm), "--warm-seconds", str(args.warm_seconds)]
        if unit.cache.startswith("pieces-"):
            command += ["--pieces", unit.cache.removeprefix("pieces-")]
        viewer = path.client.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert viewer.stdout is not None
        if viewer.stdout.readline() != "warm\n":
            sys.exit(f"{unit}: the viewers did not get as far as the first segment")
        before, begun = path.crossed(), time.monotonic()
        told, _ = viewer.communicate("go\n")
        if viewer.returncode != 0:
            sys.exit(f"{unit}: the viewers ended with {viewer.returncode}")
        time.sleep(SETTLE)
        after, took = path.crossed(), time.monotonic() - begun
    seen = json.loads(told)
    samples = tuple(Sample(**sample) for sample in seen["samples"])
    share = (after.cpu_seconds - before.cpu_seconds) / took
    return Result(unit, samples, tuple(seen["beside"]), after.body_bytes - before.body_bytes, share)


def run_in_time(unit: Unit, args: argparse.Namespace, until: float) -> Result | None:
    """None when there was no time left for it."""
    if time.monotonic() < until:
        return run(unit, args)
    print(f"no time left for {unit.cache}, {unit.viewers} viewers, {unit.path.congestion}, {unit.path.loss:.1%} loss")
    return None


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def summary(results: list[Result]) -> dict[str, Any]:
    """The rounds of one cache in one row, taken together; seconds."""
    samples = [sample for result in results for sample in result.samples]
    good = [sample for sample in samples if not sample.failed]
    found: dict[str, Any] = {"segments": len(samples), "failed": [sample.failed for sample in samples if sample.failed]}
    if good:
        for name, values in (("first", [s.first for s in good]), ("last", [s.last for s in good])):
            found[name] = {"p50": statistics.median(values), "p95": quantile(values, 0.95), "all": values}
        found["origin_per_viewer_byte"] = sum(r.crossed for r in results) / sum(r.viewed for r in results)
    if beside := [seconds for result in results for seconds in result.beside]:
        found["beside"] = {"p50": statistics.median(beside), "p95": quantile(beside, 0.95), "all": beside}
    found["forwarder_share"] = max(result.forwarder_share for result in results)
    return found


def line_of(row: "Row", cache: str, found: dict[str, Any]) -> str:
    congestion, loss, viewers = row
    text = f"{congestion:5} {loss:5.1%} {viewers:2} viewers  {cache:13}"
    if "last" not in found:
        return f"{text} all {found['segments']} segments failed: {found['failed'][0]}"
    first, last = found["first"], found["last"]
    text += f" first {first['p50']:6.3f} p95 {first['p95']:6.3f}   last {last['p50']:6.2f} p95 {last['p95']:6.2f} s"
    text += f"   origin/viewer {found['origin_per_viewer_byte']:.3f}   n {found['segments']:3}"
    text += f"   forwarder {found['forwarder_share']:.0%}"
    return text + (f"   FAILED {len(found['failed'])}: {found['failed'][0]}" if found["failed"] else "")


Row = tuple[str, float, int]
Rows = dict[Row, dict[str, dict[str, Any]]]


def seconds_of(found: dict[str, Any], what: str) -> str:
    """The median and the 95th percentile of a first or last byte or a round trip, and of how few if they are few."""
    if what not in found:
        return "-"
    values = found[what]
    few = f" ({len(values['all'])})" if len(values["all"]) < FEW else ""
    return f"{values['p50']:.3g} / {values['p95']:.3g}{few}"


def table(rows: Rows, title: str, cell: Callable[[dict[str, Any]], str]) -> str:
    """In Markdown: a line a path, a column a cache."""
    caches = list(dict.fromkeys(cache for row in rows.values() for cache in row))
    text = [f"| {title} | " + " | ".join(caches) + " |", "|---" * (len(caches) + 1) + "|"]
    for (congestion, loss, viewers), of_cache in rows.items():
        cells = [cell(of_cache.get(cache, {})) for cache in caches]
        text.append(f"| {viewers}, {congestion}, {loss * 100:g} % | " + " | ".join(cells) + " |")
    return "\n".join(text)


def tables(rows: Rows) -> str:
    """All that is measured; lines are viewers, sender, loss."""
    amplified = "origin bytes per viewer byte"
    return "\n\n".join((
        table(rows, "last byte p50 / p95, s", lambda found: seconds_of(found, "last")),
        table(rows, "first byte p50 / p95, s", lambda found: seconds_of(found, "first")),
        table(rows, "small request beside it p50 / p95, s", lambda found: seconds_of(found, "beside")),
        table(rows, amplified, lambda found: f"{found['origin_per_viewer_byte']:.3f}" if "last" in found else "-"),
    ))  # fmt: skip


def units_of(args: argparse.Namespace) -> list[Unit]:
    """All rounds of all rows, the caches in turn. A congestion control that is missing here is said and left out."""
    units = []
    usual = settings_of(args)
    for congestion in args.control.split(","):
        if congestion not in congestion_controls():
            print(f"no rows with {congestion}: {unavailable(congestion)}")
            continue
        for loss in args.loss.split(","):
            for viewers in args.viewers.split(","):
                for number in range(args.rounds):
                    path = replace(usual, loss=float(loss) / 100, congestion=congestion, seed=args.seed + number)
                    units += [Unit(cache, int(viewers), path) for cache in args.caches.split(",")]
    return units


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caches", default=",".join(CACHES), help=f"of {', '.join(CACHES)}")
    parser.add_argument("--loss", default="0.1,1", metavar="PERCENT,...")
    parser.add_argument("--control", default="cubic,bbr", help="of the origin's end")
    parser.add_argument("--viewers", default="1,8")
    parser.add_argument("--rounds", type=int, default=1, help="each with losses of its own")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a cache in a round: then no segment is begun")
    parser.add_argument("--warm", type=int, default=4, help="segments before the first that counts ...")
    parser.add_argument("--warm-seconds", type=float, default=8.0, help="... and after which no more of them is begun")
    parser.add_argument("--segments", type=int, default=30, help="of a viewer in a round at most")
    parser.add_argument("--size", type=int, default=4_000_000, help="bytes of a segment")
    parser.add_argument("--jobs", type=int, default=1, help="caches measured at the same time, on paths of their own")
    parser.add_argument("--edge-config", type=FilePath, metavar="FILE", help="a configuration of the edge")
    parser.add_argument("--json", type=FilePath, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=24.0, help="after which nothing more is begun")
    add_flags(parser)
    # A far origin's operator has tcp_slow_start_after_idle off, or every segment begins with ten packets a connection.
    parser.add_argument(
        "--restart-window", dest="idle_restart", action="store_true", help="as a kernel comes: it is on"
    )
    parser.set_defaults(idle_restart=False)
    args = parser.parse_args()
    known = (*CACHES, "shield")
    wrong = [name for name in args.caches.split(",") if name not in known and not PIECES.fullmatch(name)]
    if wrong:
        parser.error(f"--caches: no {', '.join(wrong)}; there are {', '.join(known)}")
    args.edge_config = args.edge_config.resolve() if args.edge_config else None
    return args


def main() -> int:
    args = arguments()
    why = unavailable()
    if why:
        sys.exit(why)
    print(bench.machine())
    print(f"path: {args.rtt:g} ms, {args.mbit:g} Mbit/s, queue {args.queue_kb:g} KB; {args.size} bytes a segment")
    results: dict[Row, dict[str, list[Result]]] = {}
    rows: Rows = {}
    until = time.monotonic() + 60 * args.minutes
    try:
        with ThreadPoolExecutor(max(1, args.jobs)) as threads:
            for result in threads.map(lambda unit: run_in_time(unit, args, until), units_of(args)):
                if result is None:
                    continue
                unit = result.unit
                of_cache = results.setdefault(unit.row, {}).setdefault(unit.cache, [])
                of_cache.append(result)
                rows.setdefault(unit.row, {})[unit.cache] = summary(of_cache)
                if len(of_cache) == args.rounds:
                    print(line_of(unit.row, unit.cache, rows[unit.row][unit.cache]), flush=True)
    except PathUnavailable as error:
        sys.exit(str(error))
    print("\n" + tables(rows))
    if args.json:
        told = [
            {"congestion": row[0], "loss": row[1], "viewers": row[2], "cache": cache, **found}
            for row, caches in rows.items()
            for cache, found in caches.items()
        ]
        said = {"machine": bench.machine(), "path": asdict(settings_of(args)), "rows": told}
        args.json.write_text(json.dumps(said, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
