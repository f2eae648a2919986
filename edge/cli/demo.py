"""`edge demo`: see edge.demo.main."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="for the player page")
    parser.add_argument("--admin", default="127.0.0.1:9180", metavar="HOST:PORT", help="for the metrics page")
    parser.add_argument("--origin-delay", default="200ms", metavar="TIME", help="how far away the origin seems")


def run(args: argparse.Namespace) -> int:
    from edge.demo.main import run as run_demo

    return run_demo(args.listen, args.admin, args.origin_delay)
