"""What is learned of the path to an upstream, and what follows for the size of pieces."""

import socket
import time

from edge.origin.path import LATE_FLOOR, LATE_LEAST, LATE_MOST, PathStatistics, round_trip
from edge.origin.window import FRESH, Window
from edge.words import KIB


def far(seconds: float = 0.2) -> PathStatistics:
    path = PathStatistics(0.02)
    path.connected(seconds)
    return path


def test_nothing_is_far_before_it_has_been_reached() -> None:
    path = PathStatistics(0.02)
    assert path.rtt is None
    assert not path.far


def test_a_slow_handshake_among_fast_ones_makes_nothing_far() -> None:
    path = PathStatistics(0.02)
    for seconds in (0.001, 0.5, 1.0, 3.0):
        path.connected(seconds)
    assert not path.far
    assert path.rtt == 0.001


def test_a_path_that_has_become_long_is_seen() -> None:
    path = PathStatistics(0.02)
    path.connected(0.001)
    for _ in range(100):
        path.connected(0.2)
    assert path.far


def test_a_busy_moment_in_which_many_are_opened_makes_the_path_no_longer() -> None:
    path = far(0.2)
    for _ in range(64):
        path.connected(0.7)
    assert path.rtt == 0.2


def test_an_answer_is_late_after_longer_than_others_wait_for_their_first_bytes() -> None:
    path = far()
    assert path.late >= 2 * 0.2  # nobody knows yet
    for _ in range(200):
        path.waited(0.201, 0.0)
    quiet = path.late
    assert quiet == LATE_LEAST * 0.2
    for number in range(200):
        path.waited(0.2 + 0.1 * (number % 3), 0.0)
    assert path.late > quiet


def test_the_few_that_wait_for_a_lost_packet_do_not_say_what_is_late() -> None:
    path = far()
    for number in range(400):
        path.waited(0.6 if number % 25 == 0 else 0.2 + 0.02 * (number % 3), 0.0)
        if number > 100:
            assert path.late < 0.4


def test_a_path_that_has_become_slower_is_followed() -> None:
    path = far()
    for _ in range(100):
        path.waited(0.2, 0.0)
    for _ in range(100):
        path.waited(0.45, 0.0)
    assert path.late > 0.45


def test_answers_that_time_out_do_not_say_what_is_late() -> None:
    path = far()
    for _ in range(200):
        path.waited(5.0, 0.0)
    assert path.late <= LATE_MOST * 0.2


def test_nothing_is_late_within_a_moment_however_near_it_is() -> None:
    path = far(0.001)
    for _ in range(200):
        path.waited(0.001, 0.0)
    assert path.late == LATE_FLOOR


def test_one_odd_piece_moves_the_average_window_little() -> None:
    path, wide = far(), Window()
    wide.size = 256 * KIB
    path.brought(wide)
    assert FRESH < path.window < 2 * FRESH
    for _ in range(200):
        path.brought(wide)
    assert path.window > 200 * KIB


def test_the_round_trip_is_the_kernels_however_long_the_process_was_kept_from_looking() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
            time.sleep(0.03)
            assert 0 < round_trip(sock) < 0.02
