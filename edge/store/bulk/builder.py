"""A build in a process of its own, as its keeper sees it."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

import edge
from edge.errors import StoreError
from edge.store.bulk.order import DONE, Answer, Order

PATTERN: Final = "rebuild-*"  # directories of builders beside the index; those of earlier keepers are worth nothing
PROCESSES_MOST: Final = 2  # more would wait for each other: what is appended is a third of the work
READ_MOST: Final = 4096
KILLED_SECONDS: Final = 10.0


class Builder:
    """Begins at once. `poll` until it returns an answer; the environment is in `directory` then."""

    def __init__(self, base: Path, order: Order) -> None:
        self.directory = base / PATTERN.replace("*", uuid.uuid4().hex[:8])
        self.directory.mkdir(parents=True)
        order.write(self.directory)
        self.progress = 0.0
        self._said = b""
        root = str(Path(edge.__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge.store.bulk", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
            start_new_session=True,  # a keyboard's interrupt is its keeper's
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    def __repr__(self) -> str:
        return f"<Builder {self.directory} progress={self.progress:.2f}>"

    def poll(self) -> Answer | None:
        """None: not yet. StoreError: it has failed."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        self._listen()
        if ended is None:
            return None
        if ended.si_status or DONE.encode() not in self._said.split():
            raise StoreError(f"the builder of an index ended with {ended.si_status}")
        return Answer.read(self.directory)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with suppress(BlockingIOError):
            while said := os.read(self._process.stdout.fileno(), READ_MOST):
                self._said += said
        shares = [word for word in self._said.split(b"\n")[:-1] if word and word != DONE.encode()]
        if shares:
            self.progress = float(shares[-1])

    def close(self) -> None:
        """End it, and remove what it has made, if that is still there. Until here nobody else can have its number."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it has forked
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


def processes() -> int:
    """How many a builder is to have on this machine."""
    return min(PROCESSES_MOST, len(os.sched_getaffinity(0)))
