"""Fetches that nobody waits for (warm jobs, prefetches) ask their upstream only while it has connections to spare."""

import asyncio
from typing import Final

from edge.errors import OriginError
from edge.fill.flight import Flight
from edge.fill.shop import Shop
from edge.words import Reason

LOOK_AGAIN: Final = 0.05  # seconds: a request takes longer than that on a far path


async def let_players_go_first(shop: Shop, flight: Flight) -> None:
    """Wait while the upstream is busy, as long as only patient readers want what the flight brings.

    OriginError CANCELLED: it is not even expected to be asked for any more.
    """
    while flight.patient:
        if flight.unasked and not flight.background:
            raise OriginError(Reason.CANCELLED, "nobody is expected to ask for it", retryable=False)
        if shop.group.spare:
            return
        await asyncio.sleep(LOOK_AGAIN)
