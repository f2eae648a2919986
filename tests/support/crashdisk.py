"""A disk that forgets: a block device whose every crash image can be had, as real drives may leave them.

A FUSE file system with one file, its root, spoken in the kernel's own protocol (linux/fuse.h, 7.31); a loop device
lies on the file and an ext4 on that. Every write and every flush of the block layer passes through here, in order.
What was written since the last flush is what a drive may lose: an image is what was flushed, and of the later
writes all (a drive that writes at once, in order), none, or a random choice in pieces of a sector group (a drive
with a volatile cache that wrote them in any order when the power went).

Runs as a process of its own (`python -m tests.support.crashdisk`), so that the kernel never waits for the test.
"""

import ctypes
import errno
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CAP_SYS_ADMIN = 21  # its number (linux/capability.h)
SECTORS = 4096  # what a drive writes whole: its physical sector, as ext4's block
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIIIHHIIHH32x")
_ATTR = struct.Struct("<QII6Q10I")
_GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _RELEASE, _FSYNC, _FLUSH, _INIT_OP = 3, 4, 14, 15, 16, 18, 20, 25, 26
_FORGET, _INTERRUPT, _BATCH_FORGET = 2, 36, 42
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22


FAILING = {"read": (_READ,), "write": (_WRITE, _FSYNC)}


class Blocks:
    """The bytes: `current` as the kernel sees them, `durable` as they were at the last flush, `pending` since then."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.current = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.durable = os.open(str(path) + ".durable", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for fd in (self.current, self.durable):
            os.ftruncate(fd, size)
        self.pending: list[tuple[int, bytes]] = []
        self.flushes = 0

    def write(self, offset: int, data: bytes) -> None:
        os.pwrite(self.current, data, offset)
        self.pending.append((offset, data))

    def flush(self) -> None:
        for offset, data in self.pending:
            os.pwrite(self.durable, data, offset)
        self.pending.clear()
        self.flushes += 1

    def image(self, target: Path, kind: str, seed: int) -> dict[str, int]:
        """Write a legal crash image of this moment."""
        rng = random.Random(seed)
        subprocess.run(["cp", "--sparse=always", f"/proc/{os.getpid()}/fd/{self.durable}", str(target)], check=True)
        fd = os.open(target, os.O_RDWR)
        pieces = [
            (offset + at, data[at : at + SECTORS])
            for offset, data in self.pending
            for at in range(0, len(data), SECTORS)
        ]
        kept = [piece for piece in pieces if kind == "ordered" or (kind == "cache" and rng.random() < 0.5)]
        if kind == "cache":
            rng.shuffle(kept)
        for offset, data in kept:
            os.pwrite(fd, data, offset)
        os.close(fd)
        return {"pending": len(pieces), "kept": len(kept), "flushes": self.flushes}


class Server:
    """Answers the kernel until the file system is unmounted; between two requests, the test."""

    def __init__(self, fuse: int, blocks: Blocks, orders: socket.socket) -> None:
        self._fuse, self._blocks, self._orders = fuse, blocks, orders
        self._failing: frozenset[int] = frozenset()
        self._slow: frozenset[int] = frozenset()
        self._seconds = 0.0

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._fuse, select.POLLIN)
        poll.register(self._orders, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._fuse:
                    try:
                        request = os.read(self._fuse, (1 << 20) + 65536)
                    except OSError as error:
                        if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                            continue
                        return
                    self._serve(request)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        raw = self._orders.recv(65536)
        if not raw:
            return False
        order = json.loads(raw)
        if "slow" in order:
            self._slow = frozenset(code for name in order["slow"] for code in FAILING[name])
            self._seconds = order["seconds"]
            self._orders.send(b"{}")
            return True
        if "fail" in order:
            self._failing = frozenset(code for name in order["fail"] for code in FAILING[name])
            self._orders.send(b"{}")
            return True
        said = self._blocks.image(Path(order["target"]), order["kind"], order["seed"])
        self._orders.send(json.dumps(said).encode())
        return True

    def _serve(self, request: bytes) -> None:
        _, opcode, unique, *_ = _IN.unpack_from(request)
        if opcode in (_FORGET, _INTERRUPT, _BATCH_FORGET):
            return
        answer = self._answer(opcode, request[_IN.size :])
        body = b"" if isinstance(answer, int) else answer
        error = answer if isinstance(answer, int) else 0
        os.write(self._fuse, _OUT.pack(_OUT.size + len(body), error, unique) + body)

    def _answer(self, opcode: int, body: bytes) -> bytes | int:
        blocks = self._blocks
        if opcode in self._slow:
            time.sleep(self._seconds)  # one after the other, as a drive does it
        if opcode in self._failing:
            return -errno.EIO
        if opcode == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return os.pread(blocks.current, size, offset)
        if opcode == _WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            blocks.write(offset, body[40 : 40 + size])
            return struct.pack("<II", size, 0)
        if opcode == _FSYNC:
            blocks.flush()
            return 0
        if opcode == _INIT_OP:
            return _INIT.pack(7, 31, 1 << 17, _BIG_WRITES | _MAX_PAGES, 16, 12, 1 << 20, 1, 256, 0)
        if opcode in (_GETATTR, _SETATTR):
            attributes = (1, blocks.size, blocks.size // 512, 0, 0, 0, 0, 0, 0, 0o100600, 1, 0, 0, 0, 4096, 0)
            return _ATTR.pack(3600, 0, 0, *attributes)
        if opcode == _OPEN:
            return struct.pack("<QII", 1, 0, 0)
        if opcode in (_FLUSH, _RELEASE):
            return 0
        return -errno.ENOSYS


def mount_fuse(fuse: int, where: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=100000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"edgedisk", str(where).encode(), b"fuse.edgedisk", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount of FUSE")


def main() -> None:
    """Arguments: mount point, backing path, size, descriptor of the test's socket."""
    where, backing, size, orders = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount_fuse(fuse, where)
    talk = socket.socket(fileno=orders)
    talk.send(b"{}")
    Server(fuse, Blocks(backing, size), talk).run()


def may_mount() -> bool:
    """CAP_SYS_ADMIN: root of a container has it only if it was given."""
    held = Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0]
    return bool(int(held, 16) >> CAP_SYS_ADMIN & 1)


def missing() -> str | None:
    """Why there can be no such disk here; None if there can."""
    if not may_mount():
        return "needs root to mount a file system"
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        return "needs /dev/fuse and loop devices"
    for tool in ("mkfs.ext4", "losetup", "mount"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode != 0:
            return f"needs {tool}"
    return None


class Crashdisk:
    """The test's end. `mounted` is the ext4; `image` may be called while it is written to."""

    def __init__(self, mounted: Path, talk: socket.socket, point: Path) -> None:
        self.mounted = mounted
        self._talk, self._point = talk, point

    def image(self, target: Path, kind: str, seed: int) -> dict[str, Any]:
        self._talk.send(json.dumps({"target": str(target), "kind": kind, "seed": seed}).encode())
        said: dict[str, Any] = json.loads(self._talk.recv(65536))
        return said

    def forget(self, path: Path) -> None:
        """Nothing of a file that nobody has open is in memory any more, nor of the disk below it."""
        for file in (path, self._point):
            fd = os.open(file, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def slow(self, seconds: float, *what: str) -> None:
        """From now on reads, or writes and flushes, take so long, each behind the one before."""
        self._talk.send(json.dumps({"slow": what, "seconds": seconds}).encode())
        self._talk.recv(65536)

    def fail(self, *what: str) -> None:
        """From now on reads, or writes and flushes, end with an I/O error; nothing named: all is well again."""
        self._talk.send(json.dumps({"fail": what}).encode())
        self._talk.recv(65536)


def unmount(where: Path) -> None:
    """Also while somebody still has a file open there: then it goes with the last of them."""
    if subprocess.run(["umount", str(where)], capture_output=True, check=False).returncode != 0:
        subprocess.run(["umount", "-l", str(where)], check=False)


@contextmanager
def small_file_system(where: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size."""
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        unmount(where)


@contextmanager
def mounted_image(image: Path, where: Path, *options: str) -> Iterator[Path]:
    """An ext4 image through a loop device; mounting replays its journal."""
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", ",".join(("loop", *options)), str(image), str(where)], check=True)
    try:
        yield where
    finally:
        unmount(where)


@contextmanager
def crashdisk(directory: Path, size: int) -> Iterator[Crashdisk]:
    """An ext4 of `size` bytes on a disk that forgets."""
    point, backing = directory / "disk", directory / "disk.blocks"
    point.touch()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    arguments = [str(point), str(backing), str(size), str(theirs.fileno())]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.crashdisk", *arguments], pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    try:
        ours.settimeout(60)
        if not ours.recv(100):
            raise OSError("the disk has not come up")
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", str(point)], check=True)
        with mounted_image(point, directory / "mounted", "commit=1") as mounted:
            disk = Crashdisk(mounted, ours, point)
            try:
                yield disk
            finally:
                disk.slow(0.0)  # to unmount it is to write all that has not been written yet
                disk.fail()
    finally:
        unmount(point)
        ours.close()
        server.wait(20)


if __name__ == "__main__":
    main()
