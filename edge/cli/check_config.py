"""`edge check-config FILE`: exit 0, or every error with line, field, value and hint."""

import argparse
import sys
from pathlib import Path

from edge.config.load import ConfigErrors, load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="a TOML file")
    parser.add_argument("--reference", action="store_true", help="print every key with its default, and stop")


def run(args: argparse.Namespace) -> int:
    if args.reference:
        from edge.config.reference import render

        print(render(), end="")
        return 0
    if args.file is None:
        print("edge check-config: give a FILE, or --reference", file=sys.stderr)
        return 2
    try:
        settings = load_settings(args.file)
        from edge.cli.serve import check_certificates

        check_certificates(settings)
    except ConfigErrors as wrong:
        print(f"{args.file}:", file=sys.stderr)
        for error in wrong.errors:
            print(f"  {error}", file=sys.stderr)
        return 1
    listen = ", ".join(settings.server.listen)
    origin = settings.origin.url or "no origin (give it with --origin)"
    print(
        f"{args.file}: good; listens on {listen}, "
        f"cache {settings.cache.size / 1e9:g} GB in {settings.cache.dir}, {origin}"
    )
    return 0
