"""A read may bring less than was asked for: the rest is asked for, too."""

import os
from pathlib import Path

import pytest

from edge.reads import read_at


@pytest.fixture
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call brings 7 bytes at most."""
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: whole(fd, min(count, 7), offset))


@pytest.mark.usefixtures("short_reads")
def test_short_reads_are_gone_on_with_until_all_is_there_or_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        assert read_at(file.fileno(), 50, 10) == bytes(range(10, 60))
        assert read_at(file.fileno(), 50, 80) == bytes(range(80, 100))
        assert read_at(file.fileno(), 50, 100) == b""
