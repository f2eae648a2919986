"""A request's body on its way from a worker to the origin, a few chunks at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from edge.errors import OriginError
from edge.fill.channel import Channel
from edge.fill.messages import Body, Fetch, Taken
from edge.words import Reason


class Upload:
    """Fed with messages, iterated once by who sends it on.

    The worker sends at most a window more than it was told is taken, so that nothing here grows.
    """

    def __init__(self, channel: Channel, fetch: Fetch) -> None:
        self.length = fetch.body_length
        self._id = fetch.id
        self._channel = channel
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._complete = False
        self._broken = False

    def __repr__(self) -> str:
        return f"<Upload {self._id} waiting={len(self._chunks)} complete={self._complete} broken={self._broken}>"

    def feed(self, message: Body) -> None:
        """More of it has come."""
        if message.data:
            self._chunks.append(message.data)
        self._complete = self._complete or message.last
        self._changed.set()

    def break_off(self) -> None:
        """The client has left: what is missing will never come."""
        self._broken = not self._complete
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                yield chunk
                self._channel.send(Taken(self._id, len(chunk)))
            if self._complete:
                return
            if self._broken:
                raise OriginError(Reason.CANCELLED, "the client broke its request off", retryable=False)
            self._changed.clear()
            await self._changed.wait()
