"""`edge fleet`: the nodes of a running server's fleet, and how far each has done its orders."""

from __future__ import annotations

import argparse
import json

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_fleet, args)


def _fleet(client: api_client.Client, args: argparse.Namespace) -> int:
    told = client.call("GET", "/v1/fleet")
    if args.json:
        print(json.dumps(told))
    elif not told["connected"]:
        print(f"this node works alone: {told['why']}")
    else:
        print(f"fleet {told['name']}, seen by {told['node']}; the oldest order waits for {told['lag'] or 0:.1f} s")
        for node in told["nodes"]:
            print(f"{node['node']:20} {'has done all up to ' + node['done'] if node['live'] else 'is away'}")
    return api_client.OK if told["connected"] else api_client.REFUSED
