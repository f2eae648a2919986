"""`edge check-config FILE`: exit 0 and a summary, or every error with line, field, value and hint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.config.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a TOML file")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the file, and stop")
    parser.add_argument("--reference", action="store_true", help="print every key with its default, and stop")


def run(args: argparse.Namespace) -> int:
    if args.reference:
        from edge.config.reference import render

        print(render(), end="")
        return 0
    if args.schema:
        import json

        from edge.config.schema import Settings

        print(json.dumps(Settings.model_json_schema(), indent=2))
        return 0
    if args.file is None:
        print("edge check-config: give a FILE, or --reference", file=sys.stderr)
        return 2
    from edge.config.load import ConfigErrors, load_settings, with_lines
    from edge.runtime.checks import wrong_files

    try:
        settings = load_settings(args.file)
        errors = wrong_files(settings)
        if errors:
            raise with_lines(errors, args.file)
    except ConfigErrors as wrong:
        print(f"{args.file}: {len(wrong.errors)} wrong", file=sys.stderr)
        for error in wrong.errors:
            print(f"  {error}", file=sys.stderr)
        return 1
    print(f"{args.file}: good\n{summary(settings)}")
    return 0


def summary(settings: Settings) -> str:
    """What a server with these settings would do, one line a fact."""
    from edge.config.units import write_size
    from edge.runtime.report import groups_unasked
    from edge.words import ORIGIN

    listens = [f"{'https' if tls else 'http'}://{listen}" for _, listen, tls in settings.listeners]
    volumes = ", ".join(f"{write_size(volume.size)} in {volume.path}" for volume in settings.volumes)
    sites = [f"{site.name} ({', '.join(site.hosts) or 'any host'}){_whence(site.upstream)}" for site in settings.site]
    urls = {name: ", ".join(one.url for one in settings.upstreams if one.group == name) for name in settings.groups}
    origin = urls.pop(ORIGIN, "" if ORIGIN not in settings.groups_asked else "none yet: give it with --origin")
    upstreams = [text for text in (origin, *(f"{name}: {text}" for name, text in urls.items())) if text]
    unasked = [f"no site goes to upstream {name}" for name in groups_unasked(settings)]
    return "\n".join(
        f"  {name:10}{text}"
        for name, text in (
            ("players", ", ".join(listens)),
            ("admin", f"http://{settings.admin.listen}"),
            ("workers", str(settings.server.workers or "one per core")),
            ("cache", volumes),
            ("origin", "; ".join(upstreams)),
            ("sites", "; ".join(sites) or "one for every host"),
            ("log", settings.log.access),
            *(("note", text) for text in unasked),
        )
    )


def _whence(upstream: str | None) -> str:
    return f" from {upstream}" if upstream else ""
