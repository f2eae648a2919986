"""How a stretch is shared out over connections."""

import pytest

from edge.fill import shares
from edge.words import KIB, MIB


def shared(length: int, windows: list[int]) -> list[int]:
    """Pieces until nothing is left, each connection in turn."""
    together = shares.round_trips(length, len(windows), sum(windows) / len(windows))
    each, left, sizes = shares.windows(together), length, []
    while left:
        for window in windows:
            if left:
                sizes.append(shares.piece(window, each, left))
                left -= sizes[-1]
    return sizes


@pytest.mark.parametrize("length", [1, 1000, 16 * KIB, 100_000, MIB, 4_000_000, 16 * MIB])
def test_all_of_a_stretch_is_shared_out_in_pieces_worth_a_request(length: int) -> None:
    for windows in ([14 * KIB], [14 * KIB] * 32, [10 * KIB, 60 * KIB, 200 * KIB] * 10):
        sizes = shared(length, windows)
        assert sum(sizes) == length
        assert min(sizes) >= min(length, shares.LEAST)
        assert max(sizes) <= shares.MOST + shares.LEAST


def test_who_brings_twice_as_much_in_a_round_trip_is_asked_for_twice_as_much() -> None:
    little, much = (shares.piece(window * KIB, 1.5, 4 * MIB) + shares.HEAD for window in (30, 60))
    assert much == 2 * little


def test_what_fits_into_the_windows_is_asked_for_at_once() -> None:
    windows = [60 * KIB] * 64
    heads = 64 * shares.HEAD
    assert len(shared(sum(windows) - heads, windows)) == 64
    assert len(shared(int(1.5 * sum(windows)) - heads, windows)) == 64


def test_a_window_holds_the_head_of_an_answer_too() -> None:
    assert shares.piece(60 * KIB, 1.0, 4 * MIB) < 60 * KIB - 1000


def test_of_much_more_than_the_windows_hold_half_is_asked_for_later_of_who_is_fast() -> None:
    assert shares.windows(10.0) == 5.0
    assert len(shared(4 * MIB, [40 * KIB] * 16)) in (2 * 16, 2 * 16 + 1)  # the second heads may leave a little


def test_a_little_is_asked_of_few_connections_and_not_of_all_a_little() -> None:
    assert len(shared(100 * KIB, [60 * KIB] * 64)) == 2


def test_so_many_connections_are_of_use_as_bring_it_at_once() -> None:
    assert shares.connections(4 * MIB, 64 * KIB) == 4 * MIB / 64 / KIB / shares.AT_ONCE
    assert shares.connections(1, 64 * KIB) == 1
