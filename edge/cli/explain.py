"""`edge explain URL`: what a URL means under a configuration; with --live: what a running server has, and would do."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from edge.cli import api_client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="as a player asks it: http://host/path?query")
    parser.add_argument("--live", action="store_true", help="ask the running server what it has stored, and would do")
    parser.add_argument("--json", action="store_true", help="with --live: for programs")
    parser.add_argument("--origin", metavar="URL", help="where misses are fetched")
    parser.add_argument("--profile", choices=("video", "rfc9111"), help="of the one site without a file's sites")

    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.live:
        return api_client.told(_live, args)
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


def _live(client: api_client.Client, args: argparse.Namespace) -> int:
    told = client.call("GET", "/v1/explain", url=args.url)
    if args.json:
        print(json.dumps(told))
        return api_client.OK
    for word, text in [*_standing(told), *((word, text) for word, text in told.items() if isinstance(text, str))]:
        if word not in ("status", "because"):
            print(f"{word:10}{text}")
    return api_client.OK


def _standing(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What is there now, and what would happen, before what the configuration says."""
    lines = [("now", f"{told['status'] or 'it depends'}: {told['because']}")]
    stored = told["stored"]
    if stored is None:
        lines.append(("stored", "nothing"))
    else:
        flags = "".join(f", {flag}" for flag in stored["flags"])
        lines.append(("stored", f"{stored['status']}, {stored['length']} bytes, age {stored['age']:.0f} s{flags}"))
        lines.append(("until", f"fresh {stored['fresh_until']}; on error {stored['stale_if_error_until']}"))
        lines.append(("tags", " ".join(stored["tags"]) or "none"))
        lines += _slices(stored)
    for number, member in enumerate(told["asked"], start=1):
        lines.append((f"asked {number}", f"{member['member']} ({member['role']}), breaker {member['breaker']}"))
    return lines


def _slices(stored: dict[str, Any]) -> list[tuple[str, str]]:
    if "varies_by" in stored:
        return [("varies by", "; ".join(", ".join(names) or "nothing" for names in stored["varies_by"]))]
    counts = f"{stored['slices_stored']} of {stored['slices']} slices of {stored['slice_size']} bytes"
    lines = [("slices", counts + (", in shared memory" if stored["in_memory"] else ""))]
    lines += [("  here", f"{run['start']}-{run['end']} in pack {run['pack']}") for run in stored["stored"]]
    return lines + [("  missing", f"{start}-{end}") for start, end in stored["missing"]]
