"""Faults of libfiu (LD_PRELOAD, Debian packages fiu-utils and libfiu0) in a running process, switched on and off.

It fails calls by the name of a libc function, in one process. Of what the store calls, these go through symbols that
it wraps (CPython 3.11 and LMDB on glibc, compared by `nm -D`): open64, pread64, pwrite64, fdatasync, fsync,
ftruncate64, unlink, rename, and LMDB's own open, pwrite, writev, pread, fdatasync, mmap. Not wrapped: preadv (the
scrubber), sendfile64, statvfs64, posix_fadvise64, mkdir, and `syscall` (cachestat).
"""

import asyncio
import errno
import shutil
from pathlib import Path

RUN, CTRL = "fiu-run", "fiu-ctrl"
OPEN, PREAD, PWRITE = "posix/io/oc/open", "posix/io/rw/pread", "posix/io/rw/pwrite"
FDATASYNC, FTRUNCATE = "posix/io/sync/fdatasync", "posix/io/rw/ftruncate"
UNLINK, RENAME = "posix/io/dir/unlink", "posix/io/dir/rename"
SHORT_PWRITE, SHORT_PREAD = PWRITE + "/reduce", PREAD + "/reduce"  # fewer bytes than asked, as calls may return


def missing() -> str | None:
    """Why there can be no such faults here; None if there can."""
    if shutil.which(RUN) is None or shutil.which(CTRL) is None:
        return "needs fiu-run and fiu-ctrl (Debian packages fiu-utils and libfiu0)"
    return None


class Fiu:
    """`prefix` starts a program whose processes, forked ones as well, can be given faults."""

    def __init__(self, directory: Path) -> None:
        self._pipes = directory / "fiu"

    @property
    def prefix(self) -> tuple[str, ...]:
        return (RUN, "-x", "-f", str(self._pipes))

    async def fail(self, pid: int, *names: str, number: int = errno.EIO, probability: float = 1.0) -> None:
        """From now on these calls of the process end with an error, or a share of them."""
        share = f"enable_random probability={probability}," if probability < 1 else "enable "
        await self._say(pid, *(f"{share}name={name},failinfo={number}" for name in names))

    async def mend(self, pid: int, *names: str) -> None:
        await self._say(pid, *(f"disable name={name}" for name in names))

    async def _say(self, pid: int, *commands: str) -> None:
        """A process that has ended hears nothing."""
        if not Path(f"/proc/{pid}").exists():
            return
        words = [word for command in commands for word in ("-c", command)]
        process = await asyncio.create_subprocess_exec(
            CTRL, "-f", str(self._pipes), *words, str(pid),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(20):
            said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
