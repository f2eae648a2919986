"""How much may be asked beyond what is needed: retries and hedges are a share of the requests, so that an upstream
that is dying is not hammered, and one that is slow is not made slower."""

from typing import Final

from edge.clock import Clock

RETRIES_PER_REQUEST: Final = 0.2
RETRIES_PER_SECOND: Final = 1.0  # so that a quiet site may try again, too
RETRIES_MOST: Final = 50.0
HEDGES_PER_REQUEST: Final = 0.05
HEDGES_MOST: Final = 5.0


class Budget:
    """Tokens: requests and time bring them, each try beyond the first takes one."""

    __slots__ = ("_clock", "_most", "_per_request", "_per_second", "_seen", "_tokens")

    def __init__(self, clock: Clock, *, per_request: float, per_second: float, most: float, first: float) -> None:
        self._clock = clock
        self._per_request = per_request
        self._per_second = per_second
        self._most = most
        self._tokens = first
        self._seen = clock.monotonic()

    def __repr__(self) -> str:
        return f"<Budget {self._tokens:.1f} of {self._most:.0f}>"

    def earn(self) -> None:
        """A request is sent, whether it is the first or a retry: the share is of all that the upstream gets."""
        self._tokens = min(self._most, self._tokens + self._per_request)

    def take(self) -> bool:
        """May one more be sent? If so, it is counted."""
        now = self._clock.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._seen) * self._per_second)
        self._seen = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def retry_budget(clock: Clock) -> Budget:
    """Full at first: a start against an upstream that comes up at the same time is nothing unusual."""
    return Budget(
        clock,
        per_request=RETRIES_PER_REQUEST,
        per_second=RETRIES_PER_SECOND,
        most=RETRIES_MOST,
        first=RETRIES_MOST,
    )


def hedge_budget(clock: Clock) -> Budget:
    return Budget(clock, per_request=HEDGES_PER_REQUEST, per_second=0.0, most=HEDGES_MOST, first=0.0)
