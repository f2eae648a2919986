"""What is known of the path to an upstream: how far it is, what one connection brings, and when an answer is late."""

import socket
import sys
from collections import deque
from typing import Final

from edge.origin.load import Load
from edge.origin.window import FRESH, Window

CONNECTS: Final = 96  # of which the fastest counts as the round trip: all that are opened in a busy moment are slow
WEIGHT: Final = 0.05  # of one piece among those before it: a run has dozens
WAIT_WEIGHT: Final = 0.05  # the same for the wait for its first byte: pieces of one run wait for each other
DEVIATIONS: Final = 4.0  # beyond the mean that are late (as in RFC 6298)
LATE_LEAST: Final = 1.2  # round trips without a byte: what a lost packet holds back comes after one, and a little
LATE_MOST: Final = 3.0  # where many time out, what is late must not be measured by them
LATE_FLOOR: Final = 0.05  # seconds: what is faster is not worth a second request
LATE_FIRST: Final = 2.0  # while nobody knows
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
        self._rtt: float | None = None
        self.window = float(FRESH)  # what a connection brings in a round trip, on the average
        self.load = Load()
        self._wait = self._deviation = 0.0  # from asking to the first byte

    def __repr__(self) -> str:
        return f"<PathStatistics rtt={self.rtt} window={self.window:.0f} late={self.late:.3f}>"

    @property
    def rtt(self) -> float | None:
        """The round trip, as the fastest of the last TCP handshakes has shown it; None before the first."""
        return self._rtt

    @property
    def far(self) -> bool:
        """Is one connection's congestion window, rather than the path, what bounds a transfer?"""
        return self._rtt is not None and self._rtt >= self._far

    @property
    def late(self) -> float:
        """How long an answer under way may bring nothing before it is late: longer than others wait for first bytes."""
        rtt = self.rtt or 0.0
        late = LATE_FIRST * rtt if not self._wait else self._wait + DEVIATIONS * self._deviation
        return max(LATE_FLOOR, min(max(LATE_LEAST * rtt, late), LATE_MOST * rtt))

    def connected(self, seconds: float) -> None:
        """A TCP handshake took so long."""
        self._connects.append(seconds)
        self._rtt = min(self._connects)

    def waited(self, seconds: float, now: float) -> None:
        """A piece's first byte came so long after it had been asked for."""
        rtt = self.rtt or seconds
        seconds = min(seconds, LATE_MOST * rtt)
        self.load.waited(self._wait, now, rtt)
        self.load.pace.waited(seconds, now, rtt)
        if not self._wait:
            self._wait, self._deviation = seconds, seconds / 4
            return
        seconds = min(seconds, self.late)  # one that waited for a lost packet says nothing of how long others do
        self._deviation += WAIT_WEIGHT * (abs(seconds - self._wait) - self._deviation)
        self._wait += WAIT_WEIGHT * (seconds - self._wait)

    def came(self, window: Window, count: int, now: float) -> None:
        """So many bytes of a piece have come on a connection with this window."""
        rtt = self.rtt or 0.0
        window.came(count, now, rtt)
        self.load.came(count, now, rtt)

    def brought(self, window: Window) -> None:
        """A piece is complete."""
        window.end()
        self.window += WEIGHT * (window.size - self.window)
