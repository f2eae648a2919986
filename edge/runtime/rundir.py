"""The private directory of a running server: where its sockets lie, and what children are told by files."""

import contextlib
import errno
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from edge.store.owned import LOCK, clear, is_private, try_lock

LINK_BACKLOG: Final = 256  # one connection per worker, and those of dead workers until the keeper looks
UNIX_PATH_MOST: Final = 107  # bytes: sun_path of unix(7) without its final zero
LINK_NAME_MOST: Final = 32
TRIES: Final = 3  # to have a directory that somebody clears away meanwhile


class RuntimeDirectory:
    """A private directory (0700) for the link sockets; removed at the end.

    Its name comes from the cache directory's identity, so that a supervisor finds what a killed predecessor left
    and uses it again. What others left, whose caches never come back, is removed: whoever is alive holds the lock in
    its directory, and one without a lock is left alone, as somebody may just be making it. A directory that is not
    ours alone is never used. `lock`: the descriptor that holds it, the caller's to close.
    """

    def __init__(self, path: Path, lock: int = -1) -> None:
        self.path, self.lock = path, lock

    @classmethod
    def of(cls, cache: Path) -> Self:
        """Under $XDG_RUNTIME_DIR, where temporary files go, or in the cache; OSError if none of them serves."""
        about = cache.stat()
        identity = hashlib.blake2b(f"{about.st_dev}:{about.st_ino}".encode(), digest_size=6).hexdigest()
        failure: OSError | None = None
        for base in _bases(cache):
            path = base / f"{_prefix()}{identity}"
            if len(os.fsencode(path)) + 1 + LINK_NAME_MOST > UNIX_PATH_MOST:
                continue
            try:
                directory = cls(*_taken(path, base))
                directory._empty()
            except OSError as error:
                failure = error
                continue
            clear(base, re.compile(re.escape(_prefix()) + "[0-9a-z_]{8,12}"))
            return directory
        raise failure or OSError(errno.ENAMETOOLONG, "no directory with a path short enough for a socket")

    def link(self, name: str) -> tuple[socket.socket, str]:
        """A listening SEQPACKET socket that outlives the keeper which accepts from it."""
        return self._listening(socket.SOCK_SEQPACKET, name)

    def control(self) -> tuple[socket.socket, str]:
        """The listening socket of the admin API for who may enter this directory."""
        return self._listening(socket.SOCK_STREAM, "control.sock")

    def _listening(self, kind: socket.SocketKind, name: str) -> tuple[socket.socket, str]:
        path = str(self.path / name)
        sock = socket.socket(socket.AF_UNIX, kind)
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
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != LOCK:
                entry.unlink()


def _prefix() -> str:
    return f"edge-{os.geteuid()}-"


def _bases(cache: Path) -> Iterator[Path]:
    """Where a runtime directory may lie, the best first; the last serves where all else is read-only."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named and os.path.isabs(named):
        yield Path(named)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")
    yield cache.resolve()


def _taken(path: Path, base: Path) -> tuple[Path, int]:
    """`path`, made or found, or a new one where it is somebody else's; with its lock."""
    for _ in range(TRIES):
        with contextlib.suppress(FileExistsError):
            path.mkdir(0o700)
        lock = try_lock(path, make=True) if is_private(path) else None
        if lock is not None:
            return path, lock
    path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=base))
    lock = try_lock(path, make=True)
    if lock is None:
        raise BlockingIOError(errno.EAGAIN, "a directory that was just made has another owner", str(path))
    return path, lock
