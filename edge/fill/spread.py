"""A stretch of an object, brought over several connections at once and given out in order.

One connection over a far and lossy path brings what its congestion window holds per round trip; many bring many
times that. Each is asked for about as much as it brings in the time that the others need for theirs (`shares`), those
with the widest windows for what comes first. A piece that lags while somebody waits, or while there is nothing else
left to ask for, is asked for again on another connection, and the first answer wins.

All pieces are of one version: the first validator and length seen count, and anything else fails the whole. It may
begin on a guess, before the head of the object is known (`confirm` tells it then).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from edge.errors import OriginError
from edge.fill import plan, shares
from edge.fill.asked import AskedPiece
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.plan import Ask, FieldList
from edge.fill.shop import Shop
from edge.origin.client import OriginClient
from edge.origin.connection import OriginConnection
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.origin.window import FRESH
from edge.tasks import Tasks
from edge.words import KIB, Reason

FIRST: Final = 64 * KIB  # what is asked of an object first, when nobody knows how long it is
BEGINNING: Final = 16 * KIB  # the same when its rest is asked for at the same moment
PAUSE: Final = 0.05  # seconds before a piece is tried again
OPENING: Final = 3.0  # round trips of work for the connections there are, from which on more are opened
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
        urgency: Urgency = Urgency.SEGMENT,
    ) -> None:
        self._shop = shop
        self._client = client
        self._fetch = fetch
        self._fields = fields
        self._urgency = urgency
        self.start = start
        self._end = end
        self._next = start
        self._version: tuple[bytes, int] | None = None
        self._confirmed = asyncio.Event()
        self._pieces: deque[AskedPiece] = deque()
        self._tasks = Tasks("spread")
        self._under_way = self._weight = 0
        self._waiting = False
        self._watching: asyncio.Task[None] | None = None
        self.serves: Callable[[], bool] = _somebody
        self._open = True
        shop.spread.bodies.append(self)
        self._broken: OriginError | None = None

    def __repr__(self) -> str:
        return f"<Spread {self.start}-{self._end} next={self._next} pieces={len(self._pieces)}>"

    @property
    def wanting(self) -> int | None:
        """How many pieces are under way; None if no more are wanted now."""
        done = not self._open or self._broken is not None or self._next >= self._end
        return None if done or self._under_way >= self._most else self._under_way

    def begin(self) -> None:
        """Ask for the first pieces, or for more."""
        pool = self._client.pool
        if self._next == self.start:
            pool.expect(min(shares.connections(self._end - self.start, pool.path.window), self._most))
        opening = self._round_trips() >= OPENING
        windows = shares.windows(self._round_trips(opening=opening))
        while self.wanting is not None:
            if self._under_way and not self._may_take_more():
                return  # one piece always goes on
            connection = pool.take_warm()
            if connection is None and self._under_way and not opening:
                return  # those under way are free before a new one could bring anything
            self._launch(connection, windows)

    def _round_trips(self, *, opening: bool = False) -> float:
        """How many it takes for what is left, with the connections there are, or with all that may be opened."""
        pool = self._client.pool
        idle, together = pool.windows
        connections, window = self._under_way + idle, together + self._under_way * pool.path.window
        new = max(0, pool.room - idle) if opening or not connections else 0
        connections, window = connections + new, window + new * FRESH
        most = min(connections, self._most)
        return (self._end - self._next) / max(FRESH, most * window / max(1, connections))

    @property
    def _most(self) -> int:
        """How many connections this body may have, as one of several."""
        share = max(1, self._client.pool.for_pieces // self._shop.spread.sharing(self))
        return min(share, self._shop.settings.parallel_max)

    @property
    def awaited(self) -> bool:
        """Does a player wait for it now?"""
        return self.serves()

    def _launch(self, connection: OriginConnection | None, windows: float) -> None:
        path, budget, now = self._client.pool.path, self._shop.spread, self._shop.clock.monotonic()
        window = connection.window.size if connection else FRESH
        size = shares.piece(window, windows, self._end - self._next)
        if connection is None:
            now += path.rtt or 0.0  # it is opened first
        due = now + (path.rtt or 0.0) * size / window + path.late
        piece = AskedPiece(self._next, self._next + size, now, due, connection)
        piece.weight = min(size, window)
        path.load.asked += piece.weight
        self._weight += piece.weight
        self._next = piece.end
        budget.earn(size)
        self._pieces.append(piece)
        self._under_way += 1
        budget.held += size
        budget.pieces += 1
        piece.task = self._tasks.spawn(self._bring(piece), "piece")
        piece.task.add_done_callback(lambda _: self._ended(piece))
        if self._watching is None:
            self._watching = self._tasks.spawn(self._watch(), "watch")

    def _may_take_more(self) -> bool:
        """Is there room, and a connection for it within this body's share of them?"""
        shop, pool = self._shop, self._client.pool
        budget = shop.spread
        if self._under_way >= self._most or budget.pieces >= pool.for_pieces:
            return False  # those that were asked for a moment ago have no connection yet, but will
        carried = pool.path.load.room(shop.clock.monotonic())
        if pool.path.load.asked >= carried or self._weight >= carried / budget.sharing(self):
            return False
        return pool.spare and budget.held < shop.settings.spread_total

    def _ended(self, piece: AskedPiece) -> None:
        """A piece is not under way any more: another may be."""
        self._never_sent(piece)
        self._under_way -= 1
        self._weight -= piece.weight
        self._client.pool.path.load.asked -= piece.weight
        self._shop.spread.pieces -= 1
        self._shop.spread.room()

    def _never_sent(self, piece: AskedPiece) -> None:
        """It was cancelled before it began: its connection is as it was."""
        connection, piece.connection = piece.connection, None
        if connection is not None:
            self._client.pool.put_back(connection)

    def confirm(self, etag: bytes, total: int, end: int) -> bool:
        """The head is known: is what was asked on a guess of the same version? `end`: how far to go really."""
        if self._version not in (None, (etag, total)) or self._broken is not None:
            return False
        self._version = etag, total
        self._confirmed.set()
        while self._pieces and self._pieces[-1].start >= end:
            piece = self._pieces.pop()
            self._next = piece.start
            self._shop.spread.held -= piece.size
            if piece.task is not None:
                piece.task.cancel()
        self._end = end
        for piece in self._pieces:
            piece.end = min(piece.end, end)
        self._next = min(self._next, end)
        self.begin()
        return True

    async def close(self) -> None:
        """Nothing more is wanted: requests under way are broken off."""
        if self._open:
            self._open = False
            self._shop.spread.bodies.remove(self)
            self._shop.spread.held -= sum(piece.size for piece in self._pieces)
        self._pieces.clear()
        await self._tasks.close()

    # -- giving out ------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._confirmed.wait()
        while self._pieces:
            piece = self._pieces[0]
            while piece.chunks:
                yield piece.chunks.popleft()
            if self._broken is not None or (piece.error is not None and piece.rival is None):
                raise self._broken or piece.error or OriginError(Reason.TRUNCATED)
            if piece.done:
                if piece.position < piece.end:
                    raise OriginError(Reason.TRUNCATED, f"a piece ended at {piece.position} of {piece.end}")
                self._pieces.popleft()
                self._shop.spread.held -= piece.size
                self.begin()
            elif not piece.chunks:
                await self._wait(piece)

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
            await asyncio.sleep(LOOK * (path.rtt or 0.0))
            pressing = self._waiting or self._next >= self._end
            if not (self._confirmed.is_set() and pressing and self.awaited):
                continue
            now, patience = self._shop.clock.monotonic(), path.late
            for piece in list(self._pieces):
                if piece.late(now, patience):
                    self._hedge(piece)
        self._watching = None

    def _hedge(self, piece: AskedPiece) -> None:
        """Ask for what is left of a piece on another connection, too."""
        size = piece.end - piece.position
        if piece.over or piece.rival is not None or size <= 0:
            return
        budget = self._shop.spread
        connection = self._client.pool.take_warm() if size <= budget.twice else None
        if connection is None:
            return  # not now; a moment later perhaps
        budget.twice -= size
        rival = piece.rival = AskedPiece(piece.position, piece.end, 0.0, 0.0, connection)
        rival.task = self._tasks.spawn(self._race(piece, rival), "rival")
        rival.task.add_done_callback(lambda _: self._never_sent(rival))

    async def _race(self, piece: AskedPiece, rival: AskedPiece) -> None:
        await self._bring(rival)
        piece.rival = None
        if piece.done or not rival.done:
            piece.changed.set()
            return
        if piece.task is not None:
            piece.task.cancel()
        data = b"".join(rival.chunks)[piece.position - rival.start :]
        if data:
            piece.add(data, rival.moved_at)
        piece.finish()

    # -- asking ----------------------------------------------------------------------------------

    async def _bring(self, piece: AskedPiece) -> None:
        """One piece, tried again from the byte where it broke."""
        tries = 0
        shop = self._shop
        while True:
            reached = piece.received
            try:
                await self._ask(piece)
                piece.finish()
                return
            except OriginError as error:
                tries = 0 if piece.received > reached else tries + 1
                more = error.retryable and tries <= shop.settings.resume_max
                if not more or (tries and not self._client.may_retry()):
                    piece.finish(error)
                    return
            await asyncio.sleep(PAUSE * (tries + random.random()))

    async def _ask(self, piece: AskedPiece) -> None:
        shop, ask = self._shop, Ask(piece.position, piece.end, whole=False)
        fields = [*self._fields, *ask.field()]
        if self._version is not None:
            fields.append((b"If-Range", self._version[0]))
        on, piece.connection = piece.connection, None
        path, fetch, begun = self._client.pool.path, self._fetch, shop.clock.monotonic()
        request = UpstreamRequest(b"GET", fetch.target, tuple(fields), urgency=self._urgency, context=fetch.context)
        async with self._client.fetch(request, on=on) as response:
            beyond = response.status == 416 and not self._confirmed.is_set()
            if not beyond:
                self._check(ask, response)
            async for chunk in response:
                if beyond:
                    continue  # so that the connection can be used again
                left = piece.end - piece.position  # less than was asked for, if the guess was too long
                now = shop.clock.monotonic()
                if on is not None and piece.position == ask.start:
                    path.waited(now - begun, now)
                response.window.came(len(chunk), now, path.rtt or 0.0)
                path.load.came(len(chunk), now, path.rtt or 0.0)
                piece.add(chunk[:left], now)
                if left <= len(chunk):
                    break
        if beyond:  # the end, if the guess was too long: then nobody wants this piece
            await self._confirmed.wait()
            raise OriginError(Reason.BAD_RESPONSE, "416 within the object", retryable=False)
        response.window.end()
        path.brought(response.window.size)

    def _check(self, ask: Ask, response: UpstreamResponse) -> None:
        if response.status in (200, 412, 416):
            self._break(OriginError(Reason.OBJECT_CHANGED, f"{response.status} to a piece", retryable=False))
        elif response.status != 206:
            raise OriginError(Reason.BAD_RESPONSE, f"{response.status} to a piece", retryable=response.status >= 500)
        part = plan.verify_partial(ask, response.fields, response.content_length)
        version = plan.strong_etag(response.fields), part.total
        if self._version is None and version[0]:
            self._version = version
        if version != self._version or part.total == UNKNOWN:
            self._break(OriginError(Reason.OBJECT_CHANGED, "pieces of different versions", retryable=False))

    def _break(self, error: OriginError) -> None:
        """No piece can be relied upon."""
        self._broken = error
        for piece in self._pieces:
            piece.changed.set()
        raise error
