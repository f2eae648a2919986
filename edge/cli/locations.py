"""`edge locations render FILE --out DIR`: targets, inventory and each node's configuration from locations.toml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD, WRONG, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("render", "check"), help="check: say what is wrong, write nothing")
    parser.add_argument("file", type=Path, metavar="FILE", help="locations.toml")
    parser.add_argument("--out", type=Path, default=Path("rendered"), metavar="DIR", help="made if missing (rendered)")
    parser.add_argument(
        "--common", type=Path, metavar="FILE", help="put into each node's configuration: sites, [admin], [log], [fleet]"
    )


def run(args: argparse.Namespace) -> int:
    from edge.config.inventory import files
    from edge.config.load import ConfigErrors, load_text
    from edge.config.locations import load_fleet

    try:
        fleet = load_fleet(args.file)
        made = files(fleet, args.common.read_text() if args.common is not None else "")
        for name, text in made.items():
            if name.endswith(".toml"):
                load_text(text, args.out / name)
    except ConfigErrors as wrong:
        print(wrong, file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"edge locations: {error}", file=sys.stderr)
        return UNREADABLE
    nodes = sum(len(location.node) for location in fleet.location)
    print(f"{args.file}: {len(fleet.location)} locations, {nodes} nodes")
    if args.what == "render":
        _write(args.out, made)
        print(f"{len(made)} files in {args.out}")
    return GOOD


def _write(directory: Path, made: Mapping[str, str]) -> None:
    """Each file at once or not at all: Prometheus watches its own."""
    for name, text in made.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
