"""What is known of the path to an upstream: how far it is, and how much of a body one connection brings well."""

import socket
import sys
from collections import deque
from math import ceil
from typing import Final

from edge.words import KIB

CONNECTS: Final = 16  # of which the fastest counts as the round trip: the others had a loss or a busy moment
GOODPUT_FIRST: Final = 64 * KIB  # bytes a round trip: a connection that has been used a little
PIECE_LEAST: Final = 64 * KIB
PIECE_MOST: Final = 256 * KIB
GRAIN: Final = 16 * KIB
TRIPS: Final = 1.25  # round trips that a piece should take: in one it would show no more than that it was small
WEIGHT: Final = 0.05  # of one piece among those before it: a run has dozens
_RTT_AT: Final = 68  # tcpi_rtt in struct tcp_info (linux/tcp.h), microseconds
_MIN_RTT_AT: Final = 148  # tcpi_min_rtt
_INFO_BYTES: Final = 192


def round_trip(sock: socket.socket) -> float:
    """The round trip of a connection that has just been made, in seconds, as the kernel saw its handshake.

    The time that `connect` took would say as much of a busy machine as of the path.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    at = _MIN_RTT_AT if len(info) >= _MIN_RTT_AT + 4 else _RTT_AT
    return int.from_bytes(info[at : at + 4], sys.byteorder) / 1e6


class PathStatistics:
    """Of one upstream; times in seconds."""

    def __init__(self, far: float) -> None:
        self._far = far
        self._connects: deque[float] = deque(maxlen=CONNECTS)
        self._goodput = float(GOODPUT_FIRST)
        self._took = 0.0

    def __repr__(self) -> str:
        return f"<PathStatistics rtt={self.rtt} goodput={self._goodput:.0f} bytes a round trip>"

    @property
    def rtt(self) -> float | None:
        """The round trip, as the fastest of the last TCP handshakes has shown it; None before the first."""
        return min(self._connects) if self._connects else None

    @property
    def far(self) -> bool:
        """Is one connection's congestion window, rather than the path, what bounds a transfer?"""
        return bool(self._connects) and min(self._connects) >= self._far

    def piece(self, length: int, most: int) -> int:
        """How large the pieces of a stretch should be, if at most so many connections bring it."""
        connections = max(1, min(most, ceil(length / (TRIPS * self._goodput))))
        size = ceil(length / connections / GRAIN) * GRAIN
        return min(max(size, PIECE_LEAST), PIECE_MOST)

    @property
    def stall(self) -> float:
        """How long a piece may bring nothing before it lags."""
        return max(2.0 * (self.rtt or 0.0), 1.2 * self._took)

    @property
    def slow(self) -> float:
        """How long a piece may take in all before it lags."""
        return max(2.5 * (self.rtt or 0.0), 1.3 * self._took)

    def connected(self, seconds: float) -> None:
        """A TCP handshake took so long."""
        self._connects.append(seconds)

    def brought(self, size: int, seconds: float) -> None:
        """A piece of `size` bytes was complete so long after it had been asked for."""
        rtt = self.rtt
        if rtt is None or size < PIECE_LEAST:
            return
        self._took += 2 * WEIGHT * (seconds - self._took) if self._took else seconds
        self._goodput += WEIGHT * (size * rtt / max(seconds, rtt) - self._goodput)
