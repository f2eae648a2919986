"""The one place where the store touches the operating system, so that a test can fail the Nth call."""

import errno
import fcntl
import os
from pathlib import Path

from edge.reads import read_at
from edge.store.residency import forget_pages


class Disk:
    """Thin: a name per system call, whole writes, no policy."""

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """Closed whatever close(2) says: who tried again would close another's. What is to last has been synced."""
        try:
            os.close(fd)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of it; a short write is continued, as write(2) allows it at any time."""
        view = memoryview(data)
        while view:
            written = self.write_some(fd, view, offset)
            if written == 0:
                raise OSError("pwrite wrote nothing")
            offset += written
            view = view[written:]

    def write_some(self, fd: int, data: memoryview, offset: int) -> int:
        """One call; how many bytes were written."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """Read up to `length` bytes; fewer only at the end of the file."""
        return read_at(fd, length, offset)

    def pread_pack(self, fd: int, length: int, offset: int) -> bytes:
        """As `pread`; pages that the disk has not given do not stay, since cachestat says that they are there."""
        try:
            return self.pread(fd, length, offset)
        except OSError:
            forget_pages(fd, offset, length)
            raise

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        """Fill a buffer; how many bytes came, fewer only at the end of the file."""
        done = 0
        while done < len(buffer):
            got = os.preadv(fd, [buffer[done:]], offset + done)
            if got == 0:
                break
            done += got
            if done % 512:  # the end of the file; O_DIRECT could not go on from here
                break
        return done

    def read_no_further(self, fd: int) -> None:
        """The kernel is not to read ahead: what is in the page cache counts as verified."""
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)

    def forget(self, fd: int) -> None:
        """Of what is on the disk, nothing is to stay in memory."""
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        os.ftruncate(fd, length)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def mkdir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Make names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, fd: int) -> bool:
        """Take an exclusive lock without waiting; False if another process has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def space(self, path: Path) -> tuple[int, int]:
        """Bytes of the file system that we may still use, and all that it has."""
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
