"""A breaker for each member of an upstream: closed, open, half-open.

    closed     it is asked; after FAILURES in a row it opens
    open       others are asked before it; after a pause, longer each time, it is checked in the background
    half-open  a check was answered: one request at a time tries it; an answer closes the breaker, a failure opens it

A check is a whole request that nobody waits for (`probe`): a connection that was accepted says nothing of a member
that hangs. The pause is short again only when a player's request has been answered rightly, and not for one that is
away again within START_SECONDS of being back; where nobody asks, another check closes the breaker after a while.

Bodies have a say of their own (`bodies`): after BROKEN ones in a row it opens, and a head alone does not close it.

Where a member is probed, probes have a say of their own: after UNWELL failed ones in a row it is open, whatever its
answers to players, until a probe succeeds; and a good one is as good as a check.

It orders members and refuses nobody: where all are open, the first of them is asked all the same (the budget of
retries keeps that within bounds), so that an upstream that is back serves at once. After it has closed, a member's
share grows over a while: it may have lost its cache.
"""

import logging
from enum import StrEnum
from typing import Final, assert_never

from edge.clock import Clock
from edge.origin.bodies import Bodies

FAILURES: Final = 5
UNWELL: Final = 2  # failed probes in a row: one may be lost
OPEN_FIRST: Final = 1.0  # seconds until the first check
OPEN_MOST: Final = 16.0
UNTRIED: Final = 30.0  # seconds half-open: where no player tries it, a second check has to do
TRIAL_MOST: Final = 30.0  # seconds that one request keeps others from trying: a film may be read for hours
START_SECONDS: Final = 30.0  # until a member that was away has its whole share again
START_SHARE: Final = 0.1

log = logging.getLogger("edge.origin")


class State(StrEnum):
    """See the module's text."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Trial:
    """Who holds it may send a request to a member that may be back. It lasts no longer than TRIAL_MOST."""

    __slots__ = ("taken_at",)

    def __init__(self, taken_at: float) -> None:
        self.taken_at = taken_at


class Breaker:
    """Told of each answer and failure of one member, and tells the log of each change. Times are monotonic."""

    def __init__(self, clock: Clock, member: str = "") -> None:
        self._clock = clock
        self._member = member
        self._state = State.CLOSED  # as requests of players and checks have found it
        self._changed_at = float("-inf")
        self._failures = 0
        self._pause = OPEN_FIRST
        self._check_at = 0.0
        self._trial: Trial | None = None
        self._closed_at: float | None = None
        self._bad_probes = 0
        self._bodies = Bodies(clock)

    def __repr__(self) -> str:
        return f"<Breaker {self._member} {self.state.value} failures={self._failures} pause={self._pause:.0f}>"

    @property
    def state(self) -> State:
        return State.OPEN if self._bad_probes >= UNWELL else self._state

    @property
    def serves(self) -> bool:
        """Closed, or half-open and not being tried yet."""
        return self.state is State.CLOSED or (self.state is State.HALF_OPEN and not self._tried)

    @property
    def failing(self) -> bool:
        """Has it failed since its last answer?"""
        return self._failures > 0

    @property
    def share(self) -> float:
        """Of its weight: less than 1 for a while after it was away."""
        if self._closed_at is None:
            return 1.0
        return min(1.0, max(START_SHARE, (self._clock.monotonic() - self._closed_at) / START_SECONDS))

    # -- trials and checks -----------------------------------------------------------------------

    def take_trial(self) -> Trial | None:
        """Half-open: may this request try it? One at a time; it is to be given back whatever becomes of the request."""
        if self.state is not State.HALF_OPEN or self._tried:
            return None
        self._trial = Trial(self._clock.monotonic())
        return self._trial

    @property
    def _tried(self) -> bool:
        return self._trial is not None and self._clock.monotonic() < self._trial.taken_at + TRIAL_MOST

    def give_back(self, trial: Trial | None) -> None:
        """Its request has ended, or was never sent: another may try, if the breaker is still half-open."""
        if trial is self._trial:
            self._trial = None

    @property
    def check_due(self) -> bool:
        """Is the pause over, or has nobody tried it for long?"""
        now = self._clock.monotonic()
        if self._state is State.OPEN:
            return now >= self._check_at
        return self._state is State.HALF_OPEN and not self._tried and now >= self._changed_at + UNTRIED

    def checked(self, *, well: bool, why: str = "a check was answered") -> None:
        """A check has ended, well or for the reason `why` not."""
        if self._state is State.CLOSED:
            return
        if not well:
            if self._state is State.HALF_OPEN:
                self._become(State.OPEN, why)
            self._wait_longer()
        elif self._state is State.OPEN:
            self._become(State.HALF_OPEN, why)
        elif self.check_due:
            self._closed_at, self._failures = self._clock.monotonic(), 0
            self._become(State.CLOSED, f"nobody has tried it for long; {why}")

    def probed(self, *, well: bool, why: str = "a probe was answered") -> None:
        """A probe has ended, well or for the reason `why` not."""
        before = self.state
        if not well:
            self._bad_probes += 1
            self._tell(before, f"{self._bad_probes} probes failed: {why}")
            return
        unwell, self._bad_probes = self._bad_probes >= UNWELL, 0
        if self._state is not State.CLOSED:
            self.checked(well=True, why=why)
        elif unwell:
            self._closed_at = self._clock.monotonic()
            self._tell(before, why)

    # -- players' requests -----------------------------------------------------------------------

    def succeeded(self) -> None:
        """It has answered: with a head, which says nothing where bodies break."""
        if self._bodies.bad:
            if self._state is State.CLOSED:
                self._failures = 0  # a second check has closed it: those in a row open it, as always
            return
        self._failures = 0
        if self.share == 1.0:
            self._pause = OPEN_FIRST
        if self._state is not State.CLOSED:
            self._closed_at = self._clock.monotonic()
            self._become(State.CLOSED, "a request was answered")

    def failed(self, why: str = "", *, begun: float | None = None) -> None:
        """No connection, no answer in time, or one that says that it cannot serve.

        `begun`: when it was asked. What was asked before the last change says nothing of how it is now.
        """
        if begun is not None and begun < self._changed_at:
            return
        self._failures += 1
        if self._state is State.HALF_OPEN:
            self._become(State.OPEN, f"the request that tried it: {why}")
            self._wait_longer()
        elif self._state is State.CLOSED and self._failures >= FAILURES:
            self._become(State.OPEN, f"{self._failures} requests in a row, the last one: {why}")
            if self.share < 1.0:  # what brought it back is no sign of health: the first piece of a body, say
                self._wait_longer()
            else:
                self._check_at = self._clock.monotonic() + self._pause

    def _wait_longer(self) -> None:
        self._pause = min(2 * self._pause, OPEN_MOST)
        self._check_at = self._clock.monotonic() + self._pause

    # -- bodies ----------------------------------------------------------------------------------

    def body_broke(self, size: int, *, begun: float | None = None) -> None:
        """An answer's body has stalled, or was cut off after so many bytes. `begun`: see `failed`."""
        if begun is not None and begun < self._changed_at:
            return
        if self._bodies.broke(size):
            self._failures = max(self._failures, FAILURES - 1)
            self.failed(f"its body broke after {size} bytes", begun=begun)

    def body_came(self, size: int) -> None:
        """An answer's body is whole."""
        if self._bodies.came(size):
            self.succeeded()

    # -- changes ---------------------------------------------------------------------------------

    def _become(self, state: State, why: str) -> None:
        before = self.state
        self._state, self._trial, self._changed_at = state, None, self._clock.monotonic()
        self._tell(before, why)

    def _tell(self, before: State, why: str) -> None:
        now = self.state
        if now is before:
            return
        match now:
            case State.OPEN:
                what = "is away: it is asked after all others"
            case State.HALF_OPEN:
                what = "may be back: one request tries it"
            case State.CLOSED:
                what = "is back: it gets its objects back bit by bit"
            case _:
                assert_never(now)
        log.warning("upstream %s %s (breaker %s: %s)", self._member, what, now.value.replace("_", "-"), why)
