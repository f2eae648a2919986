"""`edge VERB ...`."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

VERBS: Final = {
    "serve": ("edge.cli.serve", "serve players from a disk cache"),
    "demo": ("edge.cli.demo", "a film, its origin, an edge and a player page, all at once"),
    "check-config": ("edge.cli.check_config", "check a configuration file; say everything that is wrong"),
    "inspect": ("edge.cli.inspect", "what a cache directory holds"),
    "version": ("edge.cli.version", "versions of the program and what it runs on"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    verb = args[0] if args else ""
    if verb in VERBS:
        module = importlib.import_module(VERBS[verb][0])
        parser = argparse.ArgumentParser(prog=f"edge {verb}", description=VERBS[verb][1])
        module.add_arguments(parser)
        run: Callable[[argparse.Namespace], int] = module.run
        return run(parser.parse_args(args[1:]))
    parser = argparse.ArgumentParser(
        prog="edge",
        description="A video CDN edge: cache edge and origin shield.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="verbs:\n" + "\n".join(f"  {name:14}{text}" for name, (_, text) in VERBS.items()),
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="see below; `edge VERB --help` tells its flags")
    parser.parse_args(args[:1])
    return 2
