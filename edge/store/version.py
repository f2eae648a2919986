"""How often an index was written: a number that workers read instead of the index, as long as it stays the same.

A look-up in LMDB costs 2.5 us, reading this number a tenth of a microsecond. It is counted up after each commit and
before anybody is told of it; a keeper that is killed between the two leaves it to its successor's hello. When a keeper
puts another index in the place of the first it says so here: a hello would come too late for a purge that is done by
then in the new one only.
"""

import mmap
import os
from typing import Final

CELLS: Final = 512
EPOCH_SHIFT: Final = 48  # below it the number of commits, above it the epoch's mark
_MARKS: Final = (1 << 16) - 1
_COUNT: Final = (1 << EPOCH_SHIFT) - 1


def epoch_mark(epoch: int) -> int:
    """What stands for an epoch in a cell; never 0, which means: the one that the hello names."""
    return epoch % _MARKS + 1


def marked_epoch(mark: int, after: int) -> int:
    """The first epoch after that one with a mark."""
    return after + 1 + (mark - epoch_mark(after + 1)) % _MARKS


VERSIONS_BYTES: Final = CELLS * 8


class Versions:
    """One cell for each volume, counted by its keeper only. `at`: where they begin in the file."""

    def __init__(self, fd: int = -1, at: int = 0) -> None:
        self.cells = memoryview(mmap.mmap(fd, VERSIONS_BYTES, offset=at)).cast("Q")  # fd -1: for this process alone

    def count_up(self, cell: int) -> None:
        self.cells[cell] += 1

    def begin(self, cell: int) -> None:
        """A keeper begins: its hello says which index is read."""
        self.cells[cell] = (self.cells[cell] + 1) & _COUNT

    def move(self, cell: int, epoch: int) -> None:
        """From now on the index of that epoch is to be read: nothing is written into the one before."""
        self.cells[cell] = epoch_mark(epoch) << EPOCH_SHIFT | (self.cells[cell] + 1) & _COUNT

    def __repr__(self) -> str:
        return f"<Versions {os.getpid()} {[n for n in self.cells if n]}>"
