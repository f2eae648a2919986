"""A node whose disk is full takes part in its fleet: orders are done, though not how far can be written down."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.control.asks import PurgeAsk
from edge.control.fleet import member
from edge.control.fleet.bus import Bus, BusSettings
from edge.control.fleet.cursor import Cursor
from edge.control.fleet.member import Member
from edge.control.fleet.order import Order, Verb
from edge.control.fleet.publishing import Fleet
from tests.support.redisserver import needs_redis, redis_server

pytestmark = needs_redis
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Node:
    """What orders do; the first one finds a full disk."""

    def __init__(self) -> None:
        self.done = asyncio.Queue[bytes]()
        self.distrusts = 0
        self._fails = True

    async def do(self, order: Order) -> None:
        if self._fails:
            self._fails = False
            raise FULL
        self.done.put_nowait(order.body)

    async def distrust(self, _why: str) -> None:
        self.distrusts += 1

    def fleet(self, *, connected: bool, lag: float) -> None:
        pass

    def fleet_order(self, _result: str) -> None:
        pass


async def test_orders_are_done_on_a_full_disk_and_the_cursor_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "RETRY_SECONDS", 0.0)
    full, path = [True], tmp_path / "fleet.json"
    moved = Cursor.moved

    def moving(self: Cursor, *more: object) -> Cursor:
        if full[0]:
            raise FULL
        return moved(self, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Cursor, "moved", moving)
    async with redis_server(tmp_path / "redis") as redis:
        settings = BusSettings(redis.url, "edge", "msk", (b"k" * 16,), 100)
        node, joined = Node(), asyncio.Event()
        one = Member(
            settings, path, node, node, SystemClock(), lambda said: joined.set() if "takes part" in said else None
        )
        other = BusSettings(redis.url, "edge", "nsk", (b"k" * 16,), 100)
        fleet = Fleet(one, other, SystemClock())
        one.start()
        async with asyncio.timeout(30), Bus(other) as bus:
            await joined.wait()
            for tag in ("a", "b"):
                order = fleet.new_order(Verb.PURGE, PurgeAsk(tag=tag))
                await bus.publish(order)
                assert await node.done.get() == order.body
            assert node.distrusts == 1
            assert not path.exists()
            full[0] = False
            last = await bus.publish(fleet.new_order(Verb.PURGE, PurgeAsk(tag="c")))
            await node.done.get()
            while one.cursor.done != last:
                await asyncio.sleep(0.01)
            assert Cursor.load(path, "edge").done == last
        await one.close()
