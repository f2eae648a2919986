"""A stretch of an object, brought over several connections at once and given out in order.

One connection over a far and lossy path brings what its congestion window holds per round trip; many bring many
times that. Each is asked for about as much as it brings in the time that the others need for theirs (`shares`), those
with the widest windows for what comes first. A piece that lags while somebody waits, or while there is nothing else
left to ask for, is asked for again on another connection, and the first answer wins.

All pieces are of one version: the first validator and length seen count, and anything else fails the whole. It may
begin on a guess, before the head of the object is known (`confirm` tells it then).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

from edge.errors import OriginError
from edge.fill import shares
from edge.fill.asked import AskedPiece
from edge.fill.messages import Fetch
from edge.fill.plan import FieldList
from edge.fill.requests import PieceRequests
from edge.fill.shop import Shop
from edge.origin.client import OriginClient
from edge.origin.connection import OriginConnection
from edge.origin.path import LATE_FLOOR
from edge.origin.pool import Pool
from edge.origin.settings import Urgency
from edge.origin.window import FRESH
from edge.tasks import Tasks
from edge.words import KIB, Reason

FIRST: Final = 64 * KIB  # what is asked of an object first, when nobody knows how long it is
BEGINNING: Final = 16 * KIB  # the same when its rest is asked for at the same moment
OPENING: Final = 3.0  # round trips of work for the connections there are, from which on more are opened
AHEAD_SHARE: Final = 0.75  # of what may be under way, for what no player waits for: there it must not fill the queue
RIVALS: Final = 8  # connections at most that bring what is left of a piece
LOOK_LEAST: Final = 0.005  # seconds
LOOK: Final = 0.125  # of a round trip from one look for what lags to the next


def _somebody() -> bool:
    return True


class Spread:
    """Iterate once for the bytes of [start, end); OriginError when they cannot be had. `close` it in the end."""

    def __init__(
        self,
        shop: Shop,
        client: OriginClient,
        fetch: Fetch,
        fields: FieldList,
        start: int,
        end: int,
        urgency: Callable[[], Urgency] = lambda: Urgency.SEGMENT,
    ) -> None:
        self._shop = shop
        self._client = client
        self._requests = PieceRequests(shop, client, fetch, fields, urgency, self._wake, lambda: self.members())
        self.start = start
        self._end = end
        self._next = start
        self._pieces: deque[AskedPiece] = deque()
        self._tasks = Tasks("spread")
        self._under_way = self._weight = 0
        self._waiting = False
        self._watching: asyncio.Task[None] | None = None
        self.serves: Callable[[], bool] = _somebody
        self.is_unasked: Callable[[], bool] = lambda: False  # of an object that nobody has asked for
        self.until: Callable[[], int] = lambda: self._end  # where its run stops, if nobody wants all of it any more
        self.members: Callable[[], Sequence[OriginClient]] = lambda: (client,)  # that may bring it, this one among them
        self.awaited = True  # by a player, now; `SpreadBudget` looks
        self._open = True
        self._ends_short = False  # at a piece that nobody brings: what comes after it is not asked for here
        shop.spread.enter(self)

    def __repr__(self) -> str:
        return f"<Spread {self.start}-{self._end} next={self._next} pieces={len(self._pieces)}>"

    @property
    def pool(self) -> Pool:
        """Whose connections bring it."""
        return self._client.pool

    @property
    def asked(self) -> int:
        """Up to where it has been asked for."""
        return self._next

    @property
    def wanting(self) -> int | None:
        """How many pieces are under way; None if no more are wanted now. Of a member that has gone there are none:
        the body ends short, and another one goes on with it."""
        if not self._open or self._ends_short or self._requests.broken is not None or self._requests.is_left:
            return None
        done = self._next >= min(self._end, self.until())
        return None if done or self._under_way >= self._shop.settings.parallel_max else self._under_way

    def begin(self) -> None:
        """Ask for the first pieces, or for more."""
        pool = self._client.pool
        if self.wanting is None:
            return
        if self._next == self.start:
            pool.expect(min(shares.connections(self._end - self.start, pool.path.window), self._most))
        new = pool.to_open if self._round_trips() >= OPENING else 0
        windows = shares.windows(self._round_trips(new))
        while self.wanting is not None:
            going_on = self._under_way and self._pieces  # one piece always does
            if going_on and not self._may_take_more():
                return
            connection = pool.take_warm()
            if connection is None:
                if going_on and new <= 0:
                    return  # those under way are free before a new one could bring anything
                new -= 1
            self._launch(connection, windows)

    def _round_trips(self, new: int = 0) -> float:
        """How many it takes for what is left, with the connections there are and so many new ones."""
        pool = self._client.pool
        idle, together = pool.windows
        connections = max(1, self._under_way + idle + new)
        window = (together + self._under_way * pool.path.window + new * FRESH) / connections or FRESH
        return shares.round_trips(self._end - self._next, min(connections, self._most), window)

    @property
    def _most(self) -> int:
        """How many connections this body may have: as one of several, or of the few for what nobody asked."""
        shop, pool = self._shop, self._client.pool
        share = pool.for_pieces // shop.spread.sharing(self, shop.clock.monotonic())
        if self.is_unasked():
            each = pool.for_ahead // max(1, shop.ahead.under_way)
            share = min(share, each - 1)  # one is taken by the first piece
        return min(max(1, share), shop.settings.parallel_max)

    def _launch(self, connection: OriginConnection | None, windows: float) -> None:
        path, budget, now = self._client.pool.path, self._shop.spread, self._shop.clock.monotonic()
        window = connection.window.size if connection else FRESH
        size = shares.piece(window, windows, self._end - self._next)
        if connection is None:
            now += path.rtt or 0.0  # it is opened first
        piece = self._piece(self._next, size, now, connection)
        piece.weight, piece.on_came = min(size, window), self._came
        path.load.asks(piece.weight, self._shop.clock.monotonic(), path.rtt or 0.0)
        self._weight += piece.weight
        self._next = piece.end
        budget.earn(size)
        self._pieces.append(piece)
        self._under_way += 1
        budget.held += size
        self.pool.pieces += 1
        piece.task = self._tasks.spawn(self._bring(piece), "piece")
        piece.task.add_done_callback(lambda _: self._ended(piece))
        if self._watching is None:
            self._watching = self._tasks.spawn(self._watch(), "watch")

    def _piece(self, start: int, size: int, now: float, connection: OriginConnection | None) -> AskedPiece:
        window = connection.window.size if connection else FRESH
        trip = max(self._client.pool.path.rtt or 0.0, LATE_FLOOR)
        return AskedPiece(start, start + size, now, window=window, round_trip=trip, connection=connection)

    def _may_take_more(self) -> bool:
        """Is there room, and a connection for it within this body's share of them?"""
        shop, pool = self._shop, self._client.pool
        budget = shop.spread
        if self._under_way >= self._most or pool.pieces >= pool.for_pieces:
            return False  # those that were asked for a moment ago have no connection yet, but will
        now, load = shop.clock.monotonic(), pool.path.load
        sharing = budget.sharing(self, now)
        if sharing > 1 and (held := load.hold(now)) > 0:
            if budget.look_again(pool, held):
                self._client.observer.pause()
            return False
        carried = load.room(now) * (1.0 if self.awaited else AHEAD_SHARE)
        if load.asked >= carried or self._weight >= carried / sharing:
            return False
        return pool.spare and budget.held < shop.settings.spread_total

    def _came(self, piece: AskedPiece) -> None:
        """Some of it is not under way any more."""
        less = piece.weight - max(0, piece.end - piece.position)
        if less > 0:
            self._lighten(piece, less)

    def _lighten(self, piece: AskedPiece, less: int) -> None:
        piece.weight -= less
        self._weight -= less
        self._client.pool.path.load.asked -= less

    async def _bring(self, piece: AskedPiece) -> None:
        try:
            await self._requests.bring(piece)
            self._ends_short |= piece.error is not None
        finally:
            self._ended(piece)  # before anybody sees that it is done, and looks whether more can be asked for

    def _ended(self, piece: AskedPiece) -> None:
        """A piece is not under way any more: another may be. A second time does nothing."""
        self._never_sent(piece)
        if piece.on_came is None:
            return
        piece.on_came = None
        self._under_way -= 1
        self._lighten(piece, piece.weight)
        self.pool.pieces -= 1
        self._shop.spread.room(self.pool)

    def _drop(self, piece: AskedPiece) -> None:
        if piece.task is not None:
            piece.task.cancel()
        self._ended(piece)

    def _never_sent(self, piece: AskedPiece, _: object = None) -> None:
        """It was cancelled before it began: its connection is as it was."""
        connection, piece.connection = piece.connection, None
        if connection is not None:
            self._client.pool.put_back(connection)

    def confirm(self, etag: bytes, total: int, end: int) -> bool:
        """The head is known: is what was asked on a guess of the same version? `end`: how far to go really."""
        if not self._requests.confirm(etag, total):
            return False
        beyond = []
        while self._pieces and self._pieces[-1].start >= end:
            beyond.append(self._pieces.pop())
        for piece in self._pieces:
            piece.end = min(piece.end, end)
        self._end, self._next = end, min(self._next, end)
        for piece in beyond:
            self._shop.spread.held -= piece.size
            self._drop(piece)
        self.begin()
        return True

    async def close(self) -> None:
        """Nothing more is wanted: requests under way are broken off."""
        if self._open:
            self._open = False
            self._shop.spread.leave(self)
            self._shop.spread.held -= sum(piece.size for piece in self._pieces)
        self._pieces.clear()
        await self._tasks.close()

    # -- giving out ------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._requests.confirmed.wait()
        while self._pieces:
            piece = self._pieces[0]
            while piece.chunks:
                yield piece.chunks.popleft()
            broken = self._requests.broken
            if broken is not None or (piece.error is not None and not piece.rivals):
                raise broken or piece.error or OriginError(Reason.TRUNCATED)
            if piece.done:
                if piece.position < piece.end:
                    raise OriginError(Reason.TRUNCATED, f"a piece ended at {piece.position} of {piece.end}")
                self._pieces.popleft()
                self._shop.spread.held -= piece.size
                self.begin()
            elif not piece.chunks:
                await self._wait(piece)

    def _wake(self) -> None:
        for piece in self._pieces:
            piece.changed.set()

    async def _wait(self, piece: AskedPiece) -> None:
        piece.changed.clear()
        self._waiting = True
        try:
            await piece.changed.wait()
        finally:
            self._waiting = False

    # -- what lags -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """While pieces are under way: have those that lag asked for again, if anybody waits for them."""
        path = self._client.pool.path
        while self._under_way:
            await asyncio.sleep(max(LOOK_LEAST, LOOK * (path.rtt or 0.0)))
            pressing = self._waiting or self._next >= self._end
            if not (self._requests.confirmed.is_set() and pressing and self.serves()):
                continue
            now, patience = self._shop.clock.monotonic(), path.late
            for piece in list(self._pieces):
                if piece.lags(now, patience):
                    self._hedge(piece)
        self._watching = None

    def _hedge(self, piece: AskedPiece) -> None:
        """Ask for what is left of a piece on other connections, too: on as many as bring it in one round trip."""
        size = piece.end - piece.position
        if piece.rivals or size > self._shop.spread.twice:
            return
        if self._under_way > 1 and 2 * self._client.pool.widest(RIVALS) < size:
            return  # others are about to end, whose connections bring it sooner
        rivals = self._rivals(piece)
        if not rivals:
            return  # not now; a moment later perhaps
        self._shop.spread.twice -= size
        self._client.observer.repeat()
        piece.rivals = rivals
        task = self._tasks.spawn(self._race(piece, rivals), "rivals")
        for rival in rivals:
            task.add_done_callback(partial(self._never_sent, rival))

    def _rivals(self, piece: AskedPiece) -> tuple[AskedPiece, ...]:
        """What is left of a piece, shared out among idle connections."""
        found: list[AskedPiece] = []
        at, now = piece.position, self._shop.clock.monotonic()
        while at < piece.end and (connection := self._client.pool.take_warm()) is not None:
            left = piece.end - at
            size = left if len(found) + 1 == RIVALS else shares.piece(connection.window.size, 1.0, left)
            found.append(self._piece(at, size, now, connection))
            at += size
        if found and at < piece.end:
            found[-1].end = piece.end  # there are no more
        return tuple(found)

    async def _race(self, piece: AskedPiece, rivals: tuple[AskedPiece, ...]) -> None:
        await asyncio.gather(*(self._requests.bring(rival) for rival in rivals))
        piece.rivals = ()
        if piece.done or not all(rival.done for rival in rivals):
            piece.changed.set()
            return
        self._drop(piece)
        for rival in rivals:
            data = b"".join(rival.chunks)[max(0, piece.position - rival.start) :]
            if data:
                piece.add(data, rival.moved_at)
        piece.finish()
        self._ends_short = any(other.error is not None for other in self._pieces)
