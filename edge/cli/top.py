"""`edge top`: rates, hit ratio, sites and objects of a running server, renewed until Ctrl-C."""

import argparse
import json
import sys
import time
from typing import Any

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", metavar="N", type=int, default=10, help="lines of each list (default 10)")
    parser.add_argument("--once", action="store_true", help="print once and end")
    parser.add_argument("--json", action="store_true", help="once, for programs")
    parser.add_argument("--every", metavar="SECONDS", type=float, default=2.0, help="default 2")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_top, args)


def _top(client: api_client.Client, args: argparse.Namespace) -> int:
    before: dict[str, Any] | None = None
    while True:
        told = client.call("GET", "/v1/top", count=str(args.count))
        if args.json:
            print(json.dumps(told))
            return api_client.OK
        stats = client.call("GET", "/v1/stats")
        text = "\n".join(lines(stats, told, before))
        print(text if args.once else f"\x1b[H\x1b[2J{text}", flush=True)
        if args.once:
            return api_client.OK
        before = stats
        sys.stdout.flush()
        time.sleep(args.every)


def lines(stats: dict[str, Any], told: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """The screen; rates since the look before, or since the server's start."""
    since = before or {"uptime": 0.0, "requests": 0, "bytes": 0, "upstream_bytes": 0}
    seconds = max(stats["uptime"] - since["uptime"], 0.1)
    rate = {name: (stats[name] - since[name]) / seconds for name in ("requests", "bytes", "upstream_bytes")}
    ratio = f"{stats['hit_ratio']:.1%}" if stats["hit_ratio"] is not None else "-"
    found = [
        f"{stats['node']}  {stats['state']}  {stats['workers']} workers  up {stats['uptime']:.0f} s",
        f"{rate['requests']:.0f} requests/s  {rate['bytes'] * 8e-6:.1f} Mbit/s to players  "
        f"{rate['upstream_bytes'] * 8e-6:.1f} Mbit/s from upstream  hits {ratio}",
        "",
        f"{'site':30}{'requests':>12}{'hits':>8}{'GB':>10}",
    ]
    for site in told["sites"]:
        hits = f"{site['hit_ratio']:.1%}" if site["hit_ratio"] is not None else "-"
        found.append(f"{site['site'][:29]:30}{site['requests']:>12}{hits:>8}{site['bytes'] / 1e9:>10.2f}")
    found += ["", f"{'share':>6}  object"]
    found += [f"{entry['share']:>6.1%}  {entry['key']}" for entry in told["objects"]]
    return found
