"""Active probes: a member is asked for a small object now and then, whether players ask it for anything or not."""

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.client import OriginClient
from edge.origin.settings import UpstreamRequest, Urgency
from edge.tasks import Tasks

WELL_BELOW = 500  # a status: 404 comes from a server that serves; what cannot answer says 5xx
DRAIN_MOST = 64 * 1024  # bytes of an answer that are read so that its connection can be kept


class Prober:
    """For one member; its breaker hears of each probe. Times in seconds."""

    def __init__(self, client: OriginClient, path: str, interval: float, clock: Clock) -> None:
        self._client = client
        self._interval = interval
        self._clock = clock
        self._request = UpstreamRequest(b"GET", path.encode(), urgency=Urgency.LIST)
        self._due = clock.monotonic()
        self._tasks = Tasks("probe")
        self._probing = False

    def __repr__(self) -> str:
        return f"<Prober {self._client.member} due={self._due:.1f}>"

    def look(self) -> None:
        """Call it often: it probes when that is due, one at a time."""
        if not self._probing and self._clock.monotonic() >= self._due:
            self._probing = True
            self._due = self._clock.monotonic() + self._interval
            self._tasks.spawn(self._probe(), self._client.member)

    async def _probe(self) -> None:
        well = False
        try:
            async with self._client.fetch(self._request, timeout=self._interval) as response:
                well = response.status < WELL_BELOW
                read = 0
                async for chunk in response:
                    read += len(chunk)
                    if read > DRAIN_MOST:
                        break
        except OriginError:
            well = False
        finally:
            self._probing = False
        self._client.breaker.probed(well=well)
        self._client.observer.probe(well=well)

    async def close(self) -> None:
        await self._tasks.close()
