"""The small files of a volume: its identity, the pack counter, the clean mark, the lock (DESIGN section 9)."""

import json
import os
import secrets
import struct
import time
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import FormatUnknown, StoreError, VolumeBusy
from edge.store.disk import Disk

FORMAT: Final = 1
GENERATION_STEP: Final = 1 << 20  # generations are handed out below a durable limit that moves in such steps
_COUNTER: Final = struct.Struct("<8sHHIQQ")
_COUNTER_MAGIC: Final = b"EDGECNTR"
_SLOT: Final = 4096


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
        disk.ftruncate(fd, 0)
        disk.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        disk.close(fd)
        raise
    return fd


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
    """Read `volume.json`, or make it in an empty directory."""
    path = directory / "volume.json"
    if path.exists():
        try:
            said = json.loads(path.read_text())
            if said["format"] != FORMAT:
                raise FormatUnknown(
                    f"{path}: format {said['format']}, this program reads {FORMAT}; use another directory or empty it"
                )
            return Identity(uuid.UUID(said["volume"]), bytes.fromhex(said["key"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FormatUnknown(f"{path} is not a volume description; empty the directory to start anew") from error
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
    write_whole(disk, path, json.dumps(said).encode())
    return made


# What an empty directory may hold: a file system's own, and what a start that failed half-way left.
OURS: Final = frozenset(
    {
        "edge.lock",
        "server.lock",
        "lost+found",
        "volume.json.new",
        "control",
        "owed.json",
        "owed.json.new",
        "warm",
        "disk-try",
    }
)


class Counter:
    """The durable counter of packs and generations: two slots written in turn, the newer valid one counts."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._fd = disk.open(path, os.O_RDWR | os.O_CREAT)
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


@dataclass(frozen=True, slots=True)
class CleanMark:
    """What the last run left: which index, in which boot, stopped cleanly or not."""

    boot: str
    epoch: int
    next_pack: int  # packs from here on were written since the last clean stop
    clean: bool


def read_mark(path: Path) -> CleanMark | None:
    """None when there is none or it cannot be understood: then the index is not trusted."""
    try:
        said = json.loads(path.read_text())
        return CleanMark(str(said["boot_id"]), int(said["epoch"]), int(said["next_pack"]), bool(said["clean"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_mark(disk: Disk, path: Path, mark: CleanMark) -> None:
    said = {"boot_id": mark.boot, "epoch": mark.epoch, "next_pack": mark.next_pack, "clean": mark.clean}
    write_whole(disk, path, json.dumps(said).encode())


def check_size(size_bytes: int) -> None:
    """A volume must hold a few packs."""
    if size_bytes < 16 << 20:
        raise StoreError(f"a volume of {size_bytes} bytes is too small: at least 16 MiB")
