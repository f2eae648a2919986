"""`edge openapi`: the admin API's own description, for programs and for those who write them."""

import argparse
import json

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_show, args)


def _show(client: api_client.Client, _: argparse.Namespace) -> int:
    print(json.dumps(client.call("GET", "/v1/openapi.json"), indent=2, ensure_ascii=False))
    return api_client.OK
