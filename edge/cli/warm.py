"""`edge warm`: begin a warm job and watch it, or look after jobs that there are."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

from edge.cli import api_client

LOOK_SECONDS: Final = 0.5
BAR: Final = 30
OVER: Final = ("done", "cancelled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", nargs="*", help="what to fetch")
    parser.add_argument(
        "--title", metavar="URL", action="append", default=[], help="a playlist or manifest, and all it refers to"
    )
    parser.add_argument(
        "--rendition",
        metavar="PATTERN",
        action="append",
        default=[],
        help="of lists in a title only those whose URL matches",
    )
    parser.add_argument("--list", metavar="FILE", type=Path, help="URLs, one a line; - for stdin")
    parser.add_argument("--prefix", metavar="URL", help="only URLs that begin so")
    parser.add_argument(
        "--mbit",
        metavar="N",
        type=api_client.number(0, 1_000_000),
        default=0.0,
        help="at most so many megabits a second",
    )
    parser.add_argument("--window", metavar="HH:MM-HH:MM", help="at work only then")
    parser.add_argument("--zone", metavar="ZONE", default="UTC", help="time zone of the window: Asia/Yekaterinburg")
    parser.add_argument(
        "--parallel",
        metavar="N",
        type=api_client.number(1, 16, whole=True),
        default=1,
        help="fetches at a time (default 1)",
    )
    parser.add_argument("--fleet", action="store_true", help="on every node of the fleet; this one is watched")
    parser.add_argument("--detach", action="store_true", help="do not wait: print the job's id")
    parser.add_argument("--jobs", action="store_true", help="tell of all jobs")
    parser.add_argument("--watch", metavar="JOB", help="watch a job that there is")
    for verb in ("pause", "resume", "cancel"):
        parser.add_argument(f"--{verb}", metavar="JOB", help=f"{verb} a job")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_warm, args)


def _warm(client: api_client.Client, args: argparse.Namespace) -> int:
    if args.jobs:
        for job in client.call("GET", "/v1/warm")["jobs"]:
            print(line(job))
        return api_client.OK
    for verb in ("pause", "resume", "cancel"):
        if getattr(args, verb):
            print(line(client.call("POST", f"/v1/warm/{getattr(args, verb)}/{verb}")))
            return api_client.OK
    if args.watch:
        return _watch(client, args.watch)
    job = client.call("POST", "/v1/warm", _ask(args))
    if args.detach:
        print(job["id"])
        return api_client.OK
    return _watch(client, job["id"])


def _ask(args: argparse.Namespace) -> dict[str, Any]:
    urls = list(args.url)
    if args.list:
        text = api_client.read_file("--list", args.list)
        urls += [line.strip() for line in text.splitlines() if line.strip()]
    ask: dict[str, Any] = {"urls": urls, "titles": args.title, "renditions": args.rendition, "mbit": args.mbit}
    ask |= {"zone": args.zone, "parallel": args.parallel, "fleet": args.fleet}
    return ask | {name: getattr(args, name) for name in ("prefix", "window") if getattr(args, name)}


def _watch(client: api_client.Client, id_: str) -> int:
    live = sys.stdout.isatty()
    while True:
        job = client.call("GET", f"/v1/warm/{id_}")
        over = job["state"] in OVER
        if live or over:
            print(("\r\x1b[K" if live else "") + line(job), end="\n" if over else "", flush=True)
        if over:
            for failure in job["failures"]:
                print(failure, file=sys.stderr)
            return api_client.OK if job["state"] == "done" and not job["failed"] else api_client.REFUSED
        time.sleep(LOOK_SECONDS)


def line(job: dict[str, Any]) -> str:
    """A job in one line: its bar, what came, how long it will take."""
    total = job["total"]
    share = job["done"] / total if total else float(job["state"] == "done")
    filled = round(share * BAR)
    eta = f", {job['eta']:.0f} s left" if job["eta"] is not None else ""
    count = f"{job['done']}/{total}" if total is not None else "listing"
    return (
        f"{job['id']} [{'#' * filled}{'.' * (BAR - filled)}] {share:4.0%} {count} {job['state']}: "
        f"{job['fetched']} fetched ({job['length'] / 1e6:.1f} MB, {job['mbit_per_second']} Mbit/s), "
        f"{job['present']} were there, {job['refused']} not kept, {job['failed']} failed{eta}"
    )
