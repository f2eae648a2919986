"""`edge purge`: have a running server forget objects, or make them stale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from edge.cli import api_client

WAIT_SECONDS: Final = 30.0


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
    parser.add_argument("--fleet", action="store_true", help="on every node of the fleet")
    parser.add_argument("--wait", action="store_true", help="with --fleet: until every live node has done it")
    parser.add_argument(
        "--wait-most",
        metavar="SECONDS",
        type=api_client.number(0, 600),
        default=WAIT_SECONDS,
        help=f"for so long (default {WAIT_SECONDS:g})",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    for flag, given, needs, there in (
        ("--wait", args.wait, "--fleet", args.fleet),
        ("--of-site", args.of_site, "--tag", args.tag),
    ):
        if given and not there:
            print(f"{flag} goes with {needs}", file=sys.stderr)
            return api_client.WRONG
    return api_client.told(_purge, args)


def _purge(client: api_client.Client, args: argparse.Namespace) -> int:
    told = client.call("POST", "/v1/purge", _ask(args))
    if args.json:
        print(json.dumps(told))
    else:
        verb = "would go" if told["dry_run"] else "are stale" if told["soft"] else "are gone"
        print(f"{told['objects']} objects, {told['length'] / 1e6:.1f} MB, {verb} ({told['seconds']:.3f} s)")
    for volume, why in told["failed"].items():
        print(f"{volume}: owed, it will be done as soon as that can be written: {why}", file=sys.stderr)
    for url, why in told["unread"].items():
        print(f"{url} could not be read, and what it names is as before: {why}", file=sys.stderr)
    reached = _fleet(told["fleet"], waited=args.wait) if args.fleet else True
    return api_client.REFUSED if told["failed"] or told["unread"] or not reached else api_client.OK


def _fleet(told: dict[str, Any], *, waited: bool) -> bool:
    """Say where the fleet stands; False: not as it was asked."""
    if told["error"]:
        print(f"the fleet: {told['error']}", file=sys.stderr)
        return False
    print(f"the fleet, order {told['order']}: done by {', '.join(told['done']) or 'nobody yet'}")
    if told["away"]:
        print(f"away, they will when they come back: {', '.join(told['away'])}", file=sys.stderr)
    if told["behind"]:
        print(f"not done yet: {', '.join(told['behind'])}", file=sys.stderr if waited else sys.stdout)
    return not (waited and told["behind"])


def _ask(args: argparse.Namespace) -> dict[str, Any]:
    ask = {name: getattr(args, name) for name in ("url", "prefix", "tag", "site", "title") if getattr(args, name)}
    if args.of_site:
        ask["site"] = args.of_site
    if args.list:
        text = api_client.read_file("--list", args.list)
        ask["urls"] = [line.strip() for line in text.splitlines() if line.strip()]
    for name in ("everything", "soft", "dry_run", "fleet"):
        if getattr(args, name):
            ask[name] = True
    if args.fleet and args.wait:
        ask["wait"] = args.wait_most
    return ask
