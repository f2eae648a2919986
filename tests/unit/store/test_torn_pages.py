"""Pages of an index that make no index: it is given up and built anew, whoever met them, and nothing wrong is read.

LMDB believes what its pages say: of bits that flip in their headers and pointers it tells as of an error, or dies of
them. So a volume is used in a process of its own, again and again, as its supervisor would have it.
"""

import random
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from edge.store.looking import ReadIndex
from edge.words import KIB, MIB
from tests.support.lmdbpages import pages_of
from tests.support.volumes import open_volume, put

PAGE = 4096
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
HEADER_BYTES = 16
OBJECTS, PART = 160, 5000
MORE = {"size_bytes": 64 * MIB, "pack_size": 256 * KIB, "index_map_bytes": 256 * MIB}
GIVEN_UP, DONE = 7, 0
BROKEN = (-signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGSEGV)

SECONDS = 60
USE = f"""
import faulthandler, os, sys
from pathlib import Path
from edge.errors import StoreError
from edge.clock import FakeClock
from edge.store.bus import Bus
from edge.store.volume import Volume
from edge.words import Damage, Eviction
from tests.support.lmdbpages import pages_of
from tests.support.volumes import name, prove, put, settings
faulthandler.dump_traceback_later({SECONDS - 5})
directory, distrust = Path(sys.argv[1]), sys.argv[2] == "distrust"
bus = Bus()
bus.install()
def end(why):
    print("given up", flush=True)
    os._exit({GIVEN_UP})
volume = Volume.open(
    directory / "v", settings(directory, **{MORE}), clock=FakeClock(),
    boot="boot-1", bus=bus, end=end, distrust=distrust,
)
if volume.tallies.damage[Damage.INDEX_PAGES]:
    print("counted", flush=True)
while volume.rebuild_step():
    pass
for number in range({OBJECTS}):
    prove(volume, f"/{{number}}")
for number in range(0, {OBJECTS}, 3):
    put(volume, f"/{{number}}", 2, 5000)
for number in range(1, {OBJECTS}, 9):
    volume.delete(name(volume, f"/{{number}}"), None, Eviction.INVALIDATED)
for _ in range(3):
    volume.evict_step()
for number in range({OBJECTS}):
    prove(volume, f"/{{number}}")
while volume.packs.oldest(volume.packs.active.row) and volume.evict_step(keep=False):
    pass
put(volume, "/after", 1, 5000)
assert prove(volume, "/after") == {{0: 5000}}
volume.close()
"""


def fill(directory: Path, seed: int = 0) -> None:
    """The same in each run, by its seed: what names are called is chosen at random otherwise, and with it each tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.store.files.secrets.token_bytes", random.Random(seed).randbytes)
        volume = open_volume(directory, **MORE)
    for number in range(OBJECTS):
        for start in range(0, (1 + number % 4) * PART, PART):
            put(volume, f"/{number}", 1, PART, start=start, total=4 * PART)
    volume.close()


def pages(raw: bytes) -> list[tuple[int, int]]:
    """Where each page of a tree begins, and where its pointers end; also of trees that are no more."""
    found = []
    for at in range(2 * PAGE, len(raw), PAGE):
        flags, lower, upper = struct.unpack_from("<HHH", raw, at + 10)
        if flags in (BRANCH, LEAF) and HEADER_BYTES <= lower <= upper <= PAGE:
            found.append((at, at + lower))
    return found


def flip(raw: bytearray, rng: random.Random) -> None:
    start, end = rng.choice(pages(bytes(raw)))
    raw[rng.randrange(start, end)] ^= 1 << rng.randrange(8)


def zeros(raw: bytearray, rng: random.Random) -> None:
    start, _ = rng.choice(pages(bytes(raw)))
    raw[start : start + PAGE] = bytes(PAGE)


def swap(raw: bytearray, rng: random.Random) -> None:
    """One page lies where another should."""
    (one, _), (two, _) = rng.sample(pages(bytes(raw)), 2)
    raw[one : one + PAGE] = raw[two : two + PAGE]


def misplace(raw: bytearray, rng: random.Random) -> None:
    """The same, within a table."""
    _, leaves = pages_of(bytes(raw), rng.choice([b"names", b"extents", b"places", b"keys"]))
    one, two = rng.sample(leaves, 2)
    raw[one : one + PAGE] = raw[two : two + PAGE]


def use(directory: Path) -> tuple[int, int]:
    """Until it goes through: how often it did not, and how often that was counted."""
    broken, rounds, counted = False, 0, 0
    while True:
        command = [sys.executable, "-c", USE, str(directory), "distrust" if broken else "trust"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"{directory} is used for ever: {(late.stderr or b'').decode()}")
        counted += "counted" in ended.stdout
        if ended.returncode == DONE:
            return rounds, counted
        assert ended.returncode in (GIVEN_UP, *BROKEN), ended.stderr
        broken = ended.returncode in BROKEN
        rounds += 1
        assert rounds < 3, ended.stderr


def try_all(tmp_path: Path, seeds: range) -> int:
    """In how many trials the index was given up."""
    fill(tmp_path, seeds.start)
    given_up = 0
    for seed in seeds:
        rng, trial = random.Random(seed), tmp_path / str(seed)
        trial.mkdir()
        shutil.copytree(tmp_path / "v", trial / "v")
        (path,) = (trial / "v").glob("index-*/data.mdb")
        raw = bytearray(path.read_bytes())
        rng.choice([flip, flip, flip, zeros, swap, misplace])(raw, rng)
        path.write_bytes(raw)
        rounds, counted = use(trial)
        assert counted == rounds or (rounds, counted) == (0, 1), f"seed {seed}"  # the latter: a start has met it
        given_up += counted > 0
        shutil.rmtree(trial)
    return given_up


def test_pages_that_make_no_index_cost_the_index_and_nothing_else(tmp_path: Path) -> None:
    assert try_all(tmp_path, range(1, 21)) > 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_four_hundred_indexes_with_a_page_that_makes_none(tmp_path: Path) -> None:
    print(try_all(tmp_path, range(1000, 1400)))


def test_a_worker_that_meets_such_pages_finds_nothing_any_more_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    (path,) = (tmp_path / "v").glob("index-*/data.mdb")
    raw = bytearray(path.read_bytes())
    for start, _ in pages(bytes(raw)):
        raw[start : start + PAGE] = bytes(PAGE)
    index = ReadIndex(path.parent, MORE["index_map_bytes"])
    with path.open("r+b") as file:
        whole = file.read()
        file.seek(0)
        file.write(raw)
    assert index.raw(b"n" * 16) is None
    assert index.damaged
    assert index.unreadable
    index.close()

    path.write_bytes(whole)
    index = ReadIndex(path.parent, MORE["index_map_bytes"])

    def met(*_: object) -> None:
        raise lmdb.CorruptedError("MDB_CORRUPTED: Located page was wrong type")

    monkeypatch.setattr(index, "_extent_before", met)
    assert not index.damaged
    assert index.extent_before(1, 0) is None
    assert index.damaged
    assert index.raw(b"n" * 16) is None
    index.close()
