"""`edge reload`: check a configuration, have the running server take it up, and tell what became of it."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Final

from edge.cli import api_client

OK, REFUSED, WRONG = 0, 1, 2
RESULT: Final = re.compile(r'^edge_config_reloads_total\{result="(\w+)"\} (\d+)', re.MULTILINE)
LOOK_SECONDS: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the file that the server runs with")
    parser.add_argument("--cache-dir", metavar="DIR", help="of the server, where it was given by a flag")
    parser.add_argument("--admin", metavar="HOST:PORT", help="of the server, where it was given by a flag")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=api_client.number(0, 86400), default=60.0, help="for the outcome (default 60)"
    )


def run(args: argparse.Namespace) -> int:
    from edge.config.load import ConfigErrors, load_settings, with_lines
    from edge.runtime.checks import wrong_files

    try:
        settings = load_settings(args.config)
        errors = wrong_files(settings)
        if errors:
            raise with_lines(errors, args.config)
    except ConfigErrors as wrong:
        print(wrong, file=sys.stderr)
        return WRONG
    directory = Path(args.cache_dir or settings.volumes[0].path)
    pid = server_of(directory)
    if pid is None:
        print(f"no server runs with the cache directory {directory}", file=sys.stderr)
        return REFUSED
    metrics = f"http://{_reachable(args.admin or settings.admin.listen)}/metrics"
    before = _results(metrics)
    os.kill(pid, signal.SIGHUP)
    return _outcome(pid, metrics, before, args.wait, directory)


def server_of(directory: Path) -> int | None:
    """The pid of the server that holds a cache directory, None when nobody does."""
    import fcntl

    try:
        with (directory / "server.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except (OSError, ValueError):
        pass
    return None


def _reachable(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"


def _results(url: str) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as got:
            return {name: int(count) for name, count in RESULT.findall(got.read().decode())}
    except OSError:
        return None


def _why(directory: Path) -> str:
    """The server's own words, where they can be had."""
    where = argparse.Namespace(admin=None, cache_dir=directory, config=None, token_file=None)
    try:
        return str(api_client.Client(where).call("GET", "/v1/stats").get("refused")) or "its log says why"
    except api_client.Refused:
        return "its log says why"


def _outcome(pid: int, url: str, before: dict[str, int] | None, wait: float, directory: Path) -> int:
    if before is None:
        print(f"the server (pid {pid}) was told; its log says what became of it ({url} cannot be read)")
        return OK
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        after = _results(url) or before
        if after["ok"] > before["ok"]:
            print(f"reloaded (pid {pid})")
            return OK
        if after["refused"] > before["refused"]:
            print(f"refused, the server (pid {pid}) goes on as it was: {_why(directory)}", file=sys.stderr)
            return REFUSED
    print(f"no outcome after {wait:g} s: the server's log (pid {pid}) says more", file=sys.stderr)
    return REFUSED
