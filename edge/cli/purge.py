"""`edge purge`: have a running server forget objects, or make them stale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("url", metavar="URL", nargs="?", help="one URL; without a query, whatever query it is asked with")
    what.add_argument("--prefix", metavar="URL", help="every URL that begins so")
    what.add_argument("--tag", metavar="TAG", help="what the origin tagged so (Surrogate-Key, Cache-Tag)")
    what.add_argument("--site", metavar="NAME", help="everything of a site")
    what.add_argument("--title", metavar="URL", help="a playlist or manifest, and everything it refers to")
    what.add_argument("--list", metavar="FILE", type=Path, help="URLs, one a line; - for stdin")
    what.add_argument("--everything", action="store_true", help="everything of this node")
    parser.add_argument("--of-site", metavar="NAME", help="with --tag: only objects of this site")
    parser.add_argument("--soft", action="store_true", help="make stale: asked about before its next use")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--json", action="store_true", help="for programs")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_purge, args)


def _purge(client: api_client.Client, args: argparse.Namespace) -> int:
    told = client.call("POST", "/v1/purge", _ask(args))
    if args.json:
        print(json.dumps(told))
    else:
        verb = "would go" if told["dry_run"] else "are stale" if told["soft"] else "are gone"
        print(f"{told['objects']} objects, {told['length'] / 1e6:.1f} MB, {verb} ({told['seconds']:.3f} s)")
    for volume, why in told["failed"].items():
        print(f"{volume}: not done, it will be before it serves anew: {why}", file=sys.stderr)
    return api_client.REFUSED if told["failed"] else api_client.OK


def _ask(args: argparse.Namespace) -> dict[str, Any]:
    ask = {name: getattr(args, name) for name in ("url", "prefix", "tag", "site", "title") if getattr(args, name)}
    if args.of_site:
        ask["site"] = args.of_site
    if args.list:
        text = sys.stdin.read() if str(args.list) == "-" else args.list.read_text()
        ask["urls"] = [line.strip() for line in text.splitlines() if line.strip()]
    for name in ("everything", "soft", "dry_run"):
        if getattr(args, name):
            ask[name] = True
    return ask
