"""`edge version`."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

from edge import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--short", action="store_true", help="the number alone")


def run(args: argparse.Namespace) -> int:
    if args.short:
        print(__version__)
        return 0
    parts = [
        f"edge {__version__}",
        f"Python {platform.python_version()}",
        f"{platform.system()} {platform.release()}",
    ]
    for name in ("uvloop", "aiofastnet", "httptools", "lmdb", "aiohttp"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} missing")
    print("\n".join(parts))
    return 0
