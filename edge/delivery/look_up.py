"""A request whose name would have to be looked up on the disk: a thread does it first, and nobody else waits."""

import asyncio
from typing import TYPE_CHECKING

from edge.delivery.places import Place
from edge.server.exchange import Exchange
from edge.store.patience import LATE_SECONDS
from edge.store.record import Flag

if TYPE_CHECKING:
    from edge.delivery.story import Delivery


class LookUp:
    """One waiting request. When the pages are in memory its story goes on as always."""

    def __init__(self, delivery: "Delivery", exchange: Exchange, place: Place) -> None:
        self._delivery, self._exchange, self._place = delivery, exchange, place

    def __repr__(self) -> str:
        return f"<LookUp {self._exchange!r}>"

    def begin(self) -> None:
        """Have it done; the exchange is answered later."""
        self._delivery.volumes[self._place.volume].tasks.spawn(self._run(), "look-up")

    async def _run(self) -> None:
        try:
            there = await self._bring()
            if self._exchange.open:
                self._go_on(there)
        except Exception:
            self._exchange.abort()
            raise

    def _go_on(self, there: bool) -> None:
        delivery, exchange, place = self._delivery, self._exchange, self._place
        if there:
            delivery.look_again(exchange, place, 0)
        elif (other := delivery.elsewhere(exchange, place)) is not None:
            delivery.look_again(exchange, other, 0)
        else:
            delivery.fetch(exchange, place)

    async def _bring(self) -> bool:
        """False: the disk does not answer in time, and the object has to come from somewhere else."""
        try:
            async with asyncio.timeout(LATE_SECONDS):
                await self._bring_all()
        except TimeoutError:
            return False
        return True

    async def _bring_all(self) -> None:
        """Its name; where answers vary, those of the variants too."""
        reader = self._delivery.volumes[self._place.volume].reader
        await reader.bring(self._place.name)
        index = reader.lookup(self._place.name)
        if index is not None and index.flags & Flag.VARIES:
            for name in self._delivery.variants(self._exchange.request, self._place, index):
                await reader.bring(name)
