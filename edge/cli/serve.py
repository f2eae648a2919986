"""`edge serve`: start the server."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from edge.config.load import ConfigErrors, load_settings, require_origin
from edge.config.schema import Settings
from edge.errors import ConfigError

WRONG = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--origin", metavar="URL", help="where misses are fetched: http(s)://host[:port][/base]")
    parser.add_argument("--listen", metavar="HOST:PORT", action="append", help="for players (default [::]:8080)")
    parser.add_argument("--admin", metavar="HOST:PORT", help="metrics and health (default 127.0.0.1:9180)")
    parser.add_argument("--cache-dir", metavar="DIR", help="default ./edge-cache")
    parser.add_argument("--cache-size", metavar="SIZE", help="default 10GB; GB is decimal, GiB binary")
    parser.add_argument("--workers", metavar="N", type=int, help="default: one per core")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="and this private key")
    parser.add_argument("--access-log", metavar="FILE", help='a file, "stdout" or "off" (default)')
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML; flags win over it")


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given, as sections of the configuration."""
    flags: dict[str, Any] = {}

    def put(section: str, key: str, value: object) -> None:
        if value is not None:
            flags.setdefault(section, {})[key] = value

    put("origin", "url", args.origin)
    put("server", "listen", args.listen)
    put("server", "workers", args.workers)
    put("admin", "listen", args.admin)
    put("cache", "dir", args.cache_dir)
    put("cache", "size", args.cache_size)
    put("log", "access", args.access_log)
    if args.tls_cert or args.tls_key:
        flags["tls"] = [{key: value for key, value in (("cert", args.tls_cert), ("key", args.tls_key)) if value}]
    return flags


def run(args: argparse.Namespace) -> int:
    try:
        settings = load_settings(args.config, flags_of(args))
        require_origin(settings)
        check_certificates(settings)
    except ConfigErrors as wrong:
        print(wrong, file=sys.stderr)
        return WRONG
    return serve(settings)


def serve(settings: Settings) -> int:
    """Run a server with these settings."""
    from edge.runtime.supervisor import Supervisor

    async def live() -> int:
        return await Supervisor(settings).run()

    try:
        return asyncio.run(live())
    except ConfigError as wrong:
        print(wrong, file=sys.stderr)
        return WRONG


def check_certificates(settings: Settings) -> None:
    """Load them once here, so that a wrong file is said before anything starts."""
    if settings.tls:
        from edge.runtime.convert import server_settings
        from edge.server.tls import make_server_context

        try:
            make_server_context(server_settings(settings).tls)
        except ConfigError as wrong:
            raise ConfigErrors([wrong]) from wrong
