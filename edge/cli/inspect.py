"""`edge inspect DIR`: what a cache directory holds."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, metavar="DIR", help="a cache directory, also one that is being served")
    parser.add_argument("--index-dir", type=Path, metavar="DIR", help="where its index is, if not inside")
    parser.add_argument("--verify", action="store_true", help="read everything; 1 and a list if something is bad")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    from edge.errors import StoreError
    from edge.store.inspect import inspect_directory

    if args.verify:
        return _verify(args)
    try:
        found = inspect_directory(args.dir, args.index_dir)
    except (StoreError, OSError) as error:
        print(f"edge inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(found)))
        return 0
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items())) or "none"
    state = "stopped cleanly" if found.clean else "in use, or not stopped cleanly"
    print(f"volume     {found.volume} in {found.directory}")
    print(f"objects    {found.objects} ({kinds})")
    print(f"stored     {found.bytes_stored} bytes of bodies ({found.bytes_stored / 1e9:.2f} GB)")
    print(f"packs      {found.packs}, {found.bytes_on_disk} bytes on disk ({found.bytes_on_disk / 1e9:.2f} GB)")
    print(f"generation {found.generation}, index epoch {found.epoch}, {state}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from edge.errors import StoreError
    from edge.store.inspect import verify_directory

    try:
        found = verify_directory(args.dir, args.index_dir)
    except (StoreError, OSError) as error:
        print(f"edge inspect: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(found)))
    else:
        for line in found.bad:
            print(line)
        print(f"{found.extents} extents, {found.bytes_read / 1e9:.2f} GB read, {len(found.bad)} bad")
    return 1 if found.bad else 0
