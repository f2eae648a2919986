"""`edge doctor`: is this machine fit for an edge, and for this configuration?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.config.schema import Settings
    from edge.runtime.doctor.findings import Finding

GOOD, BAD, UNREADABLE = 0, 1, 2
MARKS: Final = {"good": "ok  ", "note": "note", "wrong": "BAD "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help="the file that the server is to run with")
    parser.add_argument("--cache-dir", metavar="DIR", help="where no file says it")
    parser.add_argument("--no-origin", action="store_true", help="do not connect to the upstream's members")
    parser.add_argument("--strict", action="store_true", help="exit 1 for what could be better, too")
    parser.add_argument("--quiet", action="store_true", help="say only what is not good")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    from edge.config.load import ConfigErrors, load_settings
    from edge.runtime.doctor.findings import State, worst

    flags = {"cache": {"dir": args.cache_dir}, "volume": []} if args.cache_dir else {}
    try:
        settings = load_settings(args.config, flags)
    except ConfigErrors as wrong:
        print(wrong, file=sys.stderr)
        return UNREADABLE
    findings = examine(settings, origin=not args.no_origin)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        print(report(findings, quiet=args.quiet), end="")
    state = worst(findings)
    return BAD if state is State.WRONG or (args.strict and state is State.NOTE) else GOOD


def examine(settings: Settings, *, origin: bool) -> list[Finding]:
    """All that is to be said of this machine."""
    from edge.runtime.doctor.disks import look_at_disks
    from edge.runtime.doctor.fit import look_at_fit
    from edge.runtime.doctor.machine import Machine
    from edge.runtime.doctor.sending import look_at_sending
    from edge.runtime.doctor.system import look_at_system

    machine = Machine()
    return [
        *look_at_system(machine, settings.worker_count + len(settings.volumes)),
        *look_at_disks(machine, settings),
        *look_at_sending(settings),
        *look_at_fit(machine, settings, origin=origin),
    ]


def report(findings: Sequence[Finding], *, quiet: bool) -> str:
    """A line for each finding, and one more for how to mend it."""
    lines = []
    for finding in findings:
        if quiet and finding.state == "good":
            continue
        lines.append(f"{MARKS[finding.state]}  {finding.area:14}{finding.what}: {finding.found}")
        if finding.mend:
            lines.append(f"{'':20}{finding.mend}")
    counts = {state: sum(finding.state == state for finding in findings) for state in MARKS}
    lines.append(f"{counts['good']} good, {counts['note']} could be better, {counts['wrong']} wrong")
    return "\n".join(lines) + "\n"
