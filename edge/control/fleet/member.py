"""One node's part in the fleet: it reads the orders, does them one after the other, and says how far it is.

  1. join: is there an order after the cursor that the stream holds no more? Then distrust what is stored, first
  2. read what comes after the cursor, do it, move the cursor, tell it; again
  3. whatever fails at Redis: alone, and from 1 again a little later
An order that cannot be done now (no keeper answers) is tried until it can; what is signed wrongly, or means nothing
here, is counted and passed over. An order done twice does no harm.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from edge.clock import Clock
from edge.control.fleet.bus import Bus, BusSettings, FleetAway, Tail
from edge.control.fleet.cursor import Cursor
from edge.control.fleet.order import NotOurs, Order, Seen, Stamp, order_of
from edge.errors import BadRequest, EdgeError
from edge.tasks import Tasks

WAIT_SECONDS: Final = 2.0  # of one read
BEAT_SECONDS: Final = 2.0  # a node is away after five of them
AGAIN_FIRST: Final = 0.25
AGAIN_MOST: Final = 5.0
RETRY_SECONDS: Final = 1.0  # a keeper that has died is back by then
REMEMBERED: Final = 10_000  # orders of our own, which were done before they were published

log = logging.getLogger("edge.control")


class Work(Protocol):
    """What this room needs of the node. EdgeError: not now; BadRequest: it means nothing here."""

    async def do(self, order: Order) -> None: ...

    async def distrust(self, why: str) -> None: ...


class Gauges(Protocol):
    """`lag` in seconds: for so long the oldest order has been waiting, or may have."""

    def fleet(self, *, connected: bool, lag: float) -> None: ...

    def fleet_order(self, result: str) -> None: ...


class Member:
    """`run` for ever. `path` is the cursor's."""

    def __init__(
        self, settings: BusSettings, path: Path, work: Work, gauges: Gauges, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._settings, self._path, self._work, self._gauges = settings, path, work, gauges
        self._clock, self._say = clock, say
        self.cursor = Cursor.load(path, settings.fleet)
        self.bus: Bus | None = None  # while we take part
        self._own: dict[str, None] = {}
        self._heard_at = clock.monotonic()
        self._alone = self._is_unwritten = False
        self._closing = False  # the client's library has been seen to swallow a cancellation
        self._tasks = Tasks("fleet")

    def __repr__(self) -> str:
        return f"<Member {self._settings.node} done={self.cursor.done} {'alone' if self.bus is None else 'joined'}>"

    def start(self) -> None:
        self._tasks.spawn(self._run(), "run")
        self._tasks.spawn(self._beat(), "beat")

    async def close(self, *, stays: bool = False) -> None:
        """`stays`: this node is back in a moment, and is waited for meanwhile."""
        bus, self._closing = self.bus, True
        await self._tasks.close()
        if bus is not None and not stays:
            try:
                async with Bus(self._settings) as last:
                    await last.part()
            except FleetAway:
                pass  # it is taken for away a few seconds later

    def done_here(self, id_: str) -> None:
        """An order of ours need not be done again when it comes back to us."""
        self._own[id_] = None
        while len(self._own) > REMEMBERED:
            del self._own[next(iter(self._own))]

    async def _run(self) -> None:
        delay = AGAIN_FIRST
        while not self._closing:
            try:
                async with Bus(self._settings) as bus:
                    await self._join(bus)
                    delay = AGAIN_FIRST
                    await self._follow(bus)
            except (EdgeError, OSError) as error:
                self.bus = None
                if not self._alone:
                    self._say(f"this node works alone, without its fleet: {error}")
                self._alone = True
            await asyncio.sleep(delay)
            delay = min(delay * 2, AGAIN_MOST)

    async def _join(self, bus: Bus) -> None:
        node = self._settings.node
        other = await bus.seen(node)
        if other is not None and other.identity != self.cursor.identity:
            raise FleetAway(f"another node of the fleet is called {node}, too: give each its own server.node")
        await self._make_up(await bus.tail())
        await self._tell(bus)
        self.bus, self._alone = bus, False
        self._say(f"takes part in the fleet {self._settings.fleet} as {node}")

    async def _make_up(self, tail: Tail) -> None:
        """Distrust what is stored if the stream may lack an order that we have not done."""
        epoch, done = self.cursor.epoch, self.cursor.done
        if done is None:
            await self._work.distrust("this cache takes part in the fleet for the first time")
            self._move(tail.epoch, tail.last)
        elif tail.may_lack(epoch, done):
            await self._work.distrust(f"orders after {done} may be gone from the fleet's stream")
            self._gauges.fleet_order("lost")
            self._move(tail.epoch, tail.first.before if tail.first is not None else tail.last)

    async def _follow(self, bus: Bus) -> None:
        while not self._closing:
            assert self.cursor.done is not None
            found = await bus.read(self.cursor.done, WAIT_SECONDS)
            self._heard_at = self._clock.monotonic()
            if not found:
                continue
            tail = await bus.tail()
            if tail.may_lack(self.cursor.epoch, self.cursor.done):  # it drops orders faster than we do them
                await self._make_up(tail)
                continue
            for stamp, fields in found:
                await self._one(stamp, fields)
                self._move(self.cursor.epoch, stamp)
            await self._tell(bus)

    async def _one(self, stamp: Stamp, fields: Mapping[bytes, bytes]) -> None:
        """Do what one entry says; it returns when that is done, or never will be."""
        settings = self._settings
        try:
            order = order_of(fields, stamp, settings.fleet, settings.keys)
            if order.id in self._own:
                self._gauges.fleet_order("own")
                return
            while True:
                try:
                    await self._work.do(order)
                    break
                except (BadRequest, NotOurs):
                    raise
                except (EdgeError, OSError) as error:
                    log.warning("an order of the fleet is tried again: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
            self._gauges.fleet_order("done")
        except NotOurs as wrong:
            log.error("entry %s of the fleet's stream is passed over: %s", stamp, wrong)
            self._gauges.fleet_order("forged")
        except BadRequest as wrong:
            log.warning("order %s of the fleet means nothing here: %s", stamp, wrong)
            self._gauges.fleet_order("refused")

    def _move(self, epoch: str, done: Stamp) -> None:
        """On a full disk it is moved in memory only: after a start what was done since is done again."""
        try:
            self.cursor, self._is_unwritten = self.cursor.moved(self._path, self._settings.fleet, epoch, done), False
        except OSError as error:
            if not self._is_unwritten:
                log.warning("how far the fleet's orders are done cannot be written down: %s", error)
            self.cursor, self._is_unwritten = replace(self.cursor, epoch=epoch, done=done), True

    async def _tell(self, bus: Bus) -> None:
        assert self.cursor.done is not None
        await bus.tell(Seen(self.cursor.identity, self.cursor.done))

    async def _beat(self) -> None:
        """Say that we live, also while a long order is being done; and measure."""
        while not self._closing:
            bus, done, lag = self.bus, self.cursor.done, self._clock.monotonic() - self._heard_at
            if bus is not None and done is not None:
                try:
                    await self._tell(bus)
                    lag = await bus.age_of_next(done)
                except FleetAway:
                    pass  # the reader finds it, too
            self._gauges.fleet(connected=self.bus is not None, lag=lag)
            await asyncio.sleep(BEAT_SECONDS)
