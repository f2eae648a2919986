"""What the server says of itself: its life, line by line, and its errors; for people (console) or machines (JSON).

Rooms use the standard library's loggers; here structlog writes down what they say. It is imported with the first
record: a child that has nothing to say does not pay for it at its start (0.1 s).
"""

import contextlib
import logging
import os
import sys
from enum import StrEnum
from typing import IO, Final

LIFE: Final = "edge.life"  # the logger of lines for operators: started, ready, reloaded, draining


class EventFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


def listen(form: EventFormat, process: str, level: str = "info") -> None:
    """From now on this process's records are written: lines of its life to standard output, all else to its errors.

    On a console a line of life is written as it was said, so that scripts can wait for it. May be called again.
    """
    shape = _Structured(form, process)
    life = logging.getLogger(LIFE)
    life.propagate = False
    life.setLevel(logging.INFO)
    life.handlers = [_handler(sys.stdout, logging.Formatter() if form is EventFormat.CONSOLE else shape)]
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers = [_handler(sys.stderr, shape)]


class _Structured(logging.Formatter):
    """By structlog, made at the first record."""

    def __init__(self, form: EventFormat, process: str) -> None:
        super().__init__()
        self._form = form
        self._process = process
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._inner is None:
            self._inner = _by_structlog(self._form, self._process)
        return self._inner.format(record)


def _by_structlog(form: EventFormat, process: str) -> logging.Formatter:
    import structlog

    def whose(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    common: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts" if form is EventFormat.JSON else "timestamp"),
        whose,
    ]
    if form is EventFormat.JSON:
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    else:
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain, pad_event_to=0)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=common, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


class _Handler(logging.StreamHandler[IO[str]]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """A reader that has gone away (`edge serve | head -1`) or a full disk ends nothing.

        What could not be said is dropped; later lines are for the reader that may be there by then.
        """
        with contextlib.suppress(OSError, ValueError):
            _drop(self.stream)


def _drop(stream: IO[str]) -> None:
    """Empty a stream's buffer: what is left in it at the end would spoil the exit code, which says how it went."""
    fd = stream.fileno()
    own = os.dup(fd)
    try:
        unread(stream)
        stream.flush()
    finally:
        os.dup2(own, fd)
        os.close(own)


def unread(stream: IO[str]) -> None:
    """Nobody reads this any more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _handler(stream: IO[str], formatter: logging.Formatter) -> logging.Handler:
    handler = _Handler(stream)
    handler.setFormatter(formatter)
    return handler
