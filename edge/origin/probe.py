"""Asking a member in the background: probes now and then, checks while it is away. Its breaker hears of them.

A probe asks for the path that an operator has named. Without one a check asks for the first byte of what players were
served lately (`served`): whatever else a server answers, a disk that hangs behind it is seen by this only.
"""

from asyncio import timeout
from dataclasses import replace
from typing import Final

from edge.errors import OriginError
from edge.origin.client import CANNOT_SERVE, OUR_OWN, OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.tasks import Tasks

WELL_BELOW: Final = 500  # a status: 404 comes from a server that serves; what cannot answer says 5xx
DRAIN_MOST: Final = 64 * 1024  # bytes of an answer that are read so that its connection can be kept
FIRST_BYTE: Final = (b"Range", b"bytes=0-0")


class Prober:
    """For one member. `checks` False: nobody is asked in its place, so players' requests are all that it needs."""

    def __init__(self, client: OriginClient, *, checks: bool = True) -> None:
        self._client = client
        self._checks = checks
        self._clock = client.clock
        self._due = self._clock.monotonic()
        self._tasks = Tasks("probe")
        self._probing = False
        self._failed = 0  # checks since the last one that went well

    def __repr__(self) -> str:
        return f"<Prober {self._client.member} due={self._due:.1f}>"

    def look(self) -> None:
        """Call it often: it probes or checks when that is due, one at a time."""
        if self._probing:
            return
        settings = self._client.settings
        if settings.probe is not None and self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + settings.probe_interval
            self._start(self._named(settings.probe), settings.probe_interval, check=False)
        elif self._checks and self._client.breaker.check_due:
            path = settings.probe
            asks_for = self._client.served.after(self._failed)
            request = self._named(path) if path is not None else _first_byte_of(asks_for)
            self._start(request, settings.first_byte_timeout, check=True)

    def _named(self, path: str) -> UpstreamRequest:
        return UpstreamRequest(b"GET", path.encode(), urgency=Urgency.LIST, counts=False)

    def _start(self, request: UpstreamRequest, seconds: float, *, check: bool) -> None:
        self._probing = True
        self._tasks.spawn(self._ask(request, seconds, check=check), self._client.member)

    async def _ask(self, request: UpstreamRequest, seconds: float, *, check: bool) -> None:
        """`seconds` for all of it: an answer that drips is none."""
        breaker, observer = self._client.breaker, self._client.observer
        try:
            async with timeout(seconds), self._client.fetch(request, seconds) as response:
                well, why = self._is_well(response, check=check), f"answered {response.status}"
                read = 0
                async for chunk in response:
                    read += len(chunk)
                    if read > DRAIN_MOST:
                        break
        except OriginError as error:
            if error.reason in OUR_OWN:
                return  # it was not asked: that says nothing of it
            well, why = False, str(error)
        except TimeoutError:
            well, why = False, f"no whole answer in {seconds:.1f} s"
        finally:
            self._probing = False
        if check:
            self._failed = 0 if well else self._failed + 1
            breaker.checked(well=well, why=f"check: {why}")
        else:
            breaker.probed(well=well, why=why)
            observer.probe(well=well)

    def _is_well(self, response: UpstreamResponse, *, check: bool) -> bool:
        """To a check what is an answer to a player is one: a server may know nothing of ranges, and say 501.

        Where nothing is known to be served, any answer has to do: a proxy says 503 to a path that leads nowhere.
        """
        if not check:
            return response.relayed or response.status < WELL_BELOW
        unknown = self._client.settings.probe is None and not self._client.served
        return response.relayed or unknown or response.status not in CANNOT_SERVE

    async def close(self) -> None:
        await self._tasks.close()


def _first_byte_of(request: UpstreamRequest) -> UpstreamRequest:
    """Of what a player was served, in nobody's name."""
    context = replace(request.context, client="")
    return UpstreamRequest(b"GET", request.target, (FIRST_BYTE,), urgency=Urgency.LIST, context=context, counts=False)
