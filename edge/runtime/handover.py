"""What one program hands to its successor in the same process (`edge upgrade`): sockets, shared memory, children.

The supervisor replaces itself (execve), so that its pid, its children and their pipes stay, and so do the descriptors
that are named here: listening sockets, whose backlog nobody loses; locks of cache directories, which nobody else can
take meanwhile; metric slots, whose counters go on.
"""

import contextlib
import json
import os
import select
import signal
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

NAME: Final = "EDGE_HANDOVER"  # in the environment: the descriptor of the document
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Heir:
    """A child that goes on: who it is, its pidfd, and the pipe that it speaks through."""

    role: str
    number: int
    pid: int
    pidfd: int
    status_fd: int
    generation: int
    retired: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """Descriptors by their numbers. `players`: address as it is written, descriptor, whether TLS is spoken there;
    `links`: volume, descriptor, path; `slots`: by the name of the post.
    """

    program: str  # its version, for the log
    generation: int
    log_secret: str
    runtime_dir: str
    state_dir: str
    players: tuple[tuple[str, int, bool], ...]
    admin: int
    control: int
    links: tuple[tuple[int, int, str], ...]
    hits: int
    liveness: tuple[int, int]
    locks: tuple[int, ...]
    slots: dict[str, int]
    children: tuple[Heir, ...]
    nursery: int  # the process that has forked them, 0 for none: it ends with the last one
    version: int = VERSION

    def to_environment(self, environment: MutableMapping[str, str]) -> None:
        """Copies of the descriptors that execve leaves open, and a document that names them."""
        self.copied().name_in(environment)

    def copied(self) -> Self:
        """With duplicates of all but the children's: one is inheritable only if that is said, all else ends with this
        program, or before it."""
        return replace(
            self,
            players=tuple((listen, _copy(fd), tls) for listen, fd, tls in self.players),
            admin=_copy(self.admin),
            control=_copy(self.control),
            links=tuple((volume, _copy(fd), path) for volume, fd, path in self.links),
            hits=_copy(self.hits),
            liveness=(_copy(self.liveness[0]), _copy(self.liveness[1])),
            locks=tuple(map(_copy, self.locks)),
            slots={name: _copy(fd) for name, fd in self.slots.items()},
        )

    def name_in(self, environment: MutableMapping[str, str]) -> None:
        """Lay down the document; the children's descriptors are kept in this moment."""
        children = tuple(
            replace(child, pidfd=_kept(child.pidfd), status_fd=_copy(child.status_fd)) for child in self.children
        )
        said = asdict(replace(self, children=children))
        fd = os.memfd_create("handover", 0)
        with open(os.dup(fd), "wb") as file:
            file.write(json.dumps(said).encode())
        environment[NAME] = str(fd)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Self | None:
        """What was handed to this program; None: it starts anew. ValueError: by a program that we do not understand."""
        number = environment.pop(NAME, "")
        if not number.isdecimal():
            return None
        with open(int(number), "rb") as file:
            file.seek(0)
            said: dict[str, Any] = json.loads(file.read())
        if said.get("version") != VERSION:
            raise ValueError(
                f"the running program hands over in version {said.get('version')}, this one takes {VERSION}"
            )
        for name in ("players", "links"):
            said[name] = tuple(tuple(entry) for entry in said[name])
        said["children"] = tuple(Heir(**entry) for entry in said["children"])
        said["locks"], said["liveness"] = tuple(said["locks"]), (said["liveness"][0], said["liveness"][1])
        found = cls(**said)
        for fd in found.descriptors:
            os.set_inheritable(fd, False)
        return found

    @property
    def descriptors(self) -> tuple[int, ...]:
        sockets = (*(fd for _, fd, _ in self.players), self.admin, self.control, *(fd for _, fd, _ in self.links))
        pipes = (*self.liveness, *(fd for child in self.children for fd in (child.pidfd, child.status_fd)))
        return (*sockets, *pipes, self.hits, *self.locks, *self.slots.values())


def _copy(fd: int) -> int:
    copy = os.dup(fd)
    os.set_inheritable(copy, True)
    return copy


def _kept(fd: int) -> int:
    os.set_inheritable(fd, True)
    return fd


class Adopted:
    """A child of the program before us: what `subprocess.Popen` is to one that we have executed."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._code: int | None = None

    def __repr__(self) -> str:
        return f"<Adopted {self.pid} {'running' if self._code is None else self._code}>"

    def poll(self) -> int | None:
        """Its return code; 0 of one that was forked by another process, which has been told it."""
        if self._code is None and select.select([self._pidfd], [], [], 0)[0]:
            self._code = reaped(self.pid) or 0
            os.close(self._pidfd)
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


def reaped(pid: int) -> int | None:
    """The return code of a process that has ended, if it was a child of this one."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None
