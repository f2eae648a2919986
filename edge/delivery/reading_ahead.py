"""Has keepers fetch what players that read in order will ask for next, for as long as these read (`sequels`)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from edge.access.passes import FIELD_LOW
from edge.delivery.places import Place
from edge.delivery.sequels import Sequel, Sequels
from edge.fill.asking import Asker
from edge.fill.messages import Fetch, Mode, Pin
from edge.server.exchange import Exchange, Outcome
from edge.store.record import Record

if TYPE_CHECKING:
    from edge.delivery.serving import Serving

LOOK: Final = 0.5  # seconds between looks at who still reads; none while nobody is read ahead for


class Lasting(Protocol):
    """A connection that knows whether its client is there."""

    @property
    def lost(self) -> bool: ...


class ReadingAhead:
    """Of one worker. A lease is one fetch that is told again, with the next stretch, and withdrawn in the end."""

    def __init__(self, delivery: "Serving", most: int) -> None:
        self._delivery = delivery
        self._sequels = Sequels(most)
        self._leases: dict[Sequel, tuple[Asker, Fetch]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<ReadingAhead {self._sequels!r}>"

    def began(self, exchange: Exchange, place: Place, record: Record, start: int, end: int) -> None:
        """[start, end) of a record is being answered."""
        request = exchange.request
        if not exchange.open:
            return
        # Caches of ours ask over many connections, in no order that would say anything; so does who keeps none.
        tells = request.keep_alive and request.get(FIELD_LOW) is None
        by = request.connection if tells else None
        now = self._delivery.clock.monotonic()
        sequel, left = self._sequels.begin(place.name, start, end, record.total, exchange, by, now)
        if left is not None:
            self._withdraw(left)
        if sequel is None:
            return
        exchange.on_closed = partial(self._ended, sequel, exchange.on_closed)
        stretch = self._sequels.step(sequel)
        if stretch is not None:
            self._ask(sequel, exchange, place, record, stretch)

    def _ask(self, sequel: Sequel, exchange: Exchange, place: Place, record: Record, stretch: tuple[int, int]) -> None:
        delivery, (start, end) = self._delivery, stretch
        pin = Pin(record.generation, record.total, record.etag)
        fetch = delivery.fetch_of(exchange.request, place, start=start, end=end, ranged=True, pin=pin, mode=Mode.AHEAD)
        known = self._leases.get(sequel)
        if known is not None:
            fetch = replace(fetch, id=known[1].id)
        asker = delivery.volumes[place.volume].asker
        self._leases[sequel] = asker, fetch
        asker.tell(fetch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _ended(self, sequel: Sequel, told: Callable[[Exchange], None] | None, exchange: Exchange) -> None:
        sequel.ended(exchange, self._delivery.clock.monotonic())
        if exchange.outcome is not Outcome.DONE and self._sequels.end(sequel):
            self._withdraw(sequel)
        if told is not None:
            told(exchange)

    def _look(self) -> None:
        self._timer = None
        for sequel, reads in self._sequels.look(self._delivery.clock.monotonic()):
            if not reads or self._has_gone(sequel):
                self._sequels.end(sequel)
                self._withdraw(sequel)
                continue
            stretch = self._sequels.step(sequel)
            if stretch is not None:
                asker, fetch = self._leases[sequel]
                self._leases[sequel] = asker, replace(fetch, start=stretch[0], end=stretch[1])
                asker.tell(self._leases[sequel][1])
        if len(self._sequels):
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _has_gone(self, sequel: Sequel) -> bool:
        by: Lasting | None = sequel.by  # type: ignore[assignment] # the server's own; opaque to others
        return by is not None and by.lost and not sequel.under_way

    def _withdraw(self, sequel: Sequel) -> None:
        asker, fetch = self._leases.pop(sequel)
        asker.withdraw(fetch)
