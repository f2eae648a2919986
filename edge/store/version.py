"""How often an index was written: a number that workers read instead of the index, as long as it stays the same.

A look-up in LMDB costs 2.5 us, reading this number a tenth of a microsecond. It is counted up after each commit and
before anybody is told of it; a keeper that is killed between the two leaves it to its successor's hello. When a keeper
puts another index in the place of the first it says so here: a hello would come too late for a purge that is done by
then in the new one only. So would it for purges that could not be noted: those that it names have a number, and a
worker that has not heard of this one finds nothing until it has.
"""

import mmap
import os
from typing import Final

CELLS: Final = 512
EPOCH_SHIFT: Final = 48  # above it the epoch's mark
UNMET_SHIFT: Final = 40  # above it the number of what is unmet, below it that of commits
UNMET_MOST: Final = 0xFF
_LEFT_AT: Final = CELLS // 2  # each volume has two more: how often it was left, and how often by what is in the book
_TAKEN_AT: Final = _LEFT_AT + CELLS // 4
_MARKS: Final = (1 << 16) - 1
_BELOW_EPOCH: Final = (1 << EPOCH_SHIFT) - 1
_COUNT: Final = (1 << UNMET_SHIFT) - 1


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
        """A keeper begins: its hello says which index is read, and nothing is unmet."""
        self.cells[cell] = (self.cells[cell] + 1) & _COUNT

    def move(self, cell: int, epoch: int) -> None:
        """From now on the index of that epoch is to be read: nothing is written into the one before."""
        self.cells[cell] = epoch_mark(epoch) << EPOCH_SHIFT | (self.cells[cell] + 1) & _BELOW_EPOCH

    def hide(self, cell: int, number: int) -> None:
        """From now on the hello with that number says what is not to be seen."""
        epoch = self.cells[cell] >> EPOCH_SHIFT << EPOCH_SHIFT
        self.cells[cell] = epoch | (number & UNMET_MOST) << UNMET_SHIFT | (self.cells[cell] + 1) & _COUNT

    def leave(self, cell: int) -> None:
        """What the volume has may be of no worth: others have its objects from now on. Outlives its keeper.

        Whoever leaves it says so. Of two that do in the same moment one may be all that is counted.
        """
        self.cells[_LEFT_AT + cell] += 1

    def left(self, cell: int) -> int:
        """How often it has been left."""
        return self.cells[_LEFT_AT + cell]

    def left_and_taken(self, cell: int) -> int:
        """How often by what `take_left` has said."""
        return self.cells[_TAKEN_AT + cell]

    def take_left(self, cell: int) -> bool:
        """Has it been left since the last call? Only the supervisor asks; a leave meanwhile is for the next call."""
        left = self.left(cell)
        if left == self.left_and_taken(cell):
            return False
        self.cells[_TAKEN_AT + cell] = left
        return True

    def __repr__(self) -> str:
        return f"<Versions {os.getpid()} {[n for n in self.cells if n]}>"
