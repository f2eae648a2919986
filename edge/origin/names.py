"""What an upstream's name stands for: resolved by one request for all, and renewed behind what is in use."""

import asyncio
import socket
from typing import Any, Final

from edge.clock import Clock
from edge.tasks import Tasks

DNS_SECONDS: Final = 30.0  # the system's resolver does not tell for how long an answer is good
STALE_SECONDS: Final = 300.0  # an answer older than that is waited for: the upstream may have moved

Entry = Any  # what getaddrinfo gives


class Names:
    """The addresses of one host, those that failed last at the end.

    While the name cannot be resolved the last answer is used on: the upstream may well be there.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._known: list[Entry] = []
        self._asked_at = 0.0  # monotonic: when the last look-up ended
        self._asking: asyncio.Task[None] | None = None
        self._tasks = Tasks("names")

    def __repr__(self) -> str:
        return f"<Names {self._host} known={len(self._known)}>"

    async def addresses(self) -> list[Entry]:
        """At least one address, or OSError. Costs nothing while the last answer is young."""
        age = self._clock.monotonic() - self._asked_at
        if not self._known or age > DNS_SECONDS:
            if self._asking is None:
                self._asking = self._tasks.spawn(self._ask(), self._host)
            if not self._known or age > STALE_SECONDS:
                await asyncio.shield(self._asking)
        if not self._known:
            raise OSError(f"{self._host} cannot be resolved")
        return self._known

    async def _ask(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            found = list(await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            kept = [entry for entry in self._known if entry in found]
            self._known = kept + [entry for entry in found if entry not in kept]
        except (OSError, UnicodeError):
            pass  # who has no address says so
        finally:
            self._asked_at = self._clock.monotonic()
            self._asking = None

    def failed(self, entry: Entry) -> None:
        """It could not be connected to: the others are tried first from now on."""
        if entry in self._known:
            self._known = [other for other in self._known if other != entry] + [entry]

    async def close(self) -> None:
        await self._tasks.close()
