"""What is learned of the path to an upstream, and what follows for the size of pieces."""

import socket
import time

from edge.origin.path import GOODPUT_FIRST, PIECE_LEAST, PIECE_MOST, PathStatistics, round_trip
from edge.words import KIB, MIB


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


def test_pieces_grow_with_what_a_connection_brings_in_a_round_trip() -> None:
    slow, fast = far(), far()
    for _ in range(500):
        slow.brought(64 * KIB, 0.4)
        fast.brought(512 * KIB, 0.2)
    assert slow.piece(4 * MIB, 64) < fast.piece(4 * MIB, 64)


def test_pieces_cover_the_stretch_with_at_most_the_connections_there_are() -> None:
    path = far()
    for length in (64 * KIB, 100_000, MIB, 4 * MIB, 16 * MIB):
        for most in (1, 2, 16, 64):
            size = path.piece(length, most)
            assert PIECE_LEAST <= size <= PIECE_MOST
            assert size == PIECE_MOST or size * most >= length


def test_one_odd_piece_moves_little() -> None:
    path = far()
    before = path.piece(4 * MIB, 64)
    path.brought(GOODPUT_FIRST, 60.0)
    assert path.piece(4 * MIB, 64) <= before * 1.1


def test_a_piece_lags_after_longer_than_the_others_took() -> None:
    path = far()
    at_once = path.stall, path.slow
    assert path.stall >= 2 * 0.2
    assert path.slow >= path.stall
    for _ in range(100):
        path.brought(256 * KIB, 1.0)
    assert path.stall > at_once[0]
    assert path.slow > at_once[1]


def test_the_round_trip_is_the_kernels_however_long_the_process_was_kept_from_looking() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
            time.sleep(0.03)
            assert 0 < round_trip(sock) < 0.02
