"""How long a member takes to answer, as it was lately: what `least-latency` goes by.

A moving average of first bytes, in which what is older than REMEMBERED counts for nothing. A member that is not asked
seems faster with each second, so that it is tried now and then: one request, since to be asked ends that at once (it
may wait for a connection first, and others must not follow it meanwhile).

A probe asks for a path that costs its member little, and a check for a byte: what they find says how fast a member is
only where nothing else does, since nobody has asked it yet or since it was silent, and until somebody has.
"""

from typing import Final

from edge.clock import Clock

WEIGHT: Final = 0.2  # of an answer among those before it: ten are enough to show a change
REMEMBERED: Final = 10.0  # seconds
HALVED: Final = 10.0  # seconds unasked after which it is taken for twice as fast


class Latency:
    """Of one member; seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mean: float | None = None
        self._noted_at = self._asked_at = float("-inf")
        self.last = 0.0  # that of the last answer

    def __repr__(self) -> str:
        return f"<Latency {self._mean} last={self.last:.3f}>"

    def expected(self, rtt: float | None) -> float:
        """Of the next answer; where nobody knows, the round trip if that is known, else nothing: it is tried."""
        if self._mean is None:
            return rtt or 0.0
        return float(self._mean * 0.5 ** ((self._clock.monotonic() - self._asked_at) / HALVED))

    def asked(self) -> None:
        """A request is on its way to it."""
        self._asked_at = self._clock.monotonic()

    def checked(self, seconds: float) -> None:
        """The same of a probe or a check, which `asked` was not told of."""
        self.last = seconds
        if self._noted_at == float("-inf"):
            self._mean = seconds

    def answered(self, seconds: float) -> None:
        """A first byte has come so long after it was asked for."""
        now, self.last = self._clock.monotonic(), seconds
        weight = max(WEIGHT, min(1.0, (now - self._noted_at) / REMEMBERED))
        self._mean = seconds if self._mean is None else self._mean + weight * (seconds - self._mean)
        self._noted_at = now

    def silent(self, seconds: float) -> None:
        """Nothing has come for so long; the next answer that does says more than all before it."""
        self._mean = max(self._mean or 0.0, seconds)
        self._noted_at = float("-inf")
