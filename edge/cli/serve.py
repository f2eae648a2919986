"""`edge serve`: start the server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge.config.schema import Settings

WRONG: Final = 2
FLAGS: Final = {
    ("origin", "url"): "--origin",
    ("server", "listen"): "--listen",
    ("server", "workers"): "--workers",
    ("server", "node"): "--node",
    ("admin", "listen"): "--admin",
    ("cache", "dir"): "--cache-dir",
    ("cache", "size"): "--cache-size",
    ("log", "access"): "--access-log",
    ("server", "profile"): "--profile",
    ("tls", "cert"): "--tls-cert",
    ("tls", "key"): "--tls-key",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--origin", metavar="URL", help="where misses are fetched: http(s)://host[:port][/base]")
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        action="append",
        help="for players (default [::]:8080, IPv4 too); may be given several times",
    )
    parser.add_argument("--admin", metavar="HOST:PORT", help="metrics and health (default 127.0.0.1:9180)")
    parser.add_argument("--cache-dir", metavar="DIR", help="default ./edge-cache")
    parser.add_argument("--cache-size", metavar="SIZE", help="default 10GB; GB is decimal, GiB binary")
    parser.add_argument("--workers", metavar="N", type=int, help="default: one per core")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="and this private key (PEM)")
    parser.add_argument("--access-log", metavar="FILE", help='a file, "stdout" or "off" (default)')
    parser.add_argument("--node", metavar="NAME", help="this node's name in Via and Cache-Status")
    parser.add_argument(
        "--profile",
        choices=("video", "rfc9111"),
        help="for players (default), or a plain shared cache; sites of a file have their own",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML; flags win over it")


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given, as sections of the configuration."""
    flags: dict[str, Any] = {}
    tls: dict[str, str] = {}
    for (section, key), flag in FLAGS.items():
        value = getattr(args, flag[2:].replace("-", "_"))
        if value is None:
            continue
        if section == "tls":
            tls[key] = value
        else:
            flags.setdefault(section, {})[key] = value
    if "cache" in flags:
        flags["volume"] = []  # a directory or a size given by a flag is that of the only volume
    if tls:
        flags["tls"] = [tls]  # a certificate given by flags takes the place of all in the file
    return flags


def run(args: argparse.Namespace) -> int:
    from edge.runtime.signals import hold, release

    hold()  # until the supervisor has its handlers: a stop that comes earlier is the same as one that comes later
    from edge.config.load import ConfigErrors
    from edge.errors import ConfigError
    from edge.runtime.upgrade import tried_on

    try:
        settings = settings_of(args)
        if tried_on():
            return 0
    except (ConfigErrors, ConfigError) as wrong:
        print(wrong, file=sys.stderr)
        release()
        return WRONG
    return serve(settings, load=lambda: settings_of(args))


def settings_of(args: argparse.Namespace) -> Settings:
    """Flags over the file; ConfigErrors for all that is wrong, also in the files that they name."""
    from edge.config.load import load_settings, require_origin, with_lines
    from edge.runtime.checks import wrong_files

    settings = load_settings(args.config, flags_of(args), FLAGS)
    require_origin(settings)
    errors = wrong_files(settings)
    if errors:
        raise with_lines(errors, args.config)
    return settings


def serve(
    settings: Settings, entries: Mapping[str, str] | None = None, load: Callable[[], Settings] | None = None
) -> int:
    """Run a server with these settings until a signal ends it; the exit code. `entries` and `load`: see Supervisor."""
    import asyncio

    from edge.errors import ConfigError
    from edge.observe.events import EventFormat, listen
    from edge.runtime.handover import Handover
    from edge.runtime.nursery import Nursery
    from edge.runtime.supervisor import ENTRIES, Supervisor

    nursery = Nursery.begin()  # before there is a loop, a thread or a socket
    listen(EventFormat(settings.log.events), "supervisor", settings.log.level)
    try:
        handover = Handover.take(os.environ)
        return asyncio.run(Supervisor(settings, entries or ENTRIES, load, nursery, handover).run())
    except ConfigError as wrong:
        print(wrong, file=sys.stderr)
        return WRONG
    finally:
        nursery.close()
