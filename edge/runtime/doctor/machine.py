"""Facts of the machine, as the kernel tells them."""

import ctypes
import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STA_UNSYNC: Final = 0x40  # linux/timex.h
_TIMEX_BYTES: Final = 256  # struct timex has 208
_STATUS_AT, _ESTERROR_AT = 40, 32  # on 64 bit machines, in bytes
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Mount:
    device: str
    point: str
    kind: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClockState:
    """What the kernel knows of its clock; None where it cannot be asked."""

    synchronised: bool | None
    error_seconds: float


class Machine:
    """`root` is where /proc and /sys are found: a test's own directory, or the real one."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def text(self, path: str) -> str | None:
        """The text of a file below the root, None if it cannot be read."""
        try:
            return (self._root / path).read_text().strip()
        except (OSError, ValueError):
            return None

    def sysctl(self, name: str) -> str | None:
        return self.text("proc/sys/" + name.replace(".", "/"))

    @property
    def release(self) -> tuple[int, int]:
        """The kernel's, (0, 0) if nobody can tell."""
        found = _RELEASE.match(self.text("proc/sys/kernel/osrelease") or "")
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def memory_bytes(self) -> int:
        """What this process may have: the machine's, or its control group's if that is less."""
        found = re.search(r"^MemTotal:\s+(\d+) kB", self.text("proc/meminfo") or "", re.MULTILINE)
        total = int(found[1]) * 1024 if found else 0
        limit = self.text("sys/fs/cgroup/memory.max")
        return min(total, int(limit)) if limit is not None and limit.isdigit() and total else total

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))

    @property
    def descriptors(self) -> int:
        """The hard limit of open files."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return 2**31 if hard == resource.RLIM_INFINITY else hard

    def mount_of(self, path: Path) -> Mount | None:
        """The file system that a path is on, or will be."""
        place = str(path.resolve())
        best: Mount | None = None
        for line in (self.text("proc/self/mounts") or "").splitlines():
            device, point, kind, options, *_ = [*line.split(), "", "", "", ""][:5]
            point = point.replace("\\040", " ")
            inside = place == point or place.startswith(point.rstrip("/") + "/")
            if inside and (best is None or len(point) >= len(best.point)):
                best = Mount(device, point, kind, frozenset(options.split(",")))
        return best

    def rotates(self, path: Path) -> bool | None:
        """Is it on a disk that turns? None where that cannot be told."""
        try:
            number = path.stat().st_dev
        except OSError:
            return None
        base = f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
        for below in ("queue/rotational", "../queue/rotational"):
            if (said := self.text(f"{base}/{below}")) is not None:
                return said == "1"
        return None

    def clock(self) -> ClockState:
        """adjtimex(2), which only reads with modes 0."""
        buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
        if ctypes.sizeof(ctypes.c_void_p) != 8 or ctypes.CDLL(None).adjtimex(buffer) < 0:
            return ClockState(None, 0.0)
        status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little")
        error = int.from_bytes(buffer.raw[_ESTERROR_AT : _ESTERROR_AT + 8], "little") / 1e6
        return ClockState(not status & STA_UNSYNC, error)


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
