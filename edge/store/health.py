"""Is a volume's disk to be trusted? Good, then read-only after a few errors, then off.

Counted are errors of the disk itself. A full disk is none: it is made room on. Read-only: what is stored is served,
nothing is written, misses go through memory. Off: workers look for the volume's objects on the others; nothing of it
is deleted. While it is not good, the disk is tried with a small file, when it is off ever more rarely: what works makes
it good again, what fails is one more error.
"""

import errno
import os
from enum import StrEnum
from pathlib import Path
from typing import Final

import lmdb

from edge.store.disk import Disk

READ_ONLY_AFTER: Final = 5  # errors; a cable that was touched makes a few
OFF_AFTER: Final = 10
FORGET_SECONDS: Final = 600.0  # without an error: those before were of something that is over
TRY_SECONDS: Final = 10.0
TRY_MOST_SECONDS: Final = 600.0
NOT_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


TRY: Final = b"edge: does this disk work?" * 157  # a page
TRY_NAME: Final = "disk-try"


class Trust(StrEnum):
    GOOD = "good"
    READ_ONLY = "read_only"
    OFF = "off"


def is_of_the_disk(error: BaseException | None) -> bool:
    """Is an error, or what caused it, one of the disk?"""
    while error is not None:
        if isinstance(error, OSError):
            return error.errno not in NOT_THE_DISK and error.errno is not None
        if isinstance(error, lmdb.Error):
            return not isinstance(error, lmdb.MapFullError)
        error = error.__cause__
    return False


def try_disk(disk: Disk, directory: Path) -> None:
    """Write a small file durably, read it, delete it. OSError: it does not work."""
    path = directory / TRY_NAME
    fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        disk.pwrite(fd, TRY, 0)
        disk.fdatasync(fd)
        disk.forget(fd)  # else memory would answer
        if disk.pread(fd, len(TRY), 0) != TRY:
            raise OSError(errno.EIO, "what was written is not what is read")
    finally:
        disk.close(fd)
    disk.unlink(path)


class Health:
    """Used in the store thread; `now` = monotonic seconds."""

    def __init__(self) -> None:
        self.trust = Trust.GOOD
        self.errors = 0  # that count now
        self._last = 0.0
        self._try_at = 0.0
        self._pause = TRY_SECONDS

    def __repr__(self) -> str:
        return f"<Health {self.trust} errors={self.errors}>"

    @property
    def writable(self) -> bool:
        return self.trust is Trust.GOOD

    def failed(self, now: float) -> None:
        """The disk has failed once more."""
        if self.trust is Trust.GOOD and now - self._last > FORGET_SECONDS:
            self.errors = 0
        self.errors += 1
        self._last = now
        if self.trust is Trust.GOOD and self.errors > READ_ONLY_AFTER:
            self.trust = Trust.READ_ONLY
            self._try_at = now + self._pause
        elif self.errors > OFF_AFTER:
            self.trust = Trust.OFF

    def is_to_be_tried(self, now: float) -> bool:
        """True once for each time that a try is due; the next one is later."""
        if self.trust is Trust.GOOD or now < self._try_at:
            return False
        if self.trust is Trust.OFF:  # before, each try is one of the errors that decide
            self._pause = min(2 * self._pause, TRY_MOST_SECONDS)
        self._try_at = now + self._pause
        return True

    def works(self) -> None:
        """A try has gone well. The pause stays: a disk that is good now and then is tried ever more rarely."""
        self.trust, self.errors = Trust.GOOD, 0
