"""Sockets that the supervisor binds and children inherit: for players and operators, and between processes."""

import contextlib
import errno
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from edge.config.units import parse_listen
from edge.errors import ConfigError
from edge.sockets import AS_IT_IS, SocketOptions

BACKLOG: Final = 4096  # connections that wait to be accepted: a second of a crowd that comes back after a break
LINK_BACKLOG: Final = 256  # one connection per worker, and those of dead workers until the keeper looks
UNIX_PATH_MOST: Final = 107  # bytes: sun_path of unix(7) without its final zero
LINK_NAME_MOST: Final = 32
HINTS: Final = {
    errno.EACCES: "this port needs a right: ports under 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: "another program listens there already: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no addresses of this family",
}


def bind(listen: str, field: str, options: SocketOptions = AS_IT_IS) -> socket.socket:
    """A listening TCP socket; `[::]` takes IPv4 as well, and becomes 0.0.0.0 where there is no IPv6.

    What it accepts has its options. ConfigError names `field`, and what to do.
    """
    host, port = parse_listen(listen)
    try:
        if host == "::" and not _has_ipv6():
            return _bind(socket.AF_INET, ("0.0.0.0", port), options)
        return _bind(*_resolve(host, port), options)
    except OSError as error:
        hint = HINTS.get(error.errno or 0, error.strerror or str(error))
        raise ConfigError(field, listen, hint) from error


def _resolve(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    """The first address of a host, IPv4 before IPv6: one listener is one address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _bind(family: int, address: tuple[object, ...], options: SocketOptions) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        options.apply(sock)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def spoken(sock: socket.socket) -> str:
    """HOST:PORT as people write it."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class RuntimeDirectory:
    """A private directory (0700) for the link sockets; removed at the end.

    Its name comes from the cache directory's identity, so that a supervisor finds what a killed predecessor left
    and uses it again instead of piling up directories. The caller holds the lock of the cache directory: nobody
    else uses the same name now. A directory that is not ours alone is never used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, cache: Path) -> Self:
        """Under $XDG_RUNTIME_DIR, where temporary files go, or in the cache; OSError if none of them serves."""
        about = cache.stat()
        identity = hashlib.blake2b(f"{about.st_dev}:{about.st_ino}".encode(), digest_size=6).hexdigest()
        failure: OSError | None = None
        for base in _bases(cache):
            path = base / f"edge-{os.geteuid()}-{identity}"
            if len(os.fsencode(path)) + 1 + LINK_NAME_MOST > UNIX_PATH_MOST:
                continue
            try:
                directory = cls(_private(path, base))
                directory._empty()
            except OSError as error:
                failure = error
                continue
            return directory
        raise failure or OSError(errno.ENAMETOOLONG, "no directory with a path short enough for a socket")

    def link(self, name: str) -> tuple[socket.socket, str]:
        """A listening SEQPACKET socket that outlives the keeper which accepts from it."""
        path = str(self.path / name)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.bind(path)
            sock.listen(LINK_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock, path

    def control(self) -> tuple[socket.socket, str]:
        """The listening socket of the admin API for who may enter this directory."""
        path = str(self.path / "control.sock")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(path)
            sock.listen(LINK_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock, path

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._empty()
            self.path.rmdir()

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            entry.unlink()


def _bases(cache: Path) -> Iterator[Path]:
    """Where a runtime directory may lie, the best first; the last serves where all else is read-only."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named and os.path.isabs(named):
        yield Path(named)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")
    yield cache.resolve()


def _private(path: Path, base: Path) -> Path:
    """`path`, made or found to be ours alone; a new one where somebody else was there first."""
    try:
        path.mkdir(0o700)
    except FileExistsError:
        about = path.lstat()
        private = stat.S_ISDIR(about.st_mode) and about.st_mode & 0o077 == 0
        if not private or about.st_uid != os.geteuid():
            return Path(tempfile.mkdtemp(prefix="edge-", dir=base))
    return path
