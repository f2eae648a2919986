"""The requests for pieces of one version of an object: the first validator and length seen count for all of them."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from edge.errors import OriginError
from edge.fill import plan
from edge.fill.asked import AskedPiece
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.plan import Ask, FieldList
from edge.fill.shop import Shop
from edge.origin.breaker import State
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.words import Reason

PAUSE: Final = 0.05  # seconds before a piece is tried again


class PieceRequests:
    """Asks one upstream for pieces. `broken`: no piece can be relied upon any more, and `on_broken` has been called."""

    def __init__(
        self,
        shop: Shop,
        client: OriginClient,
        fetch: Fetch,
        fields: FieldList,
        urgency: Callable[[], Urgency],
        on_broken: Callable[[], None],
    ) -> None:
        self._shop = shop
        self._client = client
        self._fetch = fetch
        self._fields = fields
        self._urgency = urgency
        self._on_broken = on_broken
        self._version: tuple[bytes, int] | None = None
        self.confirmed = asyncio.Event()
        self.broken: OriginError | None = None

    def __repr__(self) -> str:
        return f"<PieceRequests {self._version} broken={self.broken}>"

    def confirm(self, etag: bytes, total: int) -> bool:
        """The version is known: is it the one that has come so far, if any has?"""
        if self._version not in (None, (etag, total)) or self.broken is not None:
            return False
        self._version = etag, total
        self.confirmed.set()
        return True

    async def bring(self, piece: AskedPiece) -> None:
        """One piece, tried again from the byte where it broke."""
        tries = 0
        while True:
            reached = piece.received
            try:
                await self._ask(piece)
                piece.finish()
                return
            except OriginError as error:
                tries = 0 if piece.received > reached else tries + 1
                if not self._worth(piece, error, tries):
                    piece.finish(error)
                    return
                if piece.received:
                    self._client.observer.resume()
            await asyncio.sleep(PAUSE * (tries + random.random()))

    def _worth(self, piece: AskedPiece, error: OriginError, tries: int) -> bool:
        """May it be tried again here? No first byte is waited for longer than any answer may take, nor a member asked
        that is away if there are others: then the body goes on at one of these."""
        shop, client = self._shop, self._client
        if tries > shop.settings.resume_max:
            error.retryable = False  # nobody begins anew with what has had its tries here
        if not error.retryable:
            return False
        late = error.reason is Reason.FIRST_BYTE_TIMEOUT and self._left(piece) <= 0
        away = client.breaker.state is not State.CLOSED and len(shop.group.members) > 1
        if tries and (away or late):
            return False
        return not tries or client.may_retry()

    def _left(self, piece: AskedPiece) -> float:
        """Seconds for which its next byte may still be waited for."""
        return self._client.settings.total_first_byte - (self._shop.clock.monotonic() - piece.moved_at)

    async def _ask(self, piece: AskedPiece) -> None:
        shop, ask = self._shop, Ask(piece.position, piece.end, whole=False)
        fields = [*self._fields, *ask.field()]
        if self._version is not None:
            fields.append((b"If-Range", self._version[0]))
        on, piece.connection = piece.connection, None
        path, fetch, begun = self._client.pool.path, self._fetch, shop.clock.monotonic()
        request = UpstreamRequest(b"GET", fetch.target, tuple(fields), urgency=self._urgency(), context=fetch.context)
        timeout = max(self._left(piece), self._client.settings.stall_timeout)
        async with self._client.fetch(request, timeout, on=on) as response:
            shop.spread.spend(response.head_bytes)
            beyond = response.status == 416 and not self.confirmed.is_set()
            if not beyond:
                self._check(ask, response)
            async for chunk in response:
                if beyond:
                    continue  # so that the connection can be used again
                left = piece.end - piece.position  # less than was asked for, if the guess was too long
                now = shop.clock.monotonic()
                if on is not None and piece.position == ask.start:
                    path.waited(now - begun, now)
                path.came(response.window, len(chunk), now)
                piece.add(chunk[:left], now)
                if left <= len(chunk):
                    break
        if beyond:  # the end, if the guess was too long: then nobody wants this piece
            await self.confirmed.wait()
            raise OriginError(Reason.BAD_RESPONSE, "416 within the object", retryable=False)
        path.brought(response.window)

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
        self.broken = error
        self._on_broken()
        raise error
