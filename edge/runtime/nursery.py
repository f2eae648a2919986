"""Where children come from: a process that has all their modules in memory and forks.

A Python process that has to import 300 modules takes 0.4 s of CPU before it serves; a fork of one that has them takes
some milliseconds, and shares their pages. So the supervisor forks once, before it has a loop, a thread or a listening
socket, and has that one fork whatever it needs: a worker that died is replaced at once, and children of a reload run
the program that this supervisor runs, whatever lies on the disk by now.

    supervisor -- one SOCK_SEQPACKET socket --> nursery -- fork --> keeper, worker, ...
    asks: JSON {role, number, charter, fds} with the descriptors;   answers: `began PID`, `ended PID CODE`

It outlives its supervisor's end of the socket until its last child has ended (an exec of the supervisor in place), but
not the supervisor itself, as no child does.
"""

import array
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from edge.runtime import child
from edge.runtime.child import HELD_BACK, name_process
from edge.runtime.handover import NAME
from edge.runtime.notify import SPOKEN_TO_US_ALONE

MODULES: Final = ("edge.runtime.worker", "edge.runtime.keeper")
MESSAGE_MOST: Final = 4096
FDS_MOST: Final = 250
ANSWER_SECONDS: Final = 10.0  # it may be importing still
UNKNOWN_END: Final = -signal.SIGKILL  # of a child whose nursery has gone: that is how those end


class NurseryChild:
    """A child that was forked; what `subprocess.Popen` is to one that was executed."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # ended, and waited for, already
            self._pidfd = -1

    def __repr__(self) -> str:
        return f"<NurseryChild {self.pid} code={self._code}>"

    def poll(self) -> int | None:
        """Its return code once it has ended, as `subprocess` spells it."""
        if self._code is None:
            self._code = self._nursery.code_of(self.pid)
            if self._code is None and self._nursery.gone and self._has_ended():
                self._code = UNKNOWN_END
            if self._code is not None and self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        return self._code

    def _has_ended(self) -> bool:
        return self._pidfd < 0 or bool(select.select([self._pidfd], [], [], 0)[0])

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


class Nursery:
    """The supervisor's side."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.pid = pid
        self.gone = False  # it has ended: children must come from elsewhere
        self._sock = sock
        self._codes: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Nursery {self.pid} {'gone' if self.gone else 'there'}>"

    @classmethod
    def begin(cls, modules: Sequence[str] = MODULES) -> "Nursery":
        """Fork it. Call this in a process of one thread that has no event loop and holds nothing yet."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _be_nursery(theirs, modules, parent)
        theirs.close()
        return cls(ours, pid)

    def launch(self, role: str, number: int, charter_fd: int, descriptors: Sequence[int]) -> NurseryChild:
        """Have a child forked that finds these descriptors under the same numbers. OSError: it cannot be."""
        fds = [*descriptors, charter_fd]
        asked = json.dumps({"role": role, "number": number, "charter": charter_fd, "fds": fds}).encode()
        try:
            socket.send_fds(self._sock, [asked], fds)
            while (said := self._next(ANSWER_SECONDS)) is not None:
                word, *numbers = said
                if word == "began":
                    return NurseryChild(self, int(numbers[0]))
                if word == "failed":
                    raise OSError(int(numbers[0]), os.strerror(int(numbers[0])))
        except (BrokenPipeError, ConnectionResetError):
            self.gone = True
        raise OSError("the process that forks children does not answer")

    def _next(self, seconds: float) -> list[str] | None:
        """What it says within a time; ends are noted here."""
        while True:
            self._sock.settimeout(seconds)
            try:
                raw = self._sock.recv(MESSAGE_MOST)
            except (TimeoutError, BlockingIOError):
                return None
            if not raw:
                self.gone = True
                return None
            said = raw.decode().split()
            if said[0] != "ended":
                return said
            self._codes[int(said[1])] = int(said[2])

    def code_of(self, pid: int) -> int | None:
        """The return code of a child that has ended."""
        if pid not in self._codes and not self.gone:
            self._next(0)
        return self._codes.pop(pid, None)

    def close(self) -> None:
        """No more children; it ends with its last one."""
        self._sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


# -- the other side --------------------------------------------------------------------------------


def _be_nursery(sock: socket.socket, modules: Sequence[str], parent: int) -> None:
    """Never returns."""
    code = child.FAILED
    try:
        ctypes.CDLL(None).prctl(child.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            for number in (*HELD_BACK, signal.SIGTERM):  # it ends when its supervisor and its children have
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())  # an upgrade holds signals back; its children must not
            _close_all_but(sock.fileno())
            for name in (*SPOKEN_TO_US_ALONE, NAME):
                os.environ.pop(name, None)
            name_process("edge-nursery")
            for module in modules:
                importlib.import_module(module)
            gc.freeze()  # pages of what all share are not written to by collections
            _serve(sock)
            code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _close_all_but(fd: int) -> None:
    """Sockets that a service manager has handed over are the supervisor's alone."""
    os.closerange(3, fd)
    os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))


def _serve(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    pids: dict[int, int] = {}  # pidfd -> pid
    asked = True
    while asked or pids:
        for fd, _ in poll.poll():
            if fd == sock.fileno():
                asked = _take_one(sock, poll, pids)
                if not asked:
                    poll.unregister(sock)
                continue
            poll.unregister(fd)
            pid = pids.pop(fd)
            _, status = os.waitpid(pid, 0)
            os.close(fd)
            with contextlib.suppress(OSError):
                sock.send(f"ended {pid} {os.waitstatus_to_exitcode(status)}".encode())


def _take_one(sock: socket.socket, poll: select.poll, pids: dict[int, int]) -> bool:
    """Fork what is asked for; False at the end of the socket."""
    raw, fds = _receive(sock)
    if not raw:
        return False
    said = json.loads(raw)
    # Until it has handlers of its own these signals wait: as for a child that is executed.
    # SIGTERM too: what is ignored here would be lost to a child that is to end as soon as it has begun.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*HELD_BACK, signal.SIGTERM})
    nursery = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        sock.send(f"failed {error.errno}".encode())
        return True
    else:
        if pid == 0:
            _be_child(sock, said, fds, nursery)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for fd in fds:
            os.close(fd)
    pidfd = os.pidfd_open(pid)
    pids[pidfd] = pid
    poll.register(pidfd, select.POLLIN)
    sock.send(f"began {pid}".encode())
    return True


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    fds = array.array("i")
    try:
        raw, more, _, _ = sock.recvmsg(MESSAGE_MOST, socket.CMSG_SPACE(FDS_MOST * fds.itemsize))
    except ConnectionResetError:
        return b"", []
    for level, kind, data in more:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return raw, list(fds)


def _be_child(sock: socket.socket, said: dict[str, object], fds: list[int], nursery: int) -> None:
    """Never returns."""
    code = child.FAILED
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        sock.close()
        _put_in_place(fds, [int(fd) for fd in said["fds"]])  # type: ignore[attr-defined]
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        arguments = [said["role"], said["number"], "--charter", said["charter"], "--parent", nursery]
        code = child.main([str(argument) for argument in arguments])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _put_in_place(fds: Sequence[int], wanted: Sequence[int]) -> None:
    """Give received descriptors the numbers that they had where they come from."""
    base = max([*fds, *wanted], default=2) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, base) for fd in fds]
    for fd in fds:
        os.close(fd)
    for fd, number in zip(moved, wanted, strict=True):
        os.dup2(fd, number, inheritable=False)
        os.close(fd)
