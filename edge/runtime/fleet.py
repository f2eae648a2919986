"""This node's part in its fleet, wired: what the stream's orders do here, and what is published from here."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from edge.clock import Clock
from edge.config.schema import Settings
from edge.control.aims import aims_of
from edge.control.asks import FleetTold, PurgeAsk, PurgeTold, WarmAsk
from edge.control.fleet.bus import BusSettings, FleetAway
from edge.control.fleet.member import Member
from edge.control.fleet.order import NotOurs, Order, Stamp, Verb
from edge.control.fleet.publishing import Fleet
from edge.control.warm import Warmth
from edge.control.warmjob import Job
from edge.errors import BadRequest, EdgeError
from edge.observe.meters import Meters
from edge.policy.purges import Purge, Scope
from edge.runtime import convert
from edge.runtime.report import say

CURSOR: Final = "fleet.json"
JOB_DIGITS: Final = 8  # of a warm job's name, which is the same on every node

PurgeThese = Callable[[tuple[Purge, ...], PurgeAsk, float], Awaitable[PurgeTold]]


class FleetGauges:
    """What the fleet's member counts."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def fleet(self, *, connected: bool, lag: float) -> None:
        self._meters.gauge("edge_fleet_connected", to=int(connected))
        self._meters.gauge("edge_purge_lag_seconds", to=lag)

    def fleet_order(self, result: str) -> None:
        self._meters.count("edge_fleet_orders_total", result)


class Here:
    """What orders do on this node."""

    def __init__(self, settings: Callable[[], Settings], purge_these: PurgeThese, warmth: Warmth) -> None:
        self._settings, self._purge_these, self._warmth = settings, purge_these, warmth

    async def do(self, order: Order) -> None:
        try:
            ask = (PurgeAsk if order.verb is Verb.PURGE else WarmAsk).model_validate_json(order.body)
        except ValueError as wrong:  # a newer node's, perhaps
            raise NotOurs(f"its body cannot be read: {wrong}") from wrong
        if isinstance(ask, WarmAsk):
            if order.id[:JOB_DIGITS] not in self._warmth.jobs:
                self._warmth.add(ask, order.id[:JOB_DIGITS])
            return
        aims = aims_of(ask, convert.site_rules(self._settings()))
        await self._purge_these(aims, ask, time.monotonic())

    async def distrust(self, why: str) -> None:
        say(f"all that is stored is asked about before its next use: {why}")
        everything = PurgeAsk(everything=True, soft=True)
        await self._purge_these((Purge(Scope.PREFIX, b"", soft=True),), everything, time.monotonic())


def bus_settings(settings: Settings) -> BusSettings | None:
    """None: this node is in no fleet. ConfigError: its key cannot be used."""
    said = settings.fleet
    if not said.redis:
        return None
    keys, password = convert.fleet_secrets(settings)
    return BusSettings(said.redis, said.name, settings.server.node, keys, said.keep, password)


class Publisher:
    """`fleet` None: orders for the fleet are refused."""

    def __init__(self, work: Here, settings: BusSettings | None, state: Path, meters: Meters, clock: Clock) -> None:
        self._member: Member | None = None
        self.fleet: Fleet | None = None
        if settings is not None:
            self._member = Member(settings, state / CURSOR, work, FleetGauges(meters), clock, say)
            self.fleet = Fleet(self._member, settings, clock)

    def start(self) -> None:
        if self._member is not None:
            self._member.start()

    async def close(self, *, stays: bool) -> None:
        if self._member is not None:
            await self._member.close(stays=stays)

    async def purged(self, told: PurgeTold, ask: PurgeAsk, urls: list[str]) -> PurgeTold:
        """The same for all others, once it holds here; `urls` is what a title refers to, which is the same for all."""
        if ask.title is not None:
            ask = PurgeAsk(urls=tuple(dict.fromkeys([ask.title, *urls])), soft=ask.soft, fleet=True, wait=ask.wait)
        try:
            fleet = self.here()
            stamp = await fleet.publish(fleet.new_order(Verb.PURGE, ask))
        except FleetAway as away:
            return told.model_copy(update={"fleet": FleetTold(error=str(away))})
        return told.model_copy(update={"fleet": await self._standing(fleet, stamp, ask.wait)})

    async def warm(self, ask: WarmAsk, warmth: Warmth) -> Job:
        """A job of the same name on every node. FleetAway: nothing was begun."""
        fleet = self.here()
        order = fleet.new_order(Verb.WARM, ask)
        await fleet.publish(order)
        return warmth.add(ask, order.id[:JOB_DIGITS])

    async def _standing(self, fleet: Fleet, stamp: Stamp, wait: float) -> FleetTold:
        try:
            return await fleet.standing(stamp, wait)
        except EdgeError as error:
            return FleetTold(order=str(stamp), error=f"it is published; who has done it cannot be told: {error}")

    def here(self) -> Fleet:
        """BadRequest: there is no fleet to give orders to."""
        if self.fleet is None:
            raise BadRequest("this node is in no fleet: [fleet] redis says where one is", 409)
        return self.fleet
