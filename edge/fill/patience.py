"""Fetches that nobody waits for (warm jobs) ask their upstream only while it has connections to spare."""

import asyncio
from typing import Final

from edge.fill.flight import Flight
from edge.fill.shop import Shop

LOOK_AGAIN: Final = 0.05  # seconds: a request takes longer than that on a far path


async def let_players_go_first(shop: Shop, flight: Flight) -> None:
    """Wait while the upstream is busy, as long as only patient readers want what the flight brings."""
    while flight.readers and all(reader.fetch.patient for reader in flight.readers):
        if shop.group.spare:
            return
        await asyncio.sleep(LOOK_AGAIN)
