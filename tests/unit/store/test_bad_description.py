"""A bad sector under one of the two descriptions of a volume is no reason not to start."""

import errno
import os
from pathlib import Path

import pytest

from edge.store import files
from edge.store.disk import Disk
from edge.store.files import identity


def failing(_path: Path) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("bad", [files.IDENTITY, files.IDENTITY_COPY])
def test_a_description_that_the_disk_does_not_give_is_taken_from_the_other_one_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    made, read, number = identity(Disk(), tmp_path), Path.read_bytes, (tmp_path / bad).stat().st_ino

    def reading(path: Path) -> bytes:
        return failing(path) if path.stat().st_ino == number else read(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    assert identity(Disk(), tmp_path) == made
    assert (tmp_path / bad).stat().st_ino != number
    assert (tmp_path / files.IDENTITY).read_bytes() == (tmp_path / files.IDENTITY_COPY).read_bytes()


def test_two_that_the_disk_does_not_give_are_an_error_of_the_disk_that_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity(Disk(), tmp_path)
    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(OSError, match="Input/output"):
        identity(Disk(), tmp_path)
