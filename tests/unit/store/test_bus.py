"""A page of a mapped index that cannot be read: the index is unreadable, the process goes on. Any other ends it.

In processes of their own. A file that is cut off under its mapping raises the same signal as a disk that fails.
"""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.volumes import open_volume, put

LOOK = """
import os, sys
from pathlib import Path
from edge.store.bus import Bus
from edge.store.looking import ReadIndex
bus = Bus()
bus.install()
path = Path(sys.argv[1])
index = ReadIndex(path, 1 << 26, bus)
assert index.raw(b"n" * 16) is None and not index.unreadable
whole = (path / "data.mdb").read_bytes()
os.truncate(path / "data.mdb", 8192)
found = [index.raw(bytes([n]) * 16) for n in range(256)]
assert found == [None] * 256 and index.unreadable
assert index.extent_before(1, 0) is None
(path / "data.mdb").write_bytes(whole)
index.close()
again = ReadIndex(path, 1 << 26, bus)
assert again.raw(b"n" * 16) is None and not again.unreadable
print("went on")
"""
OTHER = """
import mmap, os, sys
from pathlib import Path
from edge.store.bus import Bus
from edge.store.looking import ReadIndex
bus = Bus()
bus.install()
index = ReadIndex(Path(sys.argv[1]), 1 << 26, bus)
with open(sys.argv[1] + "/other", "w+b") as file:
    file.truncate(8192)
    mapped = mmap.mmap(file.fileno(), 8192)
    file.truncate(0)
    print(mapped[5000])
"""


def run(script: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    volume = open_volume(tmp_path)
    for n in range(60):
        put(volume, f"/{n}", 1, 100)
    path = volume.index.path
    volume.close()
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)


def test_an_index_whose_pages_cannot_be_read_finds_nothing_and_is_good_again_when_opened_anew(tmp_path: Path) -> None:
    ended = run(LOOK, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "went on\n"


def test_a_page_that_is_of_no_index_ends_the_process_as_before(tmp_path: Path) -> None:
    ended = run(OTHER, tmp_path)
    assert ended.returncode == -signal.SIGBUS
    assert ended.stdout == ""
