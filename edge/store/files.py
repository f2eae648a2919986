"""The small files of a volume: its identity, the pack counter, the lock (DESIGN section 9)."""

import errno
import fcntl
import json
import logging
import os
import secrets
import struct
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import FormatUnknown, StoreError, VolumeBusy
from edge.store.disk import Disk

FORMAT: Final = 1
IDENTITY: Final = "volume.json"
IDENTITY_COPY: Final = "volume.copy.json"
GENERATION_STEP: Final = 1 << 20  # generations are handed out below a durable limit that moves in such steps
_COUNTER: Final = struct.Struct("<8sHHIQQ")
_COUNTER_MAGIC: Final = b"EDGECNTR"
_SLOT: Final = 4096

log = logging.getLogger("edge.store")


@dataclass(frozen=True, slots=True)
class Identity:
    """What `volume.json` says."""

    volume: uuid.UUID
    secret: bytes


def boot_id() -> str:
    """Which boot of the machine this is: what was written since is still in the page cache."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def take_lock(disk: Disk, path: Path) -> int:
    """The lock's descriptor, held until it is closed; VolumeBusy names the holder."""
    fd = disk.open(path, os.O_RDWR | os.O_CREAT)
    try:
        if not disk.lock(fd):
            holder = disk.pread(fd, 32, 0).decode(errors="replace").strip()
            raise VolumeBusy(f"{path.parent} is kept by another process (pid {holder or 'unknown'})")
        _sign(disk, fd)
    except BaseException:
        disk.close(fd)
        raise
    return fd


def is_full(error: OSError) -> bool:
    """Is it the disk that has no room, rather than one that fails?"""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def suppress_full() -> Iterator[None]:
    """What can be done later, when there is room again."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise


def _sign(disk: Disk, fd: int) -> None:
    """Who holds the lock, for whoever asks: not worth a start where the disk is full."""
    said = f"{os.getpid()}\n".encode()
    with suppress_full():
        disk.pwrite(fd, said, 0)  # first: the block that it has is not to be lost to others
        disk.ftruncate(fd, len(said))


# Not in Python's fcntl: the hint how long what is written will live. The kernel has it in the inode, in memory only.
_GET_HINT: Final = 1024 + 11
_SET_HINT: Final = 1024 + 12
_MEDIUM: Final = struct.pack("<Q", 3)


def remember(fd: int) -> bool:
    """Have the kernel know this file again for as long as it has it in memory (`is_remembered`). False: it cannot.

    It forgets the file, as its pages, at the latest when the file system is unmounted; a mount has no other mark of
    its own: numbers of mounts and devices are given again, and a namespace (a container, a service) has others.
    """
    with suppress(OSError):
        fcntl.fcntl(fd, _SET_HINT, _MEDIUM)
    return is_remembered(fd)


def is_remembered(fd: int) -> bool:
    """Has the file been in memory since `remember`? Then all is there that was written to it, synced or not."""
    try:
        return fcntl.fcntl(fd, _GET_HINT, bytes(8)) == _MEDIUM
    except OSError:
        return False


def write_whole(disk: Disk, path: Path, data: bytes) -> None:
    """Replace a small file atomically and durably."""
    draft = path.with_name(path.name + ".new")
    fd = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        disk.pwrite(fd, data, 0)
        disk.fdatasync(fd)
    finally:
        disk.close(fd)
    disk.rename(draft, path)
    disk.sync_directory(path.parent)


def identity(disk: Disk, directory: Path) -> Identity:
    """Read `volume.json`, or make it in an empty directory.

    One that is damaged or gone is taken from its copy: with another key nothing would be found any more.
    """
    path, copy = directory / IDENTITY, directory / IDENTITY_COPY
    if path.exists() or copy.exists():
        said = _either(path, copy)
        raw = _with_sum(said)
        for each in (path, copy):
            with suppress(OSError):  # a disk that takes nothing: what is known will do
                if not _has(each, raw):
                    write_whole(disk, each, raw)
        return Identity(uuid.UUID(said["volume"]), bytes.fromhex(said["key"]))
    foreign = [entry.name for entry in directory.iterdir() if entry.name not in OURS]
    if foreign:
        names = ", ".join(sorted(foreign)[:3])
        raise FormatUnknown(f"{directory} is not empty and not a cache ({names}): give an empty directory")
    made = Identity(uuid.uuid4(), secrets.token_bytes(16))
    said = {
        "format": FORMAT,
        "volume": str(made.volume),
        "key": made.secret.hex(),
        "created": int(time.time()),
    }
    for each in (copy, path):
        write_whole(disk, each, _with_sum(said))
    return made


def _either(path: Path, copy: Path) -> dict[str, Any]:
    """What the one says that is good. OSError: the disk gives neither. FormatUnknown: neither is one."""
    failed: OSError | None = None
    found: dict[str, Any] | None = None
    for each in (path, copy):
        try:
            said = _read_identity(each)
        except OSError as error:
            failed = error
            continue
        if said is not None and "sum" in said:
            if each is copy:
                log.warning("%s is damaged or gone: taken from its copy", path)
            return said
        found = found or said  # an earlier program wrote no sum, and no copy
    if found is None:
        raise failed or FormatUnknown(f"{path} is not a volume description; empty the directory to start anew")
    return found


def _has(path: Path, raw: bytes) -> bool:
    try:
        return path.read_bytes() == raw
    except OSError:  # it is not there, or the disk does not give it: what is written anew lies elsewhere
        return False


def _read_identity(path: Path) -> dict[str, Any] | None:
    """None: it is damaged, or not there. FormatUnknown: it is of another format."""
    try:
        said = json.loads(path.read_bytes())
        if not has_its_sum(said):
            return None
        if said["format"] != FORMAT:
            raise FormatUnknown(
                f"{path}: format {said['format']}, this program reads {FORMAT}; use another directory or empty it"
            )
        known = {"volume": str(uuid.UUID(said["volume"])), "key": bytes.fromhex(said["key"]).hex()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return {**said, **known}


def has_its_sum(said: dict[str, Any]) -> bool:
    """Is a description as it was written? One of an earlier program has no sum."""
    return said.get("sum") in (None, _sum(said))


def _sum(said: dict[str, Any]) -> int:
    """Of all that a description says but for this."""
    text = json.dumps({key: value for key, value in said.items() if key != "sum"}, sort_keys=True)
    return zlib.crc32(text.encode())


def _with_sum(said: dict[str, Any]) -> bytes:
    return json.dumps({**said, "sum": _sum(said)}).encode()


# What an empty directory may hold: a file system's own, and what a start that failed half-way left.
OURS: Final = frozenset(
    {
        "edge.lock",
        "server.lock",
        "lost+found",
        "volume.json.new",
        "volume.copy.json",
        "volume.copy.json.new",
        "control",
        "owed.json",
        "owed.json.new",
        "warm",
        "disk-try",
    }
)


class Counter:
    """The durable counter of packs and generations: two slots written in turn, the newer valid one counts."""

    def __init__(self, disk: Disk, path: Path, *, readonly: bool = False) -> None:
        self._disk = disk
        new = not path.exists()
        self._fd = disk.open(path, os.O_RDONLY if readonly else os.O_RDWR | os.O_CREAT)
        if new:
            disk.sync_directory(path.parent)
        self._turn = 0
        self.next_pack = 1
        self.generation_limit = 1
        for slot in (0, 1):
            found = self._read(slot)
            if found is not None and found >= (self.next_pack, self.generation_limit):
                self.next_pack, self.generation_limit = found
                self._turn = 1 - slot

    def _read(self, slot: int) -> tuple[int, int] | None:
        raw = self._disk.pread(self._fd, _COUNTER.size + 4, slot * _SLOT)
        if len(raw) < _COUNTER.size + 4 or raw[:8] != _COUNTER_MAGIC:
            return None
        (crc,) = struct.unpack_from("<I", raw, _COUNTER.size)
        if zlib.crc32(raw[: _COUNTER.size]) != crc:
            return None
        _, version, _, _, next_pack, limit = _COUNTER.unpack_from(raw)
        if version != FORMAT:
            raise FormatUnknown(f"counter has version {version}, this program reads {FORMAT}")
        return next_pack, limit

    def take_pack(self) -> int:
        """A pack number that was never used; durable before it is returned."""
        number = self.next_pack
        self._write(number + 1, self.generation_limit)
        return number

    def raise_limit(self) -> int:
        """Allow another step of generations; returns the first of them."""
        first = self.generation_limit
        self._write(self.next_pack, first + GENERATION_STEP)
        return first

    def at_least(self, next_pack: int, generation: int) -> None:
        """Files on disk show that these numbers have been used (a lost counter)."""
        if next_pack > self.next_pack or generation >= self.generation_limit:
            self._write(max(next_pack, self.next_pack), max(generation + 1, self.generation_limit))

    def _write(self, next_pack: int, limit: int) -> None:
        raw = _COUNTER.pack(_COUNTER_MAGIC, FORMAT, 0, 0, next_pack, limit)
        self._disk.pwrite(self._fd, raw + struct.pack("<I", zlib.crc32(raw)), self._turn * _SLOT)
        self._disk.fdatasync(self._fd)
        self._turn = 1 - self._turn
        self.next_pack, self.generation_limit = next_pack, limit

    def close(self) -> None:
        self._disk.close(self._fd)


def check_size(size_bytes: int) -> None:
    """A volume must hold a few packs."""
    if size_bytes < 16 << 20:
        raise StoreError(f"a volume of {size_bytes} bytes is too small: at least 16 MiB")
