"""`edge explain --config FILE URL`: what a URL means under a configuration, without a running server."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="as a player asks it: http://host/path?query")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file; without it the defaults hold")
    parser.add_argument("--origin", metavar="URL", help="where misses are fetched")
    parser.add_argument("--profile", choices=("video", "rfc9111"), help="of the one site without a file's sites")


def run(args: argparse.Namespace) -> int:
    from edge.config.load import ConfigErrors, load_settings
    from edge.errors import ConfigError
    from edge.runtime.explaining import explain

    flags = {"origin": {"url": args.origin} if args.origin else {}, "server": {}}
    if args.profile:
        flags["server"]["profile"] = args.profile
    try:
        told = explain(load_settings(args.config, flags), args.url)
    except (ConfigErrors, ConfigError) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    for word, text in told:
        print(f"{word:10}{text}")
    return 0
