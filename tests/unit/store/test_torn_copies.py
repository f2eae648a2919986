"""A mapped page of a pack that the disk does not give, where memory was just seen to have it: no worker dies of it.

In processes of their own. A file that is cut off under its mapping raises the same signal as a disk that fails.
"""

import signal
import subprocess
import sys
from pathlib import Path

from edge.store.live import LiveTable
from edge.store.packfile import PackFile
from edge.words import KIB
from tests.support.volumes import name, open_volume, put

COPY = """
import os, sys
from edge.clock import FakeClock
from edge.store.bus import Bus
from edge.store.reader import Reader
from edge.store.settings import VolumeHello
bus = Bus()
bus.install()
reader = Reader(VolumeHello.from_json(sys.argv[1]), FakeClock(), None, bus)
record = reader.lookup(bytes.fromhex(sys.argv[2]))
extent = record.first
path = f"{reader.hello.directory}/packs/{extent.pack:010d}.pack"
with open(path, "rb") as file:
    whole = file.read()
good = whole[extent.offset :][:20000]
assert reader.small(record, extent, 0, 20000) == good
os.truncate(path, extent.offset + 8192)
assert reader.small(record, extent, 0, 20000) is None
assert not bus.torn and not bus.copying
with open(path, "r+b") as file:
    file.write(whole)
assert reader.small(record, extent, 0, 20000) == good, "zeros of before"
print("went on", flush=True)
os.truncate(path, 0)
reader.pack_file(extent.pack).copy(extent.offset, 20000)
"""


def test_a_small_body_that_cannot_be_copied_is_none_and_any_other_touch_ends_the_process(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    put(volume, "/a", 1, 100 * KIB)
    volume.close()
    LiveTable(Path(volume.hello.live_path), volume.hello.live_bytes, readonly=False).close()
    command = [sys.executable, "-c", COPY, volume.hello.to_json(), name(volume, "/a").hex()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout == "went on\n", ended.stderr
    assert ended.returncode == -signal.SIGBUS


def test_of_what_the_disk_does_not_give_there_is_no_view(tmp_path: Path) -> None:
    path = tmp_path / "1.pack"
    path.write_bytes(b"x" * 20_000)
    file = PackFile(path, 1)
    view = file.view(5000, 10_000)
    assert view is not None
    assert bytes(view) == b"x" * 10_000
    with path.open("r+b") as other:
        other.truncate(4096)
    assert file.view(5000, 10_000) is None
    view = file.view(1000, 2000)
    assert view is not None
    assert bytes(view) == b"x" * 2000
    file.torn = True
    assert file.view(1000, 2000) is None
