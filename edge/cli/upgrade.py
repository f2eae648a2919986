"""`edge upgrade`: a running server becomes the program that is installed now, and players notice nothing."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from edge.cli import api_client

LOOK_SECONDS: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", metavar="SECONDS", type=api_client.number(0, 86400), default=60.0, help="for the outcome (default 60)"
    )
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_upgrade, args)


def _upgrade(client: api_client.Client, args: argparse.Namespace) -> int:
    before = client.call("GET", "/v1/stats")
    print(client.call("POST", "/v1/upgrade")["done"])
    deadline = time.monotonic() + args.wait
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        try:
            now: dict[str, Any] = client.call("GET", "/v1/stats")
        except api_client.Refused:
            continue  # it is between the two
        if now["generation"] > before["generation"]:
            print(f"upgraded from {before['version']} to {now['version']} (pid {now['pid']})")
            return api_client.OK
    raise api_client.Refused(f"no outcome after {args.wait:g} s: the server's log says more")
