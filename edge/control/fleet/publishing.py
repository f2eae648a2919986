"""The sender's side: an order goes to every node, and who has done it is told."""

import asyncio
import secrets
from typing import Any, Final

from pydantic import BaseModel

from edge.clock import Clock
from edge.control.asks import FleetTold
from edge.control.fleet.bus import Bus, BusSettings, FleetAway
from edge.control.fleet.member import Member
from edge.control.fleet.order import BODY_MOST, Order, Stamp, Verb
from edge.errors import BadRequest

LOOK_SECONDS: Final = 0.05


class Fleet:
    """Of one node. FleetAway: it works alone now."""

    def __init__(self, member: Member, settings: BusSettings, clock: Clock) -> None:
        self._member, self._settings, self._clock = member, settings, clock

    def __repr__(self) -> str:
        return f"<Fleet {self._member!r}>"

    def new_order(self, verb: Verb, ask: BaseModel) -> Order:
        """What is asked of this node, for all of them: `fleet` and `wait` are between the sender and us."""
        body = ask.model_dump_json(exclude={"fleet", "wait"}, exclude_defaults=True).encode()
        if len(body) > BODY_MOST:
            raise BadRequest(f"an order of {len(body)} bytes is too long for the fleet: at most {BODY_MOST}")
        return Order(secrets.token_hex(16), self._settings.node, self._clock.wall(), verb, body)

    async def publish(self, order: Order) -> Stamp:
        """To every node; this one has done it already."""
        self._member.done_here(order.id)
        return await self._bus.publish(order)

    async def standing(self, stamp: Stamp, wait: float) -> FleetTold:
        """Who has done an order: as soon as all live nodes have, or after so many seconds."""
        deadline = self._clock.monotonic() + wait
        while True:
            nodes = await self._bus.nodes()
            done = [node.name for node in nodes if node.done is not None and node.done >= stamp]
            behind = [node.name for node in nodes if node.done is not None and node.done < stamp]
            away = [node.name for node in nodes if node.done is None]
            if not behind or self._clock.monotonic() >= deadline:
                return FleetTold(order=str(stamp), done=done, behind=behind, away=away)
            await asyncio.sleep(LOOK_SECONDS)

    async def told(self) -> dict[str, Any]:
        """The fleet as this node sees it."""
        cursor = self._member.cursor
        here = {"name": self._settings.fleet, "node": self._settings.node, "done": str(cursor.done or "")}
        try:
            nodes = await self._bus.nodes()
            waiting = await self._bus.age_of_next(cursor.done) if cursor.done is not None else None
        except FleetAway as away:
            return {**here, "connected": False, "why": str(away)}
        live = [{"node": node.name, "live": node.done is not None, "done": str(node.done or "")} for node in nodes]
        return {**here, "connected": True, "lag": waiting, "nodes": live}

    @property
    def _bus(self) -> Bus:
        if self._member.bus is None:
            raise FleetAway("this node works alone: Redis cannot be reached, see the log")
        return self._member.bus
