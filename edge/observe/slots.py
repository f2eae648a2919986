"""Metric cells in shared memory: a directory of label strings, appended at first use, and 8-byte cells.

Layout of a slot file: magic (8), then the directory [64, DIRECTORY) of entries `u16 length, u32 cell, text`, the
length written last, so that a half-written entry reads as the end; then the cells, u64 or f64 by the metric's type.
A successor of a dead process finds its cells by reading the directory: counters go on.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from typing import Final

MAGIC: Final = b"EDGESLT1"
SIZE: Final = 2 << 20
DIRECTORY: Final = 1 << 20  # the first half holds about 10,000 entries of 100 bytes
_ENTRY: Final = struct.Struct("<HI")
SEPARATOR: Final = "\x1f"


def create_slot_file(name: str) -> int:
    """A memfd of the right size; whoever inherits it writes or reads."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    os.pwrite(fd, MAGIC, 0)
    return fd


def _entries(view: memoryview) -> Iterator[tuple[int, str, int]]:
    """(position behind the entry, text, cell)."""
    at = 64
    while at + _ENTRY.size <= DIRECTORY:
        length, cell = _ENTRY.unpack_from(view, at)
        if length == 0:
            return
        at += _ENTRY.size
        yield at + length, bytes(view[at : at + length]).decode(errors="replace"), cell
        at += length


class SlotWriter:
    """One process's cells. `counts` and `values` are views of the same memory, as u64 and as f64."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)
        self._view = memoryview(self._map)
        self.counts = self._view[DIRECTORY:].cast("Q")
        self.values = self._view[DIRECTORY:].cast("d")
        self._cells: dict[str, int] = {}
        self._end = 64
        for end, text, cell in _entries(self._view):
            self._cells[text] = cell
            self._end = end
        self._next = max(self._cells.values(), default=0) + 1  # cell 0 takes what finds no room

    def cell(self, metric: str, *labels: str) -> int:
        """The index of a cell, the same for the same labels for ever; 0 when the directory is full."""
        text = SEPARATOR.join((metric, *labels))
        found = self._cells.get(text)
        return self._append(text) if found is None else found

    def _append(self, text: str) -> int:
        raw = text.encode()[:4000]
        at = self._end
        if at + _ENTRY.size + len(raw) > DIRECTORY or self._next >= len(self.counts):
            self._cells[text] = 0
            return 0
        cell = self._next
        self._next += 1
        self._view[at + _ENTRY.size : at + _ENTRY.size + len(raw)] = raw
        struct.pack_into("<I", self._view, at + 2, cell)
        struct.pack_into("<H", self._view, at, len(raw))
        self._end = at + _ENTRY.size + len(raw)
        self._cells[text] = cell
        return cell


class SlotReader:
    """Another process's cells."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        self._view = memoryview(self._map)
        self._counts = self._view[DIRECTORY:].cast("Q")
        self._values = self._view[DIRECTORY:].cast("d")

    def cells(self) -> Iterator[tuple[str, tuple[str, ...], int, float]]:
        """(metric, labels, the cell as integer, the cell as float)."""
        for _, text, cell in _entries(self._view):
            metric, *labels = text.split(SEPARATOR)
            yield metric, tuple(labels), self._counts[cell], self._values[cell]
