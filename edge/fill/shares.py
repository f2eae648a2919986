"""Pure: how much of a stretch each connection is asked for, so that all have brought theirs at about the same time."""

from math import ceil
from typing import Final

from edge.words import KIB

LEAST: Final = 16 * KIB  # what is less is not worth a request
MOST: Final = 256 * KIB  # one piece that lags must not hold up for long what comes behind it
HEAD: Final = 1448  # bytes of a window that are no body; one byte too many costs a round trip, so a whole packet
AT_ONCE: Final = 2.0  # round trips of work that is shared out at once; of more, a half: who is fast gets more later


def round_trips(length: int, connections: int, window: float) -> float:
    """How many it takes for a stretch over so many connections with such windows."""
    return (length + connections * HEAD) / (connections * window)


def windows(round_trips: float) -> float:
    """How many windows of a connection to ask it for, when all together need so many round trips."""
    return max(1.0, round_trips if round_trips <= AT_ONCE else max(AT_ONCE, round_trips / 2))


def connections(length: int, window: float) -> int:
    """How many with such windows bring a stretch at once."""
    return ceil(length / (AT_ONCE * window))


def piece(window: float, windows: float, left: int) -> int:
    """Bytes of the next piece for a connection with this window, of what is left."""
    size = min(max(int(window * windows) - HEAD, LEAST), MOST)
    return left if left - size < LEAST and left <= MOST + LEAST else min(size, left)
