"""Running one origin alone, as `python -m edge.demo.origin_server` and `python -m edge.demo.faulty_origin` do."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

from edge.config.units import parse_listen


def run_alone(what: str, serve: Callable[[str, int], Awaitable[None]]) -> int:
    """Serve at `--listen HOST:PORT` (port 0 = any free one) until Ctrl-C or SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes any free one")
    try:
        host, port = parse_listen(parser.parse_args().listen)
    except ValueError as error:
        parser.error(f"--listen: {error}")
    try:
        asyncio.run(_until_signal(serve(host, port)))
    except OSError as error:
        print(f"cannot listen on {host} port {port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


async def _until_signal(serving: Awaitable[None]) -> None:
    task = asyncio.ensure_future(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
