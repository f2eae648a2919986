"""Nonces that were seen, so that no pass serves twice: in one process, and in a file that all workers share.

The file outlives a worker, a reload and an upgrade, since it lies in the server's runtime directory; it goes when the
server stops. It is buckets of entries: of each nonce 12 bytes of its hash, and until when its pass is good. A bucket
that is full forgets what is over, else what is over first. A few calls of the system take 3 us; a mapping would cost
the process (SIGBUS) where the file system has no room.
"""

import fcntl
import logging
import os
import struct
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

from edge.errors import why

_ENTRY: Final = struct.Struct("<12sI")
_BUCKET: Final = 16  # entries
_WIDTH: Final = _BUCKET * _ENTRY.size
LOOKS: Final = 20  # for a lock that another process holds, which it does for microseconds ...
PAUSE: Final = 0.0001  # ... seconds apart, so that 2 ms are lost at most where that process stands still
SPARE: Final = 2  # times as many entries as are to be remembered: then hardly a bucket is ever full

log = logging.getLogger("edge.access")


class Nonces:
    """Of one process: two halves, the older one forgotten when the younger is full or has lasted long enough."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<Nonces {len(self._young)}+{len(self._old)}>"

    def seen(self, nonce: bytes, now: float) -> bool:
        """Was it seen before? It is from now on."""
        if len(self._young) >= self._most or now - self._since > self._seconds:
            outlived = now - self._since > 2 * self._seconds
            self._old, self._young, self._since = set() if outlived else self._young, set(), now
        if nonce in self._young or nonce in self._old:
            return True
        self._young.add(nonce)
        return False


class NonceFile:
    """Of all processes that open it with the same `most`. OSError if it cannot be made. Times are unix seconds."""

    def __init__(self, directory: Path, most: int) -> None:
        self._buckets = -(-most * SPARE // _BUCKET)
        self._path = directory / f"nonces.{self._buckets}"  # who was told another number of them begins another file
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, self._buckets * _WIDTH)
        self._failed = False

    def __repr__(self) -> str:
        return f"<NonceFile {self._path}>"

    def __del__(self) -> None:
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)

    def seen(self, nonce: bytes, good_until: int, now: float) -> bool:
        """Was it seen before, by anybody? It is from now on, until its pass is good no more."""
        digest = blake2b(nonce, digest_size=16).digest()
        at = int.from_bytes(digest[:4], "little") % self._buckets * _WIDTH
        try:
            self._lock(at)
            try:
                return self._note(at, digest[4:], good_until, now)
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, _WIDTH, at)
        except OSError as error:  # no room, most likely: what this process has seen is known all the same
            if not self._failed:
                self._failed = True
                log.error("%s cannot be written, a pass may serve once with each worker: %s", self._path, why(error))
            return False

    def _lock(self, at: int) -> None:
        """Held by another one it is when a pass has come twice at the same moment: who is second waits for the first.

        For one that stands still nobody waits.
        """
        for _ in range(LOOKS):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _WIDTH, at)
            except BlockingIOError:
                time.sleep(PAUSE)
            else:
                return

    def _note(self, at: int, tag: bytes, good_until: int, now: float) -> bool:
        found = list(_ENTRY.iter_unpack(os.pread(self._fd, _WIDTH, at)))
        if any(known == tag and until >= now for known, until in found):
            return True
        oldest = min(range(len(found)), key=lambda number: found[number][1])
        os.pwrite(self._fd, _ENTRY.pack(tag, good_until), at + oldest * _ENTRY.size)
        return False
