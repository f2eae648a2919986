"""Metric cells in shared memory: a directory of series, appended to at first use, and their 8-byte cells.

Each process has a slot file of its own, a memfd that the supervisor made and reads at a scrape: counting takes no
lock and no call, and what a process has counted outlives it. Its successor finds the same cells and goes on.

Layout: magic (8 bytes); the directory [64, DIRECTORY) of entries on a 16-byte grid, each `u16 length, u16 width,
u32 cell, u32 CRC32, text`, where the text is the metric's name and its label values; then the cells, u64 or f64 as
the catalogue says. Rules:
- Of an entry the length is written last: a process that dies before that has written nothing. A reader that sees
  the length before the text (memory order of some machines) sees a wrong sum, and has the entry at the next scrape.
- An entry that is not sound is stepped over by 16 bytes at a time, until one is: damage costs the series it hits.
- A cell is cleared when it is given to a series, never later.
- Cell 0 counts what was refused; the cells up to SINK_END take the increments of refused series, unread (integers
  and floats apart: a negative float read as an integer would overflow at the next increment).
"""

import mmap
import os
import struct
import threading
from collections.abc import Collection, Iterator
from math import isnan, nan
from typing import Final
from zlib import crc32

from edge.observe.catalogue import BY_NAME
from edge.observe.metric import Metric, Type

MAGIC: Final = b"EDGESLT2"
DIRECTORY: Final = 2 << 20
SIZE: Final = 3 << 20  # sparse: a page that nobody touched takes no memory
SERIES_LIMIT: Final = 10_000  # more than that is too much for one node's scrape
TEXT_LIMIT: Final = 1000  # bytes; an entry's name and label values
SEPARATOR: Final = "\x1f"
SINK: Final = 1
SINK_OF_FLOATS: Final = 63
SINK_END: Final = 64  # no histogram is wider
_FIRST: Final = 64
_GRID: Final = 16
_ENTRY: Final = struct.Struct("<HHII")
_SEALED: Final = struct.Struct("<HII")  # an entry without its length
_CELLS: Final = (SIZE - DIRECTORY) // 8

Labels = tuple[str, ...]
Value = int | float | tuple[float, ...]


def create_slot_file(name: str) -> int:
    """A memfd of the right size; whoever inherits it writes or reads. The caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    os.pwrite(fd, MAGIC, 0)
    return fd


def _sum_of(width: int, cell: int, text: bytes) -> int:
    return crc32(text, cell << 16 | width)


def _after(at: int, length: int) -> int:
    """Where the entry behind this one begins."""
    return -(-(at + _ENTRY.size + length) // _GRID) * _GRID


def _entries(view: memoryview, at: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Of each sound entry from `at` on: the position behind it, its text, cell and width."""
    while at + _ENTRY.size <= DIRECTORY:
        length, width, cell, check = _ENTRY.unpack_from(view, at)
        if length == 0:
            return
        text = bytes(view[at + _ENTRY.size : min(at + _ENTRY.size + length, DIRECTORY)])
        if len(text) == length and _sum_of(width, cell, text) == check and SINK_END <= cell <= _CELLS - width:
            at = _after(at, length)
            yield at, text, cell, width
        else:
            at += _GRID


def _known(text: bytes, width: int) -> tuple[Metric, Labels] | None:
    """What an entry is of, if this version's catalogue has it in this shape."""
    name, *labels = text.decode(errors="replace").split(SEPARATOR)
    metric = BY_NAME.get(name)
    if metric is None or metric.width != width or len(metric.labels) != len(labels):
        return None
    return metric, tuple(labels)


class SlotWriter:
    """One process's cells. `counts` and `values` are views of the same memory, as u64 and as f64.

    A series is counted by one thread; series may be added by any.
    """

    def __init__(self, fd: int) -> None:
        self._view = memoryview(mmap.mmap(fd, SIZE))
        self.counts = self._view[DIRECTORY:].cast("Q")
        self.values = self._view[DIRECTORY:].cast("d")
        self._cells: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()
        self._end = _FIRST
        self._next = SINK_END
        if bytes(self._view[: len(MAGIC)]) != MAGIC:
            self._view[:] = bytes(SIZE)
            self._view[: len(MAGIC)] = MAGIC
        self._adopt()

    def __repr__(self) -> str:
        return f"<SlotWriter series={len(self._cells)} refused={self.counts[0]}>"

    def _adopt(self) -> None:
        """Go on where the predecessor ended. What was true of its connections is not true of ours."""
        for end, text, cell, width in _entries(self._view, _FIRST):
            self._end, self._next = end, max(self._next, cell + width)
            known = _known(text, width)
            if known is None:
                continue
            metric, labels = known
            self._cells[(metric.name, *labels)] = cell
            if metric.type is Type.GAUGE and not metric.lasting and not isnan(self.values[cell]):
                self.values[cell] = 0.0

    def cell(self, metric: str, *labels: str) -> int:
        """The first cell of a series, the same for the same labels for ever.

        Never fails: a series that finds no room, or that the catalogue does not know with so many labels, gets
        cells that nobody reads, and is counted.
        """
        found = self._cells.get((metric, *labels))
        return self._append(metric, labels) if found is None else found

    def forget_others(self, metric: str, kept: Collection[Labels]) -> None:
        """Of a gauge: series with other labels are of what is there no more; readers pass over them until set anew."""
        for name, *labels in list(self._cells):
            if name == metric and tuple(labels) not in kept:
                self.values[self._cells[name, *labels]] = nan

    def _append(self, name: str, labels: Labels) -> int:
        metric = BY_NAME.get(name)
        text = SEPARATOR.join((name, *(label.replace(SEPARATOR, " ") for label in labels))).encode(errors="replace")
        with self._lock:  # the access log's thread counts too
            found = self._cells.get((name, *labels))
            if found is not None:
                return found
            if metric is None or len(labels) != len(metric.labels) or not self._has_room(text, metric.width):
                self.counts[0] += 1
                return SINK_OF_FLOATS if metric is not None and metric.real and metric.width == 1 else SINK
            cell = self._next
            self._write(text, cell, metric.width)
            self._next += metric.width
            self._cells[(name, *labels)] = cell
            return cell

    def _has_room(self, text: bytes, width: int) -> bool:
        return (
            len(text) <= TEXT_LIMIT
            and len(self._cells) < SERIES_LIMIT
            and _after(self._end, len(text)) <= DIRECTORY
            and self._next + width <= _CELLS
        )

    def _write(self, text: bytes, cell: int, width: int) -> None:
        at, start = self._end, DIRECTORY + cell * 8
        self._view[start : start + width * 8] = bytes(width * 8)
        self._view[at + _ENTRY.size : at + _ENTRY.size + len(text)] = text
        _SEALED.pack_into(self._view, at + 2, width, cell, _sum_of(width, cell, text))
        struct.pack_into("<H", self._view, at, len(text))
        self._end = _after(at, len(text))


class SlotReader:
    """Another process's cells: iterating gives (metric, label values, value) of each of its series.

    A counter's value is an int, a gauge's (and a counter of seconds') a float, a histogram's a tuple: the count of
    each bucket alone, then the sum.
    """

    def __init__(self, fd: int) -> None:
        self._view = memoryview(mmap.mmap(fd, SIZE, prot=mmap.PROT_READ))
        self._counts = self._view[DIRECTORY:].cast("Q")
        self._values = self._view[DIRECTORY:].cast("d")
        self._series: list[tuple[Metric, Labels, memoryview[int] | memoryview[float], int, int]] = []
        self._end = _FIRST

    def __repr__(self) -> str:
        return f"<SlotReader series={len(self._series)}>"

    def _look(self) -> None:
        """Take note of series that were added since the last scrape."""
        for end, text, cell, width in _entries(self._view, self._end):
            self._end = end
            known = _known(text, width)
            if known is not None:
                metric, labels = known
                real = metric.real and metric.type is not Type.HISTOGRAM
                view = self._values if real else self._counts
                self._series.append((metric, labels, view, cell, cell + width - 1))

    def __iter__(self) -> Iterator[tuple[Metric, Labels, Value]]:
        if bytes(self._view[: len(MAGIC)]) != MAGIC:
            return  # not made by us: its writer will begin it anew
        self._look()
        for metric, labels, view, cell, last in self._series:
            if cell == last:
                value = view[cell]
                if value == value:  # NaN: forgotten
                    yield metric, labels, value
            else:
                yield metric, labels, (*view[cell:last].tolist(), self._values[last])
        yield _REFUSED, (), self._counts[0]


_REFUSED: Final = BY_NAME["edge_metric_series_refused_total"]
