"""`edge inspect DIR`: what a cache directory holds."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edge.errors import StoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, help="a cache directory, also one that is being served")
    parser.add_argument("--index-dir", type=Path, help="where its index is, if not inside")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    from edge.store.inspect import inspect_directory

    try:
        found = inspect_directory(args.dir, args.index_dir)
    except (StoreError, OSError) as error:
        print(f"edge inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(found)))
        return 0
    print(f"volume     {found.volume} in {found.directory}")
    print(
        f"objects    {found.objects}  ({', '.join(f'{n} {kind}' for kind, n in sorted(found.kinds.items())) or 'none'})"
    )
    print(f"stored     {found.bytes_stored} bytes of bodies")
    print(f"packs      {found.packs}, {found.bytes_on_disk} bytes on disk")
    state = "stopped cleanly" if found.clean else "in use, or not stopped cleanly"
    print(f"generation {found.generation}, index epoch {found.epoch}, {state}")
    return 0
