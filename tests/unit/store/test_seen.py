"""What is sent without a look at its checksums is wholly in memory, as long as it should be, and doubted by nobody."""

import os
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.store.doubts import Doubts
from edge.store.packfile import PackFile
from edge.store.record import Extent
from edge.store.residency import PAGE, Residency
from edge.store.seen import WARM_SECONDS, Seen
from edge.words import MIB

pytestmark = pytest.mark.skipif(not Residency().works, reason="this kernel does not tell what is in memory")

VOLUME, PACK = 7, 1
LENGTH = MIB + 3 * PAGE - 100  # a block and a part of one
EXTENT = Extent(0, LENGTH, PACK, PAGE, ())


@pytest.fixture
def file(tmp_path: Path) -> PackFile:
    path = tmp_path / "1.pack"
    path.write_bytes(os.urandom(PAGE + LENGTH + 100))
    return PackFile(path, PACK)


def seen_with(doubts: Doubts, clock: FakeClock) -> Seen:
    return Seen(clock, Residency(), doubts, VOLUME)


@pytest.mark.parametrize(("at", "length"), [(0, LENGTH), (MIB, LENGTH - MIB), (MIB, 2 * PAGE + 10)])
def test_a_window_whose_last_page_was_cut_off_is_not_warm_though_that_page_is_in_memory(
    tmp_path: Path, file: PackFile, at: int, length: int
) -> None:
    """Its rest reads as zeros."""
    clock = FakeClock()
    seen = seen_with(Doubts(), clock)
    assert seen.is_warm(file, EXTENT, at, length)
    os.truncate(tmp_path / "1.pack", EXTENT.offset + at + length - 1)
    clock.advance(WARM_SECONDS)
    assert Residency().resident(file.fileno(), EXTENT.offset + at, length)
    assert not seen.is_warm(file, EXTENT, at, length)


def test_what_somebody_reads_and_has_not_compared_yet_is_not_warm_nor_is_what_was_found_bad(file: PackFile) -> None:
    doubts, start = Doubts(), EXTENT.offset
    seen = seen_with(doubts, FakeClock())
    with doubts.reading(VOLUME, PACK, start + PAGE, start + 2 * PAGE):
        assert not seen.is_warm(file, EXTENT, 0, LENGTH)
        assert not seen.is_warm(file, EXTENT, 2 * PAGE - 1, 10)
        assert seen.is_warm(file, EXTENT, 2 * PAGE, PAGE)
        assert seen.is_warm(file, EXTENT, 0, PAGE)
    assert seen.is_warm(file, EXTENT, 0, LENGTH)
    with pytest.raises(ValueError, match="bad"), doubts.reading(VOLUME, PACK, start, start + PAGE):
        raise ValueError("bad")
    assert not seen.is_warm(file, EXTENT, 0, LENGTH)
