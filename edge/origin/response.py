"""An answer under way: its head, and its body as it comes."""

from collections.abc import AsyncIterator
from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.connection import Framing, OriginConnection, ResponseHead
from edge.origin.pool import Observer
from edge.origin.window import Window

HELD_UP: Final = 5.0  # seconds that we take nothing: servers give up one that takes nothing for 10 to 60


class UpstreamResponse:
    """Iterating gives the body's bytes as they arrive; OriginError when it breaks. Times are wall clock, seconds."""

    def __init__(
        self,
        connection: OriginConnection,
        head: ResponseHead,
        observer: Observer,
        *,
        member: str,
        stall_timeout: float,
        request_time: float,
        response_time: float,
        clock: Clock,
        relayed: bool = False,
    ) -> None:
        self.status = head.status
        self.fields = tuple(head.fields)
        self.minor = head.minor
        self.framing: Framing = head.framing
        self.content_length = head.content_length
        self.head_bytes = head.size
        self.member = member
        self.relayed = relayed  # that it cannot be served was said by whom the member had asked
        self.request_time = request_time
        self.response_time = response_time
        self._connection = connection
        self._observer = observer
        self._stall_timeout = stall_timeout
        self._clock = clock
        self.broken = False  # its body has stalled, or was cut off
        self.held_up = False  # by us, for so long that its end says nothing of the member

    def __repr__(self) -> str:
        return f"<UpstreamResponse {self.status} {self.framing} {self._connection.received} bytes>"

    @property
    def received(self) -> int:
        """Bytes of body that have come."""
        return self._connection.received

    @property
    def whole(self) -> bool:
        """Has all of it come?"""
        return self._connection.whole

    @property
    def window(self) -> Window:
        """What its connection is seen to bring in a round trip."""
        return self._connection.window

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (chunk := await self._connection.chunk(self._stall_timeout)) is not None:
                self._observer.bytes(len(chunk))
                given = self._clock.monotonic()
                yield chunk
                if self._clock.monotonic() - given > HELD_UP:
                    self.held_up = True
        except OriginError:
            self.broken = True
            raise
