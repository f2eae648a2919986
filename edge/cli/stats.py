"""`edge stats`: what a running server has counted since its start."""

import argparse
import json

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return api_client.told(_stats, args)


def _stats(client: api_client.Client, args: argparse.Namespace) -> int:
    told = client.call("GET", "/v1/stats")
    if args.json:
        print(json.dumps(told))
        return api_client.OK
    print(f"{told['node']}: {told['state']}, {told['workers']} workers, up {told['uptime']:.0f} s, {told['version']}")
    print(f"requests   {told['requests']}, hit ratio {_share(told['hit_ratio'])}")
    offload = _share(told["byte_offload"])
    print(f"sent       {told['bytes'] / 1e9:.3f} GB, fetched {told['upstream_bytes'] / 1e9:.3f} GB, offload {offload}")
    print(f"statuses   {_list(told['statuses'])}")
    print(f"codes      {_list(told['codes'])}")
    print(f"players    {_list(told['connections'])}; fills under way: {told['fills']}")
    for name, volume in told["volumes"].items():
        used = f"{volume['bytes'] / 1e9:.2f} of {volume['max_bytes'] / 1e9:.2f} GB"
        print(f"volume     {name}: {used}, {volume['objects']} objects")
    return api_client.OK


def _share(value: float | None) -> str:
    return f"{value:.1%}" if value is not None else "-"


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
