"""A breaker for each member of an upstream: closed, open, half-open.

    closed     it is asked; after FAILURES in a row it opens
    open       others are asked before it; after a while, longer each time, it is half-open
    half-open  one request may try it: an answer closes the breaker, a failure opens it again

Bodies have a say of their own (`bodies`): after BROKEN ones in a row it opens, and a head alone does not close it.

Where a member is probed, probes have a say of their own: after UNWELL failed ones in a row it is open, whatever its
answers to players, until a probe succeeds.

It orders members and refuses nobody: where all are open, the first of them is asked all the same (the budget of
retries keeps that within bounds), so that an upstream that is back serves at once. After it has closed, a member's
share grows over a while: it may have lost its cache.
"""

from enum import StrEnum
from typing import Final

from edge.clock import Clock
from edge.origin.bodies import Bodies

FAILURES: Final = 5
UNWELL: Final = 2  # failed probes in a row: one may be lost
OPEN_FIRST: Final = 1.0  # seconds
OPEN_MOST: Final = 16.0
TRIAL_SECONDS: Final = 10.0  # a trial that has not ended by then is given up: another may try
START_SECONDS: Final = 30.0  # until a member that was away has its whole share again
START_SHARE: Final = 0.1


class State(StrEnum):
    """See the module's text."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Told of each answer and failure of one member. Times are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._open_for = OPEN_FIRST
        self._trial_at: float | None = None
        self._closed_at: float | None = None
        self._bad_probes = 0
        self._bodies = Bodies(clock)

    def __repr__(self) -> str:
        return f"<Breaker {self.state.value} failures={self._failures}>"

    @property
    def state(self) -> State:
        if self._bad_probes >= UNWELL:
            return State.OPEN
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._clock.monotonic() < self._open_until else State.HALF_OPEN

    @property
    def share(self) -> float:
        """Of its weight: less than 1 for a while after it was away."""
        if self._closed_at is None:
            return 1.0
        return min(1.0, max(START_SHARE, (self._clock.monotonic() - self._closed_at) / START_SECONDS))

    def take_trial(self) -> bool:
        """Half-open: may this request try it? One at a time."""
        now = self._clock.monotonic()
        if self._trial_at is not None and now - self._trial_at < TRIAL_SECONDS:
            return False
        self._trial_at = now
        return True

    def probed(self, *, well: bool) -> None:
        """A probe has ended."""
        if not well:
            self._bad_probes += 1
            return
        unwell, self._bad_probes = self._bad_probes >= UNWELL, 0
        if unwell:
            self._closed_at = self._clock.monotonic()
        if unwell or self._open_until is not None:
            self.succeeded()

    def succeeded(self) -> None:
        """It has answered: with a head, which says nothing where bodies break."""
        if self._bodies.bad:
            return
        if self._open_until is not None:
            self._closed_at = self._clock.monotonic()
        self._failures, self._open_until, self._trial_at, self._open_for = 0, None, None, OPEN_FIRST

    def failed(self) -> None:
        """No connection, no answer in time, or one that says that it cannot serve."""
        self._failures += 1
        state = self.state
        if state is State.HALF_OPEN:
            self._open_for = min(2 * self._open_for, OPEN_MOST)
        if state is State.HALF_OPEN or (state is State.CLOSED and self._failures >= FAILURES):
            self._open_until = self._clock.monotonic() + self._open_for
            self._trial_at = None

    # -- bodies ----------------------------------------------------------------------------------

    def body_broke(self, size: int) -> None:
        """An answer's body has stalled, or was cut off after so many bytes."""
        if self._bodies.broke(size):
            self._failures = max(self._failures, FAILURES - 1)
            self.failed()

    def body_came(self, size: int) -> None:
        """An answer's body is whole."""
        if self._bodies.came(size):
            self.succeeded()
