"""Who may use a connection, and who waits: the most urgent first, among equals who came first; bounded."""

import asyncio
import heapq
from typing import Final

from edge.errors import OriginError
from edge.origin.settings import Urgency
from edge.words import Reason

GIVEN_UP: Final = 64  # turns that may stay in line, beside as many as wait

Turn = tuple[Urgency, int, "asyncio.Future[None]"]


class Line:
    """At most `most` places are taken at a time; at most `limit` wait for one, `patience` seconds long."""

    def __init__(self, name: str, *, most: int, limit: int, patience: float) -> None:
        self._name = name
        self._most, self._limit, self._patience = most, limit, patience
        self._heap: list[Turn] = []  # those that have been given up stay for a while, see `_forget`
        self._came = 0
        self.taken = 0
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<Line {self._name} taken={self.taken} of {self._most} waiting={self.waiting}>"

    def enter_at_once(self) -> bool:
        """Take a place if nobody waits for one."""
        if self.waiting or self.taken >= self._most:
            return False
        self.taken += 1
        return True

    async def enter(self, urgency: Urgency, within: float | None = None) -> None:
        """Take a place, at once or when our turn has come, `within` seconds; OriginError QUEUE_FULL, QUEUE_TIMEOUT."""
        if self.enter_at_once():
            return
        if self.waiting >= self._limit:
            self._make_room(urgency)
        patience = self._patience if within is None else max(0.0, min(self._patience, within))
        self._came += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (urgency, self._came, turn))
        self.waiting += 1
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if turn.cancelled():  # it was still in line
                self.waiting -= 1
                self._forget()
            elif turn.exception() is None:
                self.leave()  # our turn came in the same moment: hand it on
            if isinstance(error, TimeoutError):
                raise OriginError(Reason.QUEUE_TIMEOUT, f"waited {patience:.1f} s") from None
            raise

    def leave(self) -> None:
        """Give a place back: the next in line has it."""
        self.taken -= 1
        while self._heap and self.taken < self._most:
            turn = heapq.heappop(self._heap)[2]
            if not turn.done():
                self.taken += 1
                self.waiting -= 1
                turn.set_result(None)

    def _forget(self) -> None:
        """Most leave when they come to the top, but not the least urgent ones while others always come before them."""
        if len(self._heap) > 2 * self.waiting + GIVEN_UP:
            self._heap = [turn for turn in self._heap if not turn[2].done()]
            heapq.heapify(self._heap)

    def _make_room(self, urgency: Urgency) -> None:
        """The line is full: the least urgent of those who wait goes, or the one who comes."""
        error = OriginError(Reason.QUEUE_FULL, f"{self._limit} requests are waiting for {self._name}")
        last = max((turn for turn in self._heap if not turn[2].done()), key=lambda turn: turn[:2], default=None)
        if last is None or last[0] <= urgency:
            raise error
        self.waiting -= 1
        last[2].set_exception(error)
        self._forget()
