"""`edge log-level`: set the log level of all processes of a running server."""

import argparse

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", choices=("debug", "info", "warning", "error"))
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_set, args)


def _set(client: api_client.Client, args: argparse.Namespace) -> int:
    print(client.call("POST", "/v1/log", {"level": args.level})["done"])
    return api_client.OK
