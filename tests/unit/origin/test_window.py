"""What a connection brings in a round trip, seen from the end that receives."""

from edge.origin.window import FRESH, GROWTH, SHRINK, WIDEST, Window
from edge.words import KIB

RTT = 0.2


def bring(window: Window, *bursts: int, rtt: float = RTT) -> int:
    """One answer whose bursts come a round trip apart, each in two chunks; the window afterwards."""
    window.begin()
    for number, burst in enumerate(bursts):
        at = 10.0 + number * rtt
        window.came(burst // 2, at, rtt)
        window.came(burst - burst // 2, at + 0.01 * rtt, rtt)
    window.end()
    return window.size


def test_a_new_connection_brings_ten_packets() -> None:
    assert Window().size == FRESH


def test_what_came_at_once_may_be_less_than_it_could_bring() -> None:
    window = Window()
    assert bring(window, 30 * KIB) == int(30 * KIB * GROWTH)
    assert bring(window, 2 * KIB) == int(30 * KIB * GROWTH)  # so little says nothing


def test_the_first_burst_of_several_is_the_window() -> None:
    window = Window()
    bring(window, 60 * KIB)
    assert bring(window, 60 * KIB, 20 * KIB) == 60 * KIB


def test_a_slow_start_shows_the_window_that_it_has_reached() -> None:
    assert bring(Window(), 14 * KIB, 28 * KIB, 56 * KIB, 10 * KIB) == 56 * KIB


def test_what_a_lost_packet_had_held_back_is_no_window() -> None:
    window = Window()
    bring(window, 40 * KIB)
    before = window.size
    assert bring(window, 3 * KIB, 70 * KIB) == int(before * SHRINK)


def test_a_connection_that_keeps_losing_is_asked_for_less_each_time_and_never_for_less_than_a_new_one() -> None:
    window = Window()
    bring(window, 200 * KIB)
    sizes = [bring(window, 5 * KIB, 5 * KIB, 5 * KIB) for _ in range(20)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == FRESH


def test_a_stream_without_pauses_is_cut_where_most_of_a_round_trip_has_passed() -> None:
    window = Window()
    window.begin()
    for number in range(100):  # a sender that paces: 1 KiB each hundredth of a round trip
        window.came(KIB, 10.0 + number * RTT / 100, RTT)
    window.end()
    assert 60 * KIB < window.size < 90 * KIB


def test_no_window_is_wider_than_the_longest_piece() -> None:
    window = Window()
    for _ in range(10):
        bring(window, WIDEST)
    assert window.size == WIDEST


def test_an_answer_without_a_body_says_nothing() -> None:
    window = Window()
    window.begin()
    window.end()
    assert window.size == FRESH
