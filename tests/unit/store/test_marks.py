"""The mark of trust is written by one at a time."""

import errno
import threading
from pathlib import Path

import pytest

from edge.store.disk import Disk
from edge.store.marks import MARK, CleanMark, Marks, read_mark
from tests.support.volumes import FailingDisk

OWED = CleanMark("boot", 1, 1, clean=False)
ADOPTED = CleanMark("boot", 2, 1, clean=False)


class Watched(Disk):
    """Notes when a draft is begun and when it has become the mark; the first one gives others time to begin theirs."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._second = threading.Event()

    def open(self, path: Path, flags: int, mode: int = 0o640) -> int:
        self.done.append("begun")
        if len(self.done) > 1:
            self._second.set()
        return super().open(path, flags, mode)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        self._second.wait(0.2)
        super().pwrite(fd, data, offset)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.done.append("there")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_mark_that_is_owed_waits_for_the_one_of_an_index_that_was_adopted(tmp_path: Path, number: int) -> None:
    """Both have one draft: a kill in between had left a mark that says nothing, and an index not trusted for it."""
    marks = Marks(FailingDisk(1, number=number), tmp_path)
    marks.begin(OWED)
    assert read_mark(tmp_path / MARK) is None
    marks._disk = disk = Watched()
    marks.write_beside(lambda: ADOPTED)
    marks.pay(lambda: ADOPTED)
    marks.wait()
    assert disk.done == ["begun", "there"] * 2
    assert read_mark(tmp_path / MARK) == ADOPTED
