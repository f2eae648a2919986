"""Where the indexes of a volume lie: a directory each, named by its epoch; one is the volume's."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge.store import files
from edge.store.bulk.builder import PATTERN as BUILT
from edge.store.bus import Bus
from edge.store.index import Index
from edge.store.settings import VolumeSettings
from edge.store.tables import DATA
from edge.words import GIB


def _nothing() -> None:
    pass


def _of_file(path: Path, ask: Callable[[int], bool]) -> bool:
    """What `files.remember` or `files.is_remembered` says of a file that is not open."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return ask(fd)
    finally:
        os.close(fd)


class Indexes:
    """On the keeper's side. `lost` is told why one that is open is of no more use."""

    def __init__(self, directory: Path, settings: VolumeSettings, bus: Bus | None, lost: Callable[[str], None]) -> None:
        self.base = settings.index_dir or directory
        self.count = settings.index_dir is None  # do they lie where they count towards the volume's size?
        # Addresses only, the file is as long as what is in it. The index counts towards the volume's size, so this is
        # never reached unless it takes a quarter of that: 1.3 KB an object, when each has no more than a page of a
        # pack. Of the 128 TiB that a process has, four volumes of 30 TB take 30, and for a moment twice that.
        self.map_bytes = settings.index_map_bytes or min(max(GIB, settings.size_bytes // 4), 16 * 1024 * GIB)
        self.epoch = 0  # of the volume's
        self.are_remembered = True  # all that were opened (`files.remember`)
        self._bus, self._lost = bus, lost

    def __repr__(self) -> str:
        return f"<Indexes {self.base} epoch={self.epoch}>"

    def path(self, epoch: int) -> Path:
        return self.base / f"index-{epoch}"

    def is_there(self) -> bool:
        return (self.path(self.epoch) / DATA).exists()

    def is_remembered(self) -> bool:
        """Has it been in memory since the run that opened it?"""
        return _of_file(self.path(self.epoch) / DATA, files.is_remembered)

    def open(self) -> Index:
        """The one of this epoch; made if it is not there."""
        return self._mapped(self.path(self.epoch))

    def begin_next(self) -> Index:
        """An empty one, under an epoch of its own; all others are removed."""
        self.epoch = max((self.epoch, *self._epochs())) + 1
        self.remove()
        return self.open()

    def place(self, built: Path) -> Index:
        """Open what a builder has built, where the next one is to lie."""
        path = self.path(self.epoch + 1)
        built.rename(path)
        return self._mapped(path)

    def forget(self) -> None:
        """Its pages are no longer mapped."""
        if self._bus is not None:
            self._bus.forget(self.path(self.epoch))

    def remove(self, but: Path | None = None) -> None:
        """What earlier runs, and builders, have left."""
        for pattern in ("index-*", BUILT):
            for old in self.base.glob(pattern):
                if old != but:
                    shutil.rmtree(old, ignore_errors=True)

    def _epochs(self) -> list[int]:
        """Of those that are there."""
        names = [path.name.removeprefix("index-") for path in self.base.glob("index-*")]
        return [int(name) for name in names if name.isdigit()]

    def _mapped(self, path: Path) -> Index:
        bus = self._bus
        unreadable = partial(self._lost, "a page of the index cannot be read")
        mapped = partial(bus.watch, path, unreadable) if bus is not None else _nothing
        index = Index(path, self.map_bytes, mapped=mapped)
        index.lost = self._lost
        self.are_remembered = _of_file(path / DATA, files.remember) and self.are_remembered
        if bus is not None:
            index.closing = partial(bus.forget, path)
        return index
