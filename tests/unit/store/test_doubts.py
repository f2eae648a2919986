"""What is being read, and what was found bad, is doubted by all processes."""

import os
from collections.abc import Iterator

import pytest

from edge.store.doubts import DOUBTS_BYTES, SLOTS, Doubts


@pytest.fixture
def shared() -> Iterator[int]:
    fd = os.memfd_create("doubts", os.MFD_CLOEXEC)
    os.ftruncate(fd, DOUBTS_BYTES)
    yield fd
    os.close(fd)


def test_what_one_process_reads_is_doubted_by_another_until_it_is_verified(shared: int) -> None:
    one, other = Doubts(shared, 1), Doubts(shared, 2)
    assert not other.any
    with one.reading(7, 3, 1000, 2000):
        assert other.any
        for start, end in ((0, 1001), (1999, 3000), (1200, 1300), (0, 5000)):
            assert other.cover(7, 3, start, end)
        for volume, pack, start, end in ((7, 3, 0, 1000), (7, 3, 2000, 9000), (7, 4, 1000, 2000), (8, 3, 1000, 2000)):
            assert not other.cover(volume, pack, start, end)
    assert not other.any
    assert not other.cover(7, 3, 1000, 2000)


def test_what_was_found_bad_stays_doubted(shared: int) -> None:
    one, other = Doubts(shared, 1), Doubts(shared, 2)
    with pytest.raises(ValueError, match="bad"), one.reading(7, 3, 0, 10):
        raise ValueError("bad")
    assert other.cover(7, 3, 5, 6)


def test_more_bad_stretches_than_there_is_room_for_let_the_oldest_go(shared: int) -> None:
    one = Doubts(shared, 1)
    for number in range(SLOTS + 5):
        with pytest.raises(ValueError, match="bad"), one.reading(0, 1, number, number + 1):
            raise ValueError("bad")
    assert [one.cover(0, 1, number, number + 1) for number in (0, 4, 5, SLOTS + 4)] == [False, False, True, True]


def test_a_process_of_the_same_number_begins_without_doubts(shared: int) -> None:
    killed, other = Doubts(shared, 1), Doubts(shared, 2)
    reading = killed.reading(7, 3, 0, 10)
    reading.__enter__()
    assert other.any
    Doubts(shared, 1)
    assert not other.any
