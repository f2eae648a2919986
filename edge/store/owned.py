"""Directories that are of use as long as their owner lives: he holds a lock in them, the kernel lets go of it.

What killed owners left is found by that, and removed. A directory without a lock is left alone: somebody may just be
making it, or it is of another version's.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Final

LOCK: Final = "owner.lock"


def clear(base: Path, name: re.Pattern[str]) -> None:
    """Remove directories of ours under `base` that are called so and have lost their owner."""
    try:
        found = [base / entry for entry in os.listdir(base) if name.fullmatch(entry)]
    except OSError:  # one may be allowed to make directories there, and not to list them
        return
    for path in found:
        with contextlib.suppress(OSError):
            lock = try_lock(path, make=False) if is_private(path) else None
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def is_private(path: Path) -> bool:
    """A directory of our own, which nobody else may enter."""
    try:
        about = path.lstat()
    except FileNotFoundError:  # cleared away a moment ago
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_mode & 0o077 == 0 and about.st_uid == os.geteuid()


def try_lock(directory: Path, *, make: bool) -> int | None:
    """The lock of a directory, None if somebody has it or there is none (any more)."""
    path, flags = directory / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags | os.O_CREAT if make else flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.lstat()):  # else it was removed between `open` and `flock`
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None
