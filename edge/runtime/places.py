"""A place is one numbered post (worker 3); processes hold it one after the other and keep its metric slots.

A process speaks through its status pipe, one line a time: `alive` (its loop turns: `pulse`), `ready`, `adopted` (it
has taken up new settings), `say TEXT`, `failed TEXT` (an error that may pass) and `refused TEXT` (one that will not).
The end of that pipe is its death: nobody else holds the write end, and a kernel closes descriptors in the moment in
which a process ends.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import edge
from edge.config.schema import Settings
from edge.runtime import pulse
from edge.runtime.charter import Charter
from edge.runtime.child import HELD_BACK
from edge.runtime.lifecycle import Restarts
from edge.runtime.notify import for_children
from edge.runtime.nursery import Nursery, NurseryChild
from edge.runtime.pulse import KILL_LOOKS, STILL_LOOKS, Pulse
from edge.words import Role

LINE_MOST: Final = 64 * 1024
REAP_AGAIN: Final = 0.002
BREAKS: Final = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)

log = logging.getLogger("edge.runtime")


class Child(Protocol):
    """`subprocess.Popen`, or a child that was started before us."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def send_signal(self, number: signal.Signals) -> None: ...


class Process:
    """A running child. `exited` gets its return code, as subprocess spells it (negative: a signal)."""

    def __init__(self, popen: Child, status_fd: int, on_line: Callable[[str, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._popen = popen
        self._status_fd = status_fd
        self._on_line = on_line
        self._rest = b""
        self.has_ended = False  # nothing more is heard of it; it may be a moment until its code is known
        self.pulse = Pulse(popen.pid)
        self.exited: asyncio.Future[int] = self._loop.create_future()
        os.set_blocking(status_fd, False)
        self._loop.add_reader(status_fd, self._readable)

    def __repr__(self) -> str:
        return f"<Process {self.pid} {'ended' if self.exited.done() else 'running'}>"

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def status_fd(self) -> int:
        return self._status_fd

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens to a process that has ended."""
        self._popen.send_signal(number)

    def _readable(self) -> None:
        try:
            data = os.read(self._status_fd, LINE_MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, text = line.decode(errors="replace").partition(" ")
            if word == "alive":
                self.pulse.beat()
            else:
                self._on_line(word, text)
        if len(self._rest) > LINE_MOST:
            self._rest = b""
        if not data:
            self._loop.remove_reader(self._status_fd)
            os.close(self._status_fd)
            self.has_ended = True
            self._reap()

    def _reap(self) -> None:
        code = self._popen.poll()
        if code is None:  # descriptors are closed a moment before a process can be waited for
            self._loop.call_later(REAP_AGAIN, self._reap)
        elif not self.exited.done():
            self.exited.set_result(code)


@dataclass(slots=True)
class Place:
    """`charter` is that of each process which holds it, but for the status pipe."""

    charter: Charter
    process: Process | None = None
    ready: bool = False
    missed: bool = False  # the server has started without it
    generation: int = 0  # of the configuration
    retired: bool = False  # others have taken over: its process is the last
    adopted: asyncio.Event = field(default_factory=asyncio.Event)
    refused: bool = False
    last_words: str = ""
    still: bool = False  # its process has been ended because its loop stood still
    broken: bool = False  # a process died of its own memory, or stood still: what that was mapped from may be bad
    restarts: Restarts = field(default_factory=Restarts)

    @property
    def role(self) -> Role:
        return Role(self.charter.role)

    @property
    def name(self) -> str:
        return f"{self.charter.role} {self.charter.number}"

    def give(self, settings: Settings) -> None:
        """Its next process goes by these settings."""
        self.charter = replace(self.charter, settings=settings)

    def retire(self, *, finish: bool) -> None:
        """Others have taken over. `finish`: connections end by themselves, else answers under way have a little."""
        if self.process is None:
            self.retired = True
        elif not self.retired or not finish:
            self.retired = True
            self.process.signal(signal.SIGUSR2 if finish else signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.signal(number)

    def start(
        self, on_ready: Callable[[], None], say: Callable[[str], None], nursery: Nursery | None = None
    ) -> Process:
        """A new process for this place; OSError if the system gives none."""
        self.ready, self.refused, self.still, self.last_words = False, False, False, ""
        self.process = launch(self.charter, self._hears(on_ready, say), nursery)
        return self.process

    def adopt(self, child: Child, status_fd: int, on_ready: Callable[[], None], say: Callable[[str], None]) -> Process:
        """A process that was started before us."""
        self.process = Process(child, status_fd, self._hears(on_ready, say))
        return self.process

    def _hears(self, on_ready: Callable[[], None], say: Callable[[str], None]) -> Callable[[str, str], None]:
        def on_line(word: str, text: str) -> None:
            if word == "ready":
                self.ready = True
                on_ready()
            elif word == "adopted":
                self.adopted.set()
            elif word == "say":
                say(text)
            elif word in ("failed", "refused"):
                self.last_words, self.refused = text, word == "refused"

        return on_line

    def look(self, say: Callable[[str], None]) -> None:
        """Every BEAT_SECONDS: has its process stood still for so long that a successor is better?"""
        process = self.process
        if process is None or process.exited.done():
            return
        looks = process.pulse.look()
        if looks == STILL_LOOKS and not self.still:
            self.still, self.last_words = True, f"its loop stood still for {STILL_LOOKS * pulse.BEAT_SECONDS:g} s"
            say(f"{self.name} stands still: it is ended, and says where its threads are")
            process.signal(signal.SIGABRT)
        elif looks == STILL_LOOKS + KILL_LOOKS:
            process.signal(signal.SIGKILL)

    def vacate(self, code: int) -> None:
        """Its process has ended."""
        was_broken = self.broken and not self.ready  # until one has begun anew, and serves
        self.broken = self.still or -code in BREAKS or was_broken
        self.process, self.ready = None, False
        if not self.last_words:
            self.last_words = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"


def launch(charter: Charter, on_line: Callable[[str, str], None], nursery: Nursery | None = None) -> Process:
    """Start `edge.runtime.child ROLE NUMBER --charter FD --parent PID`: forked, or executed where nobody forks."""
    read_end, write_end = os.pipe()
    charter_fd = -1
    try:
        charter = replace(charter, status_fd=write_end)
        charter_fd = charter.to_file()
        popen = _forked(charter, charter_fd, nursery) or _executed(charter, charter_fd)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
        if charter_fd >= 0:
            os.close(charter_fd)
    return Process(popen, read_end, on_line)


def _forked(charter: Charter, charter_fd: int, nursery: Nursery | None) -> NurseryChild | None:
    if nursery is None or nursery.gone:
        return None
    try:
        return nursery.launch(charter.role, charter.number, charter_fd, charter.descriptors)
    except OSError as error:
        log.error("%s %d cannot be forked, and is executed instead: %s", charter.role, charter.number, error)
        return None


def _executed(charter: Charter, charter_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "edge.runtime.child", charter.role, str(charter.number)]
    command += ["--charter", str(charter_fd), "--parent", str(os.getpid())]
    with _held_back():
        return subprocess.Popen(
            command,
            pass_fds=(*charter.descriptors, charter_fd),
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    """The child imports this very package, not one that happens to lie in the directory we were started in (-P)."""
    root = str(Path(edge.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**for_children(os.environ), "PYTHONPATH": os.pathsep.join(paths)}


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Children inherit the mask; ours is put back at once, and a signal that came meanwhile is delivered then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
