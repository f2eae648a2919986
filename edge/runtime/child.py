"""What a child process runs: takes its charter, installs loop and signals, dies with its supervisor."""

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

from edge.runtime.charter import Charter

ROLES: Final = {"worker": "edge.runtime.worker:run_worker", "keeper": "edge.runtime.keeper:run_keeper"}
PR_SET_PDEATHSIG: Final = 1
FAILED: Final = 3


class ChildHandle:
    """A role's connection to its supervisor."""

    def __init__(self, charter: Charter) -> None:
        self.charter = charter
        self.stop_requested = asyncio.Event()
        self._reopen: Callable[[], None] | None = None

    def ready(self) -> None:
        """Tell the supervisor that this child serves."""
        os.write(self.charter.status_fd, b"ready\n")

    def say(self, line: str) -> None:
        """A line of the start-up report, printed by the supervisor."""
        os.write(self.charter.status_fd, f"say {line}\n".encode())

    def on_reopen_logs(self, reopen: Callable[[], None] | None) -> None:
        """What SIGUSR1 does."""
        self._reopen = reopen

    def install(self) -> None:
        """Signals, and the pipe whose end means that the supervisor is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop_requested.set)
        loop.add_signal_handler(signal.SIGUSR1, self._on_usr1)
        loop.add_reader(self.charter.liveness_fd, self._orphaned)

    def _on_usr1(self) -> None:
        if self._reopen is not None:
            self._reopen()

    def _orphaned(self) -> None:
        os._exit(FAILED)  # nobody is left to drain for; packs and index stand a kill at any moment


def loop_factory() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """uvloop where it can be imported; else asyncio's own and the reason."""
    try:
        import uvloop
    except ImportError as error:
        return asyncio.new_event_loop, f"asyncio's own event loop ({error})"
    return uvloop.new_event_loop, "uvloop " + version("uvloop")


def main(argv: list[str]) -> int:
    """`python -m edge.runtime.child ROLE CHARTER_FD PARENT_PID`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the supervisor decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parent = int(argv[2])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return FAILED
    charter = Charter.from_file(int(argv[1]))
    module, _, function = ROLES[argv[0]].partition(":")
    run: Callable[[ChildHandle], Awaitable[None]] = getattr(importlib.import_module(module), function)

    async def live() -> None:
        child = ChildHandle(charter)
        child.install()
        await run(child)

    factory, _ = loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_plain(live()))
    except Exception as error:
        with contextlib.suppress(OSError):
            os.write(charter.status_fd, f"failed {type(error).__name__}: {error}\n".replace("\n", " ", 0).encode())
        if os.environ.get("EDGE_TRACEBACKS"):
            raise
        sys.stderr.flush()
        return FAILED
    return 0


async def _plain(coro: Any) -> None:
    await coro


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
