"""What the supervisor holds for its children and keeps over their deaths: sockets, pipes, shared memory."""

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge.config.schema import Settings
from edge.errors import ConfigError, VolumeBusy
from edge.observe.slots import create_slot_file
from edge.runtime import convert
from edge.runtime.handover import Handover
from edge.runtime.inherited import Inherited
from edge.runtime.listeners import bind
from edge.runtime.rundir import RuntimeDirectory
from edge.sockets import SocketOptions
from edge.store.disk import Disk
from edge.store.files import is_full, take_lock
from edge.store.hits import create_hits_file

CONTROL = "control"  # a file in the cache directory that names the control socket


@dataclass(frozen=True, slots=True)
class Link:
    """Where a volume's keeper hears its workers: the listening socket, which outlives it, and its path."""

    volume: int
    sock: socket.socket
    path: str


@dataclass(slots=True)
class Holdings:
    """`links`: one for each volume that can be used; `missing`: what is wrong with the others.
    `players`: listening socket and whether TLS is spoken there. `liveness`: a pipe that is never written to.

    Children hold its read end; only the supervisor has the write end, so that its death is an end of file.
    """

    players: tuple[tuple[socket.socket, bool], ...]
    addresses: tuple[str, ...]  # as they are written, one for each of `players`
    admin: socket.socket
    links: tuple[Link, ...]
    missing: tuple[ConfigError, ...]
    runtime_dir: str
    state_dir: str  # of the node: the directory of its first volume that can be used
    control: socket.socket  # the admin API's, in the runtime directory
    hits_fd: int
    liveness: tuple[int, int]
    locks: tuple[int, ...]  # of the cache directories and of the runtime directory
    stack: ExitStack

    @classmethod
    def take(cls, settings: Settings, inherited: Inherited) -> Self:
        """Lock the cache directory, then bind and make everything; ConfigError for what cannot be had."""
        with ExitStack() as stack:
            usable, missing, locks = _lock_all(settings, stack)
            _try_paths(settings)
            players = []
            for (field, listen, tls), options in _listeners(settings):
                players.append((stack.enter_context(inherited.bind(listen, field, options)), tls))
            admin = stack.enter_context(inherited.bind(settings.admin.listen, "admin.listen"))
            runtime = _runtime_directory(Path(settings.volumes[usable[0]].path))
            stack.callback(os.close, runtime.lock)
            stack.callback(runtime.remove)
            control, control_path = runtime.control()
            stack.enter_context(control)
            state = Path(settings.volumes[usable[0]].path)
            _point_to(state / CONTROL, control_path, stack)
            links = []
            for number in usable:
                sock, path = runtime.link(f"volume-{number}.link")
                links.append(Link(number, stack.enter_context(sock), path))
            hits_fd = create_hits_file(sum(volume.size for volume in settings.volumes))
            stack.callback(os.close, hits_fd)
            liveness = os.pipe()
            for fd in liveness:
                stack.callback(os.close, fd)
            held = stack.pop_all()
            return cls(
                tuple(players),
                tuple(listen for _, listen, _ in settings.listeners),
                admin,
                tuple(links),
                missing,
                str(runtime.path),
                str(state),
                control,
                hits_fd,
                liveness,
                (*locks, runtime.lock),
                held,
            )
        raise AssertionError("an ExitStack swallows nothing here")

    @classmethod
    def resume(cls, handover: Handover) -> Self:
        """What our predecessor in this process held."""
        with ExitStack() as stack:

            def listening(fd: int) -> socket.socket:
                sock = stack.enter_context(socket.socket(fileno=fd))
                sock.setblocking(False)
                return sock

            players = tuple((listening(fd), tls) for _, fd, tls in handover.players)
            admin, control = listening(handover.admin), listening(handover.control)
            stack.callback(RuntimeDirectory(Path(handover.runtime_dir)).remove)
            stack.callback((Path(handover.state_dir) / CONTROL).unlink, missing_ok=True)
            links = tuple(Link(volume, listening(fd), path) for volume, fd, path in handover.links)
            for fd in (handover.hits, *handover.liveness, *handover.locks, *handover.slots.values()):
                stack.callback(os.close, fd)
            addresses = tuple(listen for listen, _, _ in handover.players)
            return cls(
                players, addresses, admin, links, (), handover.runtime_dir, handover.state_dir, control,
                handover.hits, handover.liveness, handover.locks, stack.pop_all(),
            )  # fmt: skip
        raise AssertionError("an ExitStack swallows nothing here")

    def slot_file(self, name: str) -> int:
        """A metric slot file that lives as long as the holdings."""
        fd = create_slot_file(name)
        self.stack.callback(os.close, fd)
        return fd

    def listen_on(self, settings: Settings) -> tuple[tuple[socket.socket, bool], ...]:
        """Sockets for these settings: those that we have by the same address, and new ones; ConfigError.

        Nothing is closed, and `players` stays, until `switch` is called.
        """
        ours = list(zip(self.addresses, self.players, strict=True))
        found = []
        with ExitStack() as stack:
            for (field, listen, tls), options in _listeners(settings):
                known = next((entry for entry in ours if entry[0] == listen), None)
                if known is not None:
                    ours.remove(known)
                    found.append((known[1][0], tls))
                else:
                    found.append((stack.enter_context(bind(listen, field, options)), tls))
            self.stack.push(stack.pop_all())
        return tuple(found)

    def switch(self, players: tuple[tuple[socket.socket, bool], ...], settings: Settings) -> None:
        """Serve players on these sockets from now on; our copies of the others are closed."""
        kept = {sock for sock, _ in players}
        for sock, _ in self.players:
            if sock not in kept:
                sock.close()
        for (sock, _), options in zip(players, convert.listener_options(settings), strict=True):
            options.apply(sock)  # those that we had already
        self.players = players
        self.addresses = tuple(listen for _, listen, _ in settings.listeners)

    def stop_listening(self) -> None:
        """Close our copies of the players' sockets: when the workers have closed theirs, nobody is let in to wait."""
        for sock, _ in self.players:
            sock.close()

    def close(self) -> None:
        self.stack.close()


def _listeners(settings: Settings) -> Iterator[tuple[tuple[str, str, bool], SocketOptions]]:
    """`Settings.listeners`, each with its options."""
    return zip(settings.listeners, convert.listener_options(settings), strict=True)


def raise_descriptor_limit() -> int | None:
    """Set RLIMIT_NOFILE to the hard limit, which children inherit; the limit, None where there is none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def _lock_all(settings: Settings, stack: ExitStack) -> tuple[list[int], tuple[ConfigError, ...], tuple[int, ...]]:
    """Lock each volume's directory: the numbers of those that can be used, at least one; what is wrong with others;
    the locks.

    A disk that has failed takes only its own volume with it; a directory that another server uses is a mistake.
    """
    usable, missing, locks = list[int](), list[ConfigError](), list[int]()
    field = "volume.path" if settings.volume else "cache.dir"
    for number, volume in enumerate(settings.volumes):
        try:
            locks.append(_lock(Path(volume.path), field))
            stack.callback(os.close, locks[-1])
            usable.append(number)
        except ConfigError as wrong:
            if isinstance(wrong.__cause__, VolumeBusy):
                raise
            missing.append(wrong)
    if not usable:
        raise missing[0]
    return usable, tuple(missing), tuple(locks)


def _point_to(file: Path, control: str, stack: ExitStack) -> None:
    """Have the command line find the control socket by the cache directory."""
    try:
        file.unlink(missing_ok=True)
        try:
            file.write_text(control + "\n")
        except OSError as error:
            file.unlink(missing_ok=True)
            if not is_full(error):
                raise
            file.symlink_to(control)  # a full disk has room for that: it is part of the directory's own block
    except OSError as error:
        if not is_full(error):
            raise ConfigError("cache.dir", str(file.parent), f"cannot be written: {error.strerror}") from error
        return  # the command line finds us by --admin only
    stack.callback(file.unlink, missing_ok=True)


def _lock(directory: Path, field: str) -> int:
    """The lock of a cache directory, which is made if it is missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return take_lock(Disk(), directory / "server.lock")
    except VolumeBusy as busy:
        holder = str(busy).rpartition("(")[2].rstrip(")")
        hint = f"another server uses this directory ({holder}): stop it, or give another --cache-dir"
        raise ConfigError(field, str(directory), hint) from busy
    except OSError as error:
        raise ConfigError(field, str(directory), f"cannot be written: {error.strerror}") from error


def _try_paths(settings: Settings) -> None:
    """What children will write to, tried here: their own failure would be told three times, and without a hint."""
    log, index = settings.log.access, settings.cache.index_dir
    if log not in ("off", "stdout"):
        try:
            os.close(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640))
        except OSError as error:
            raise ConfigError("log.access", log, f"cannot be written: {error.strerror}") from error
    if index:
        try:
            Path(index).mkdir(parents=True, exist_ok=True)
            if not os.access(index, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise ConfigError("cache.index_dir", index, f"cannot be written: {error.strerror}") from error


def _runtime_directory(cache: Path) -> RuntimeDirectory:
    try:
        return RuntimeDirectory.of(cache)
    except OSError as error:
        hint = f"no private directory can be made for sockets: {error.strerror}"
        raise ConfigError("XDG_RUNTIME_DIR", os.environ.get("XDG_RUNTIME_DIR", ""), hint) from error
