"""What a keeper cannot read of a pack leaves nothing in memory that a worker would take for good."""

import os
from pathlib import Path

import pytest

from edge.store.disk import Disk
from edge.store.residency import PAGE, Residency


class Failing(Disk):
    """Brings pages into memory, and fails."""

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        super().pread(fd, length, offset)
        raise OSError(5, "Input/output error")


def test_a_read_of_a_pack_that_fails_is_forgotten_to_the_last_page_and_what_lies_beside_it_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "1.pack"
    path.write_bytes(os.urandom(10 * PAGE))
    disk, residency = Failing(), Residency()
    fd = disk.open(path, os.O_RDONLY)
    os.fsync(fd)
    disk.forget(fd)
    disk.read_no_further(fd)
    for page in range(10):  # as reads bring them; what was written may lie in larger pieces, which stay or go whole
        os.pread(fd, PAGE, page * PAGE)
    assert residency.cached(fd, 0, 10 * PAGE) == 10
    with pytest.raises(OSError, match="Input"):
        disk.pread_pack(fd, 4 * PAGE - 500, 2 * PAGE + 100)
    assert residency.cached(fd, 0, 2 * PAGE) == 2
    assert residency.cached(fd, 2 * PAGE, 4 * PAGE) == 0
    assert residency.cached(fd, 6 * PAGE, 4 * PAGE) == 4
    disk.close(fd)
