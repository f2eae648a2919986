"""Asking a second time when the first byte is late: at the upstream's own 95th percentile, for few requests.

first   head() ------- p95 passes -------------------------> the first answer wins,
second                 another connection, the same request > the other connection is closed
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.budget import hedge_budget
from edge.origin.connection import OriginConnection, ResponseHead
from edge.tasks import Tasks

KNOWN: Final = 128  # first bytes that are remembered
ENOUGH: Final = 20  # fewer say nothing of a 95th percentile
RENEWED: Final = 16  # answers after which it is worked out anew
FLOOR: Final = 0.05  # seconds; what is faster is not worth a second request

Won = tuple[OriginConnection, ResponseHead]


class Hedge:
    """When to ask a second time, and whether that is still within the budget."""

    def __init__(self, clock: Clock) -> None:
        self._budget = hedge_budget(clock)
        self._known: deque[float] = deque(maxlen=KNOWN)
        self._noted = 0
        self._late: float | None = None

    def __repr__(self) -> str:
        return f"<Hedge after={self.after} {self._budget}>"

    @property
    def after(self) -> float | None:
        """Seconds after which a first byte is late; None while nobody knows."""
        return self._late

    def note(self, seconds: float) -> None:
        """A first byte has come so long after it was asked for."""
        self._budget.earn()
        self._known.append(seconds)
        self._noted += 1
        if len(self._known) >= ENOUGH and (self._late is None or self._noted % RENEWED == 0):
            in_order = sorted(self._known)
            self._late = max(FLOOR, in_order[len(in_order) * 95 // 100])

    def take(self) -> bool:
        """May this late request be sent a second time?"""
        return self._budget.take()


async def race(
    tasks: Tasks,
    first: OriginConnection,
    left: float,
    second: Callable[[], Awaitable[OriginConnection]],
    drop: Callable[[OriginConnection], None],
) -> Won:
    """The connection whose head comes first; the other one is given to `drop`, closed.

    `second` opens the rival and sends the request on it. If one fails, the other may still answer; if both do, the
    error is the first one's.
    """
    rivals: list[OriginConnection] = []

    loop = asyncio.get_running_loop()
    until = loop.time() + left

    async def ask_again() -> Won:
        rivals.append(await second())
        return rivals[0], await rivals[0].head(max(0.0, until - loop.time()))

    async def wait_on() -> Won:
        return first, await first.head(left)

    running = [tasks.spawn(_quiet(wait_on()), "late"), tasks.spawn(_quiet(ask_again()), "hedge")]
    winner: OriginConnection | None = None
    try:
        pending: set[asyncio.Task[Won | OriginError]] = set(running)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            won = next((task.result() for task in running if task in done and isinstance(task.result(), tuple)), None)
            if isinstance(won, tuple):
                winner = won[0]
                return won
        failed = running[0].result()
        assert isinstance(failed, OriginError)
        raise failed
    finally:
        for task in running:
            task.cancel()
        try:
            await asyncio.gather(*running, return_exceptions=True)
        except asyncio.CancelledError:
            winner = None  # nobody takes what has come; who called still has the first connection
            raise
        finally:
            for connection in rivals if winner in (None, first) else [first]:
                connection.close()
                drop(connection)


async def _quiet(answer: Awaitable[Won]) -> Won | OriginError:
    """An upstream's error is a result here: it is no crash of a task."""
    try:
        return await answer
    except OriginError as error:
        return error
