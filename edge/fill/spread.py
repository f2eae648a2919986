"""A stretch of an object, brought over several connections at once and given out in order.

One connection over a far and lossy path brings what its congestion window holds per round trip; many bring many
times that. The stretch is asked for in pieces, the first ones small, so that its first bytes come first; a piece
that lags while others wait for it is asked for again on another connection, and the first answer wins.

All pieces are of one version: the first validator and length seen count, and anything else fails the whole. It may
begin on a guess, before the head of the object is known (`confirm` tells it then).
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from edge.errors import OriginError
from edge.fill import plan
from edge.fill.asked import AskedPiece
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.plan import Ask, FieldList
from edge.fill.shop import Shop
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.tasks import Tasks
from edge.words import KIB, Reason

FIRST: Final = 64 * KIB  # the size of a run's first piece, which must come first
PAUSE: Final = 0.05  # seconds before a piece is tried again
HEDGED_SHARE: Final = 0.05  # of the bytes asked for may be asked for twice


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
        self._fetch = fetch
        self._fields = fields
        self._urgency = urgency
        self.start = start
        self._end = end
        self._next = start
        self._size = 0  # of a piece; known when the first is asked for
        self._version: tuple[bytes, int] | None = None
        self._confirmed = asyncio.Event()
        self._pieces: deque[AskedPiece] = deque()
        self._tasks = Tasks("spread")
        self._asked = self._hedged = self._under_way = 0
        self._open = True
        shop.spread.bodies.append(self)
        self._broken: OriginError | None = None

    def __repr__(self) -> str:
        return f"<Spread {self.start}-{self._end} next={self._next} pieces={len(self._pieces)}>"

    @property
    def wanting(self) -> int | None:
        """How many pieces are under way; None if no more are wanted now."""
        most = self._shop.settings.parallel_max
        done = not self._open or self._broken is not None or self._next >= self._end
        return None if done or len(self._pieces) >= most else self._under_way

    def begin(self) -> None:
        """Ask for the first pieces, or for more."""
        budget = self._shop.spread
        if not self._size:
            most = min(self._shop.settings.parallel_max, self._share)
            self._size = self._client.pool.path.piece(self._end - self.start, most)
        while self.wanting is not None:
            if self._pieces and not self._may_take_more():
                return  # one piece always goes on
            size = FIRST if self._next == self.start else self._size
            end = min(self._next + size, self._end)
            if self._end - end < FIRST:
                end = self._end  # no crumbs
            piece = AskedPiece(self._next, end, self._shop.clock.monotonic())
            self._next = end
            self._asked += piece.size
            budget.held += piece.size
            self._pieces.append(piece)
            self._launch(piece)

    @property
    def _share(self) -> int:
        """Connections that it may have under way: as many as any other body, or of the few for what nobody asked."""
        shop, pool = self._shop, self._client.pool
        even = max(1, pool.for_pieces // len(shop.spread.bodies))
        if self._urgency() is not Urgency.AHEAD:
            return even
        each = pool.for_ahead // max(1, shop.ahead.under_way)
        return max(1, min(even, each - 1))  # one is taken by the first piece

    def _launch(self, piece: AskedPiece) -> None:
        self._shop.spread.pieces += 1
        self._under_way += 1
        piece.task = self._tasks.spawn(self._bring(piece), "piece")
        piece.task.add_done_callback(self._ended)

    def _may_take_more(self) -> bool:
        """Is there room, and a connection for it within this body's share of them?"""
        shop, pool = self._shop, self._client.pool
        budget = shop.spread
        if self._under_way >= self._share or budget.pieces >= pool.for_pieces:
            return False  # those that were asked for a moment ago have no connection yet, but will
        return pool.spare and budget.held < shop.settings.spread_total

    def _ended(self, _: "asyncio.Task[None]") -> None:
        """A piece is not under way any more: another may be."""
        self._under_way -= 1
        self._shop.spread.pieces -= 1
        self._shop.spread.room()

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
        left = self._patience(piece)
        if piece.rival is not None or left > 3600:
            await piece.changed.wait()
            return
        try:
            await asyncio.wait_for(piece.changed.wait(), max(left, 0.001))
        except TimeoutError:
            for late in [each for each in self._pieces if not each.done and self._patience(each) <= 0]:
                self._hedge(late)

    def _patience(self, piece: AskedPiece) -> float:
        """Seconds until a piece lags."""
        path = self._client.pool.path
        return min(piece.moved_at + path.stall, piece.looked_at + path.slow) - self._shop.clock.monotonic()

    def _hedge(self, piece: AskedPiece) -> None:
        """A piece lags while all wait for one that does: ask for what is left of it on another connection, too."""
        size = piece.end - piece.position
        if piece.done or piece.rival is not None or size <= 0:
            return  # it came in the very moment in which the patience ended
        if self._hedged + size > max(FIRST, HEDGED_SHARE * self._asked) or not self._client.pool.spare:
            piece.moved_at = piece.looked_at = self._shop.clock.monotonic()  # not now; look again later
            return
        self._hedged += size
        rival = piece.rival = AskedPiece(piece.position, piece.end, self._shop.clock.monotonic())
        rival.task = self._tasks.spawn(self._race(piece, rival), "rival")

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
        begun = shop.clock.monotonic()
        fetch = self._fetch
        request = UpstreamRequest(b"GET", fetch.target, tuple(fields), urgency=self._urgency(), context=fetch.context)
        async with self._client.fetch(request) as response:
            beyond = response.status == 416 and not self._confirmed.is_set()
            if not beyond:
                self._check(ask, response)
            async for chunk in response:
                if beyond:
                    continue  # so that the connection can be used again
                left = piece.end - piece.position  # less than was asked for, if the guess was too long
                piece.add(chunk[:left], shop.clock.monotonic())
                if left <= len(chunk):
                    break
        if beyond:  # the end, if the guess was too long: then nobody wants this piece
            await self._confirmed.wait()
            raise OriginError(Reason.BAD_RESPONSE, "416 within the object", retryable=False)
        self._client.pool.path.brought(piece.end - ask.start, shop.clock.monotonic() - begun)

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
