"""A disk that has after a power loss what it was told to keep, and little else: the store's own calls decide.

Beside `crashdisk`, which has a file system and chance in between, this is what POSIX promises, call by call.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.store.disk import Disk

NOTHING: Final = b""


def _nothing_to_do() -> None:
    pass


class VolatileDisk(Disk):
    """Below `root`, the bytes of a file last as of its last fdatasync, names as of their directory's last sync.

    `names_at_once`: names last from the moment they are given or taken away, as they may. `bytes_at_once`: so do the
    bytes of files whose names end so. `lasted` is called whenever what lasts has become another.
    """

    def __init__(self, root: Path, *, names_at_once: bool = False, bytes_at_once: str | None = None) -> None:
        self._root, self._names_at_once, self._bytes_at_once = root, names_at_once, bytes_at_once
        self._files: dict[Path, int] = {}  # as they are now; a name that is given again is another file
        self._names: dict[Path, int] = {}  # that last
        self._bytes: dict[int, bytes] = {}  # that last
        self._open: dict[int, tuple[int, str]] = {}
        self._count = 0  # of files
        self.lasted: Callable[[], None] = _nothing_to_do

    def lasting(self) -> dict[Path, bytes]:
        """What a power loss leaves now, by path below `root`."""
        return {path.relative_to(self._root): self._bytes.get(file, NOTHING) for path, file in self._names.items()}

    def _sync(self, fd: int) -> None:
        file, _ = self._open[fd]
        self._bytes[file] = Path(f"/proc/self/fd/{fd}").read_bytes()
        self.lasted()

    def _named(self) -> None:
        if self._names_at_once:
            self._names = dict(self._files)

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        fd = super().open(path, flags, mode)
        if path not in self._files or flags & os.O_TRUNC:
            self._count += 1
            self._files[path] = self._count
            self._named()
        self._open[fd] = self._files[path], path.name
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        super().pwrite(fd, data, offset)
        if self._bytes_at_once is not None and self._open[fd][1].endswith(self._bytes_at_once):
            self._sync(fd)

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self._sync(fd)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._files.pop(path, None)
        self._named()

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._files[target] = self._files.pop(source)
        self._named()

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        elsewhere = {name: file for name, file in self._names.items() if name.parent != path}
        self._names = elsewhere | {name: file for name, file in self._files.items() if name.parent == path}
        self.lasted()
