"""What a child process runs: takes its charter, installs loop and signals, plays its role, dies with its supervisor.

Two things end an orphan: the kernel (PR_SET_PDEATHSIG), whatever the child does at that moment, and the end of the
liveness pipe, where the kernel's promise does not hold (it is lost when a process changes its credentials).
"""

import argparse
import asyncio
import contextlib
import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from edge.config.schema import Settings
from edge.errors import ConfigError, EdgeError, FormatUnknown
from edge.observe.events import EventFormat, listen
from edge.runtime import pulse
from edge.runtime.charter import Charter, read_settings

Role = Callable[["ChildHandle"], Awaitable[None]]

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
# A child sets its own handlers some time after its start. Until then these would end it: Ctrl-C in a terminal reaches
# the whole group, and log rotation does not look at the clock.
HELD_BACK: Final = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
FAILED: Final = 3
LEVEL: Final = "log-level"
WORDS_MOST: Final = 2000  # of an error, in the supervisor's one line


class ChildHandle:
    """A role's connection to its supervisor."""

    def __init__(self, charter: Charter) -> None:
        self.charter = charter
        self.stop_requested = asyncio.Event()
        self._ready = False
        self.retire_requested = asyncio.Event()
        self._reopen: Callable[[], None] | None = None
        self._adopt: Callable[[Settings], None] | None = None

    def __repr__(self) -> str:
        return f"<ChildHandle {self.charter.role} {self.charter.number} ready={self._ready}>"

    def ready(self) -> None:
        """Tell the supervisor that this child serves."""
        self._ready = True
        self._tell("ready")

    def say(self, line: str) -> None:
        """A line of the start-up report, printed by the supervisor."""
        self._tell(f"say {line}")

    def on_reopen_logs(self, reopen: Callable[[], None] | None) -> None:
        """What SIGUSR1 does."""
        self._reopen = reopen

    def on_new_settings(self, adopt: Callable[[Settings], None]) -> None:
        """What SIGHUP does: `adopt` takes up the settings that the supervisor has laid down."""
        self._adopt = adopt

    def adopted(self) -> None:
        """Tell the supervisor that new settings hold: they were taken up, or those of before serve nobody new."""
        self._tell("adopted")

    def install(self) -> None:
        """Signals, and the pipe whose end means that the supervisor is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_term)
        loop.add_signal_handler(signal.SIGUSR1, self._on_usr1)
        loop.add_signal_handler(signal.SIGUSR2, self._on_usr2)
        loop.add_signal_handler(signal.SIGHUP, self._on_hup)
        loop.add_reader(self.charter.liveness_fd, _orphaned)
        os.set_blocking(self.charter.status_fd, False)  # a supervisor that hears nothing must not hold the loop
        self._beat()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)

    def _beat(self) -> None:
        """The loop turns (`pulse`)."""
        self._tell("alive")
        asyncio.get_running_loop().call_later(pulse.BEAT_SECONDS, self._beat)

    def _on_term(self) -> None:
        if not self._ready:
            os._exit(0)  # it serves nobody yet: there is nothing to finish
        self.stop_requested.set()

    def _on_usr1(self) -> None:
        if self._reopen is not None:
            self._reopen()

    def _on_usr2(self) -> None:
        if not self._ready:
            os._exit(0)
        self.retire_requested.set()

    def _on_hup(self) -> None:
        take_level(self.charter.runtime_dir)
        if self._adopt is None:
            return
        try:
            self._adopt(read_settings(self.charter.runtime_dir))
        except FileNotFoundError:
            return  # a terminal has closed: nothing was laid down
        except (OSError, ValueError, EdgeError) as error:
            self.say(f"{self.charter.role} {self.charter.number} goes on with its old settings: {error}")
        else:
            self.adopted()

    async def ended(self) -> None:
        """Until it is to stop, or to retire."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.stop_requested, self.retire_requested)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _tell(self, text: str) -> None:
        line = text.replace("\n", " ").encode() + b"\n"
        # The supervisor is gone, and so are we in a moment; or it hears nothing.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self.charter.status_fd, line)

    def tell_failure(self, error: BaseException) -> None:
        """The last words: what cannot pass by itself is `refused`, all else `failed`."""
        word = "refused" if isinstance(error, ConfigError | FormatUnknown) else "failed"
        name = "" if isinstance(error, EdgeError) else f"{type(error).__name__}: "
        self._tell(f"{word} {name}{error}"[:WORDS_MOST])

    def end_at_once(self, why: str) -> None:
        """From whatever thread: this process is of no more use, and its successor has all that it knew."""
        self.tell_failure(EdgeError(why))
        os._exit(FAILED)

    def abort(self, why: str) -> None:
        """The same, after the log was told where each thread stands; a keeper's successor leaves the index alone."""
        self.tell_failure(EdgeError(why))
        signal.raise_signal(signal.SIGABRT)


def lay_down_level(runtime_dir: str, level: str) -> None:
    """Have children take up a log level: those that get SIGHUP, and those that start later."""
    (Path(runtime_dir) / LEVEL).write_text(level)


def take_level(runtime_dir: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        logging.getLogger("edge").setLevel((Path(runtime_dir) / LEVEL).read_text().upper())


def _orphaned() -> None:
    os._exit(FAILED)  # nobody is left to drain for; packs and index stand a kill at any moment


def loop_factory() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """uvloop where it can be imported; else asyncio's own, and the reason."""
    try:
        import uvloop
    except ImportError as error:
        return asyncio.new_event_loop, f"asyncio's own, since uvloop cannot be used ({error})"
    return uvloop.new_event_loop, "uvloop " + version("uvloop")


def role_at(entry: str) -> Role:
    """The coroutine function that `module:function` names."""
    module, _, function = entry.partition(":")
    role: Role = getattr(importlib.import_module(module), function)
    return role


def name_process(name: str) -> None:
    """What `top`, `ps -o comm` and `pgrep` show (15 bytes)."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def main(argv: list[str]) -> int:
    """`python -m edge.runtime.child ROLE NUMBER --charter FD --parent PID`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the supervisor decides
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("number", type=int)
    parser.add_argument("--charter", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    args = parser.parse_args(argv)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != args.parent:  # it died before the promise was made
        return FAILED
    name_process(f"edge-{args.role}-{args.number}")
    faulthandler.enable()  # a file that shrinks under a mapping ends a process by SIGBUS: then say where
    charter = Charter.from_file(args.charter)
    said = charter.settings.log
    listen(EventFormat(said.events), f"{args.role} {args.number}", said.level)
    return _play(charter)


def _play(charter: Charter) -> int:
    factory, _ = loop_factory()

    async def live() -> None:
        child.install()
        take_level(charter.runtime_dir)
        await role_at(charter.entry)(child)

    child = ChildHandle(charter)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(live())
    except Exception as error:
        if not isinstance(error, EdgeError | OSError):
            traceback.print_exc()  # a fault of ours: the one line below does not find it
        child.tell_failure(error)
        sys.stderr.flush()
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
