"""`edge drain`: /readyz says 503, so that load balancers take players elsewhere; who comes is served all the same."""

import argparse

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--off", action="store_true", help="back into service")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_drain, args)


def _drain(client: api_client.Client, args: argparse.Namespace) -> int:
    print(client.call("POST", "/v1/drain", {"on": not args.off})["done"])
    return api_client.OK
