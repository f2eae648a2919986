"""Shared memory that others have filled stops no start, and no volume is lost for it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.test_bad_disks import fill_up
from tests.support.crashdisk import may_mount, small_file_system

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from edge.clock import FakeClock
from edge.store.volume import Volume
from tests.support.volumes import name, prove, put, settings
directory, shared = map(Path, sys.argv[1:])
made = replace(settings(directory), live_dir=shared)
volume = Volume.open(directory / "v", made, clock=FakeClock(), boot="boot-1")
record = put(volume, "/a", 1, 1000)
record = replace(record, key=b"/live", generation=volume.new_generation())
kept = [volume.put_live(name(volume, f"/{n}"), record, bytes(100_000)) for n in range(40)]
assert prove(volume, "/a") == {0: 1000}
print(Path(volume.hello.live_path).parent == shared.resolve(), sum(kept), flush=True)
volume.close()
"""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    if not may_mount():
        pytest.skip("needs root to mount a file system")
    with small_file_system(tmp_path / "shm", "2m") as where:
        yield where


def live(directory: Path, shared: Path) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(directory), str(shared)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_a_keeper_starts_and_keeps_short_lived_answers_on_its_disk(tmp_path: Path, shared: Path) -> None:
    """It had been killed by SIGBUS, and its successor had not believed its index."""
    fill_up(shared)
    assert live(tmp_path, shared) == ["False", "40"]


def test_what_is_left_of_it_is_used_and_the_rest_refused(tmp_path: Path, shared: Path) -> None:
    there, kept = live(tmp_path, shared)
    assert there == "True"
    assert 0 < int(kept) < 40
