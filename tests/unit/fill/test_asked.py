"""When a piece is worth asking for again: not when it comes by itself before a second answer could."""

import pytest

from edge.fill.asked import FEW, AskedPiece

TRIP = 0.2
PATIENCE = 0.3
WINDOW = 60_000


def piece(size: int = 100_000) -> AskedPiece:
    return AskedPiece(0, size, 10.0, window=WINDOW, round_trip=TRIP)


def bursts(asked: AskedPiece, *counts: int, at: float = 10.0) -> float:
    """Bytes that come a round trip apart; when the last of them came."""
    for count in counts:
        at += TRIP
        for _ in range(10):
            asked.add(bytes(count // 10), at)
    return at


def test_before_its_first_byte_it_lags_when_it_waits_longer_than_others_do() -> None:
    asked = piece()
    assert not asked.lags(10.0 + PATIENCE - 0.01, PATIENCE)
    assert asked.lags(10.0 + PATIENCE + 0.01, PATIENCE)


def test_one_that_waits_for_its_next_window_does_not_lag() -> None:
    asked = piece()
    at = bursts(asked, WINDOW)
    assert not asked.lags(at + 1.1 * TRIP, PATIENCE)


def test_one_that_waits_for_a_packet_to_be_sent_again_comes_before_a_second_answer_would() -> None:
    asked = piece(WINDOW)
    at = bursts(asked, WINDOW // 2)
    assert not asked.lags(at + 1.2 * TRIP, PATIENCE)


def test_not_even_a_probe_has_brought_the_end() -> None:
    asked = piece(WINDOW)
    at = bursts(asked, WINDOW // 2)
    assert asked.lags(at + 2.5 * TRIP, PATIENCE)


def test_the_last_packet_of_an_only_burst_is_asked_for_as_soon_as_it_is_over() -> None:
    asked = piece(WINDOW)
    at = bursts(asked, WINDOW - FEW + 100)
    assert not asked.lags(at + 0.2 * TRIP, PATIENCE)
    assert asked.lags(at + 0.4 * TRIP, PATIENCE)


def test_a_little_that_was_not_sent_again_in_time_waits_for_a_time_out() -> None:
    asked = piece(WINDOW)
    at = bursts(asked, WINDOW - 10_000)
    assert not asked.lags(at + 1.3 * TRIP, PATIENCE)
    assert asked.lags(at + 1.5 * TRIP, PATIENCE)


def test_one_whose_window_has_shrunk_is_asked_of_others_once_it_should_have_been_here() -> None:
    asked = piece()
    at = bursts(asked, 20_000, 10_000, 10_000, 10_000)
    assert asked.lags(at + 0.1 * TRIP, PATIENCE)
    nearly = piece()
    at = bursts(nearly, 20_000, 10_000, 30_000, 30_000)
    assert not nearly.lags(at + 0.1 * TRIP, PATIENCE)  # one more burst, which is under way


@pytest.mark.parametrize("how", ["whole", "done", "broken"])
def test_one_that_is_over_does_not_lag(how: str) -> None:
    asked = piece()
    if how == "whole":
        asked.add(bytes(100_000), 10.2)
    else:
        asked.finish(None if how == "done" else AssertionError())  # type: ignore[arg-type]
    assert not asked.lags(100.0, PATIENCE)
