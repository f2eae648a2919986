"""The requests for pieces of one version of an object: the first validator and length seen count for all of them."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from edge.errors import OriginError
from edge.fill import plan
from edge.fill.asked import AskedPiece
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.plan import Ask, FieldList
from edge.fill.shop import Shop
from edge.fill.tries import RELAYED, Tries
from edge.origin.breaker import State
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.words import Reason

PAUSE: Final = 0.05  # seconds before a piece is tried again
CHANGED: Final = frozenset({200, 412, 416})  # in answer to If-Range: the version that is asked for is not there


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
        members: Callable[[], Sequence[OriginClient]],
    ) -> None:
        """`members`: all that may bring a piece; another one than `client` is asked where that does not."""
        self._shop = shop
        self._client = client
        self._fetch = fetch
        self._fields = fields
        self._urgency = urgency
        self._on_broken = on_broken
        self._members = members
        self._unfit: set[OriginClient] = set()  # members that have another version, or do not bring parts
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
        """One piece, tried again from the byte where it broke: at another member that serves, if there is one."""
        client, asked, tries, relays = self._client, {self._client}, Tries(piece.position), 0
        while True:
            try:
                await self._ask(piece, client)
                piece.finish()
                return
            except OriginError as error:
                if client is self._client or error.reason is not Reason.OBJECT_CHANGED:
                    told = error
                if not error.retryable:
                    self._unfit.add(client)
                relays += error.relayed
                told.spent = tries.broke(piece.position) > self._shop.settings.resume_max or relays > RELAYED
                following = None if told.spent else self._next(piece, error, client, asked, tries.count)
                if following is None:
                    piece.finish(told)
                    return
                if piece.received:
                    client.observer.resume()
            if following in asked:
                await asyncio.sleep(PAUSE * (tries.count + random.random()))
            client = following
            asked.add(client)

    def _next(
        self, piece: AskedPiece, error: OriginError, client: OriginClient, asked: set[OriginClient], tries: int
    ) -> OriginClient | None:
        """Who is asked for the rest of a piece that `client` did not bring; None: it is not asked for any more here.

        To go on to a member that serves and was not asked for it yet costs nothing of the budget. No first byte is
        waited for longer than any answer may take, nor a member asked that is away if there are others: then the body
        goes on at one of these. After what a member only hands on, who brings the body is asked once more: others would
        ask the same origin.
        """
        if self.broken is not None:
            return None
        if error.relayed:
            own = self._client not in self._unfit and self._client.breaker.state is State.CLOSED
            following = self._client if own else client
            return following if following.may_retry() else None
        members = self._members() if self.confirmed.is_set() else ()
        able = [one for one in members if one not in self._unfit and one.breaker.state is State.CLOSED]
        unasked = next((one for one in able if one not in asked), None)
        if unasked is not None:
            return unasked
        others = [one for one in able if one is not client]
        late = error.reason is Reason.FIRST_BYTE_TIMEOUT and self._left(piece) <= 0
        away = client.breaker.state is not State.CLOSED and len(self._shop.group.members) > 1
        if (client in self._unfit or (tries and away)) and not others:
            return None
        following = others[0] if others else client
        if not tries:
            return following
        return following if not late and following.may_retry() else None

    @property
    def is_left(self) -> bool:
        """Is the member that was to bring the body no good any more, while another one serves?"""
        if self._client not in self._unfit and self._client.breaker.state is not State.OPEN:
            return False
        return any(one not in self._unfit and one.breaker.state is State.CLOSED for one in self._members())

    def _left(self, piece: AskedPiece) -> float:
        """Seconds for which its next byte may still be waited for."""
        return self._client.settings.total_first_byte - (self._shop.clock.monotonic() - piece.moved_at)

    async def _ask(self, piece: AskedPiece, client: OriginClient) -> None:
        shop, ask = self._shop, Ask(piece.position, piece.end, whole=False)
        fields = [*self._fields, *ask.field()]
        if self._version is not None:
            fields.append((b"If-Range", self._version[0]))
        on, piece.connection = piece.connection, None
        path, fetch, begun = client.pool.path, self._fetch, shop.clock.monotonic()
        request = UpstreamRequest(b"GET", fetch.target, tuple(fields), urgency=self._urgency(), context=fetch.context)
        timeout = max(self._left(piece), client.settings.stall_timeout)
        async with client.fetch(request, timeout, on=on) as response:
            shop.spread.spend(response.head_bytes)
            beyond = response.status == 416 and not self.confirmed.is_set()
            if not beyond:
                self._check(ask, response, own=client is self._client)
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

    def _check(self, ask: Ask, response: UpstreamResponse, *, own: bool) -> None:
        """`own`: by the member that brings the body; another version at another one says nothing of the body."""
        if response.status in CHANGED:
            self._change(f"{response.status} to a piece", own=own)
        elif response.status != 206:
            raise plan.refused(response.status, "a piece", relayed=response.relayed)
        part = plan.verify_partial(ask, response.fields, response.content_length)
        version = plan.strong_etag(response.fields), part.total
        if self._version is None and version[0]:
            self._version = version
        if version != self._version or part.total == UNKNOWN:
            self._change("pieces of different versions", own=own)

    def _change(self, detail: str, *, own: bool) -> None:
        """The object has changed: no piece can be relied upon, if it is the member's own."""
        error = OriginError(Reason.OBJECT_CHANGED, detail, retryable=False)
        if own:
            self.broken = error
            self._on_broken()
        raise error
