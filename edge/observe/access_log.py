"""The access log: a line a request, written by a thread of its own; under pressure lines are dropped and counted.

The thread shares the interpreter with the loop that serves players, so that what it does is cut small: a thread that
computes gives the interpreter up only when another one has waited 5 ms for it (`sys.getswitchinterval`), and a short
write does not hand it over. So it writes a few lines (60 us), then sleeps a moment, in which the loop runs. Measured
with 4,000 lines a second in bursts: 98 % of the loop's wake-ups came within 1 ms this way, within 1.8 ms when the
thread wrote all it had at once; 2 us more of processor time a line.
"""

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edge.observe.lines import Line, LineWriter

QUEUE_LIMIT: Final = 16_384  # lines: a second at full speed; their strings are at most 16 KiB each (the head's limit)
WRITE_SECONDS: Final = 0.25
BATCH: Final = 16  # lines
PAUSE_SECONDS: Final = 0.0002  # some 40,000 lines a second: more than a worker can serve
STUCK_SECONDS: Final = 1.0  # how long a reader of our pipe may keep us waiting
CLOSE_SECONDS: Final = 2.0
STDOUT: Final = "stdout"
_NEWLINE: Final = ord("\n")

log = logging.getLogger("edge.observe")


class AccessLog:
    """`record` never waits and never raises. `path` is a file or "stdout"; the caller closes the log.

    `on_dropped` is told how many lines were lost, by the loop's thread or by the log's, one at a time. OSError if the
    file cannot be opened.
    """

    def __init__(
        self, path: str, writer: LineWriter, on_dropped: Callable[[int], None], queue_limit: int = QUEUE_LIMIT
    ) -> None:
        self._path = path
        self._writer = writer
        self._on_dropped = on_dropped
        self._limit = queue_limit
        self._queue: deque[Line | None] = deque()  # None: from here on into a new file
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._torn = False  # the last line in the file has no end
        self._fd = self._open()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<AccessLog {self._path} waiting={len(self._queue)}>"

    def _open(self) -> int:
        if self._path == STDOUT:
            return os.dup(sys.stdout.fileno())
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def record(self, line: Line) -> None:
        """Queue one line; dropped and counted when the writer is too far behind."""
        if len(self._queue) >= self._limit:
            self._dropped(1)
            return
        self._queue.append(line)

    def reopen(self) -> None:
        """After a rotation: what is recorded from now on goes into a new file, what was before into the old one."""
        self._queue.append(None)

    def close(self) -> None:
        """Write what is queued; what cannot be written in 2 s is dropped."""
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() and self._queue:
            self._dropped(sum(line is not None for line in self._queue.copy()))

    def _dropped(self, lines: int) -> None:
        with self._lock:
            self._on_dropped(lines)

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(WRITE_SECONDS):
            self._write_queued()
        self._write_queued()
        os.close(self._fd)

    def _write_queued(self) -> None:
        while self._queue:
            if self._queue[0] is None:
                self._queue.popleft()
                self._change_file()
            self._write(self._next_batch())
            if not self._stop.is_set():
                time.sleep(PAUSE_SECONDS)

    def _change_file(self) -> None:
        try:
            fd = self._open()
        except OSError as error:
            log.error("access log %s cannot be opened anew, the old file is kept: %s", self._path, error.strerror)
            return
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def _next_batch(self) -> bytes:
        lines: list[str] = []
        while self._queue and self._queue[0] is not None and len(lines) < BATCH:
            line = self._queue.popleft()
            assert line is not None  # only this thread takes from the queue
            try:
                lines.append(self._writer.write(line))
            except Exception:  # whatever a line holds: it costs that line
                self._dropped(1)
        return "".join(lines).encode()

    def _write(self, lines: bytes) -> None:
        """All of it, or it is counted: a full disk and a stuck reader hurt the log, not the answers."""
        whole = b"\n" + lines if self._torn else lines
        written = 0
        try:
            while written < len(whole):
                try:
                    written += os.write(self._fd, whole[written:])
                except BlockingIOError:
                    self._wait_for_reader()
        except OSError:
            self._dropped(whole[max(written, len(whole) - len(lines)) :].count(b"\n"))
        if written:
            self._torn = whole[written - 1] != _NEWLINE

    def _wait_for_reader(self) -> None:
        """Standard output may be a pipe that somebody has made non-blocking."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(STUCK_SECONDS * 1000):
            raise OSError("nobody reads")
