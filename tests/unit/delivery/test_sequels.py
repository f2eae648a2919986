"""Who reads range after range gets the next ones before asking; who jumps about does not."""

import itertools

from edge.delivery.sequels import FIRST, Sequels
from edge.words import MIB

FILM = b"f" * 16
TOTAL = 1000 * MIB
MOST = 32 * MIB


def test_the_first_range_says_nothing_and_the_second_one_begins_it() -> None:
    sequels = Sequels(MOST)
    assert sequels.next(FILM, 0, MIB, TOTAL) is None
    assert sequels.next(FILM, MIB, 2 * MIB, TOTAL) == (2 * MIB, 2 * MIB + FIRST)


def test_a_reader_in_order_is_read_ahead_for_without_holes_or_repetition() -> None:
    sequels = Sequels(MOST)
    asked: list[tuple[int, int]] = []
    furthest = 0
    for start in range(0, 200 * MIB, MIB):
        stretch = sequels.next(FILM, start, start + MIB, TOTAL)
        if stretch is not None:
            asked.append(stretch)
            furthest = max(furthest, stretch[1] - start - MIB)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(asked))
    assert furthest == MOST
    assert len(asked) < 30


def test_who_seeks_begins_anew() -> None:
    sequels = Sequels(MOST)
    for start in range(0, 10 * MIB, MIB):
        sequels.next(FILM, start, start + MIB, TOTAL)
    assert sequels.next(FILM, 500 * MIB, 501 * MIB, TOTAL) is None
    assert sequels.next(FILM, 501 * MIB, 502 * MIB, TOTAL) == (502 * MIB, 502 * MIB + FIRST)


def test_two_who_watch_the_same_film_do_not_disturb_each_other() -> None:
    sequels = Sequels(MOST)
    found = []
    for step in range(4):
        for begin in (0, 300 * MIB):
            start = begin + step * MIB
            found.append(sequels.next(FILM, start, start + MIB, TOTAL))
    assert [one is not None for one in found[:4]] == [False, False, True, True]


def test_nothing_is_read_beyond_the_end() -> None:
    sequels = Sequels(MOST)
    total = 10 * MIB
    found = [sequels.next(FILM, start, start + MIB, total) for start in range(0, total, MIB)]
    assert max(stretch[1] for stretch in found if stretch is not None) == total
    assert found[-1] is None


def test_an_open_end_is_no_reason_to_read_on() -> None:
    sequels = Sequels(MOST)
    sequels.next(FILM, 0, MIB, TOTAL)
    assert sequels.next(FILM, MIB, TOTAL, TOTAL) is None


def test_it_can_be_switched_off() -> None:
    sequels = Sequels(0)
    sequels.next(FILM, 0, MIB, TOTAL)
    assert sequels.next(FILM, MIB, 2 * MIB, TOTAL) is None
