"""What the demo prints: a line at a time, at once, and a reader that has gone away ends nothing."""

import contextlib
import sys


def say(line: str) -> None:
    """One line for who started the demo."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def complain(line: str) -> None:
    """One line about what went wrong."""
    with contextlib.suppress(OSError):
        print(f"edge demo: {line}", file=sys.stderr, flush=True)
