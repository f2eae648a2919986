"""`edge VERB ...`: finds the verb's module and runs it; nothing else is imported."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

VERBS: Final = {
    "serve": ("edge.cli.serve", "serve players from a disk cache"),
    "demo": ("edge.cli.demo", "a film, its origin, an edge and a player page, all at once"),
    "check-config": ("edge.cli.check_config", "check a configuration file; say everything that is wrong"),
    "purge": ("edge.cli.purge", "have a running server forget objects, or make them stale"),
    "warm": ("edge.cli.warm", "have a running server fetch what players will ask for"),
    "fleet": ("edge.cli.fleet", "the nodes of a running server's fleet, and how far each is"),
    "stats": ("edge.cli.stats", "what a running server has counted"),
    "drain": ("edge.cli.drain", "have load balancers take players away from a running server, or back"),
    "log-level": ("edge.cli.log_level", "set the log level of a running server"),
    "show-config": ("edge.cli.show_config", "the configuration that a running server goes by, secrets masked"),
    "openapi": ("edge.cli.openapi", "the admin API of a running server, described (OpenAPI)"),
    "reload": ("edge.cli.reload", "have a running server take up its configuration anew"),
    "upgrade": ("edge.cli.upgrade", "have a running server become the program that is installed now"),
    "explain": ("edge.cli.explain", "what a URL means under a configuration: site, rule, kind, key, freshness"),
    "inspect": ("edge.cli.inspect", "what a cache directory holds"),
    "doctor": ("edge.cli.doctor", "whether this machine is fit for an edge, and how to mend what is not"),
    "top": ("edge.cli.top", "what a running server does now, in a terminal: rates, sites, upstreams, busiest objects"),
    "locations": ("edge.cli.locations", "scrape targets, inventory and configurations of a fleet from locations.toml"),
    "version": ("edge.cli.version", "versions of the program and what it runs on"),
}
UNREAD: Final = 141  # ... that SIGPIPE ended
INTERRUPTED: Final = 130  # what a shell says of a program that SIGINT ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code. SystemExit (2) for arguments that cannot be used, as argparse does."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `edge ... | head`: who reads has enough
        return UNREAD
    finally:
        _leave_nothing_unsaid()


def _run(args: list[str]) -> int:
    verb = args[0] if args else ""
    if verb not in VERBS:
        return _without_verb(args)
    module = importlib.import_module(VERBS[verb][0])
    parser = argparse.ArgumentParser(prog=f"edge {verb}", description=VERBS[verb][1], allow_abbrev=False)
    module.add_arguments(parser)
    run: Callable[[argparse.Namespace], int] = module.run
    return run(parser.parse_args(args[1:]))


def _leave_nothing_unsaid() -> None:
    """Python ends with 120 where it cannot flush at its very end, whatever the code was."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            from edge.observe.events import unread

            unread(stream)


def _without_verb(args: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="edge",
        description="A video CDN edge: cache edge and origin shield.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="verbs:\n" + "\n".join(f"  {name:14}{text}" for name, (_, text) in VERBS.items()),
    )
    parser.add_argument("--version", action="store_true", help="the version's number")
    parser.add_argument(
        "verb", choices=VERBS, metavar="VERB", nargs="?", help="see below; `edge VERB --help` tells its flags"
    )
    if parser.parse_args(args[:1]).version:
        from edge import __version__

        print(__version__)
        return 0
    parser.print_help(sys.stderr)
    return 2
