"""Nodes and a real Redis: orders reach all once signed, are replayed after an absence; distrust where one may lack."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.control.asks import PurgeAsk
from edge.control.fleet.bus import Bus, BusSettings, FleetAway
from edge.control.fleet.member import Member
from edge.control.fleet.order import Order, Stamp, Verb
from edge.control.fleet.publishing import Fleet
from edge.errors import BadRequest, EdgeError
from tests.support.redisserver import RedisServer, needs_redis, redis_server

pytestmark = needs_redis
KEYS = (b"k" * 16,)


class Node:
    """A node whose work is a list; also what it says and counts."""

    def __init__(self, name: str, redis: RedisServer, directory: Path, keep: int = 1000) -> None:
        self.settings = BusSettings(redis.url, "edge", name, KEYS, keep)
        self.done: list[str] = []
        self.said: list[str] = []
        self.counts: dict[str, int] = {}
        self.connected: list[bool] = []
        self.lags: list[float] = [0.0]
        self.distrusted = 0
        self.before: Callable[[], None] = lambda: None
        self.may_work = asyncio.Event()
        self.may_work.set()
        self._path = directory / f"{name}.json"
        self.changed = asyncio.Event()
        self.start()

    def start(self) -> None:
        self.member = Member(self.settings, self._path, self, self, SystemClock(), self._say)
        self.fleet_side = Fleet(self.member, self.settings, SystemClock())
        self.member.start()

    def _say(self, line: str) -> None:
        self.said.append(line)
        self.changed.set()

    async def do(self, order: Order) -> None:
        await self.may_work.wait()
        self.before()
        self.done.append(PurgeAsk.model_validate_json(order.body).url or "")
        self.changed.set()

    async def distrust(self, why: str) -> None:
        self.distrusted += 1
        self.changed.set()

    def fleet(self, *, connected: bool, lag: float) -> None:
        self.connected.append(connected)
        self.lags.append(lag)
        self.changed.set()

    def fleet_order(self, result: str) -> None:
        self.counts[result] = self.counts.get(result, 0) + 1
        self.changed.set()

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not so():
                self.changed.clear()
                await self.changed.wait()

    async def joined(self) -> None:
        await self.until(lambda: bool(self.said) and self.said[-1].startswith("takes part"))

    async def purge(self, url: str, wait: float = 0.0) -> tuple[list[str], list[str], list[str]]:
        stamp = await self.fleet_side.publish(self.fleet_side.new_order(Verb.PURGE, PurgeAsk(url=url)))
        told = await self.fleet_side.standing(stamp, wait)
        return told.done, told.behind, told.away


@asynccontextmanager
async def nodes(redis: RedisServer, directory: Path, *names: str, keep: int = 1000) -> AsyncIterator[list[Node]]:
    found = [Node(name, redis, directory, keep) for name in names]
    try:
        for node in found:
            await node.joined()
        yield found
    finally:
        for node in found:
            await node.member.close()


async def test_an_order_reaches_every_node_once_and_all_of_them_acknowledge(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk", "vvo") as (msk, nsk, vvo):
        assert await msk.purge("http://a/1", wait=10) == (["msk", "nsk", "vvo"], [], [])
        assert (msk.done, nsk.done, vvo.done) == ([], ["http://a/1"], ["http://a/1"])  # msk had done it before
        assert await vvo.purge("http://a/2", wait=10) == (["msk", "nsk", "vvo"], [], [])
        assert (msk.done, nsk.done) == (["http://a/2"], ["http://a/1", "http://a/2"])
        assert [node.distrusted for node in (msk, nsk, vvo)] == [1, 1, 1]  # once, when each joined
        assert (await msk.fleet_side.told())["lag"] == 0.0


async def test_who_has_not_done_it_is_named_and_who_is_away_apart_from_who_is_slow(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk", "vvo") as (msk, nsk, vvo):
        await vvo.member.close()
        nsk.may_work.clear()
        assert await msk.purge("http://a/1", wait=0.3) == (["msk"], ["nsk"], ["vvo"])
        await nsk.until(lambda: nsk.lags[-1] > 0.0)  # what alerts go by
        await msk.until(lambda: msk.lags[-1] == 0.0)  # it has done it, and is not behind any more
        nsk.may_work.set()
        assert await msk.purge("http://a/2", wait=10) == (["msk", "nsk"], [], ["vvo"])
        await nsk.until(lambda: nsk.lags[-1] == 0.0)


async def test_a_node_that_was_away_does_what_it_missed_in_order_and_keeps_its_trust(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        await msk.purge("http://a/0", wait=10)
        await nsk.member.close()
        for n in range(1, 251):
            await msk.purge(f"http://a/{n}")
        nsk.start()
        await nsk.until(lambda: len(nsk.done) == 251)
        assert nsk.done == [f"http://a/{n}" for n in range(251)]
        assert nsk.distrusted == 1
        assert "lost" not in nsk.counts


async def test_a_node_that_was_away_for_longer_than_the_stream_keeps_distrusts_all_it_has(tmp_path: Path) -> None:
    async with (
        redis_server(tmp_path / "r") as redis,
        nodes(redis, tmp_path, "msk", "nsk", keep=10) as (msk, nsk),
    ):
        await msk.purge("http://a/0", wait=10)
        await nsk.member.close()
        for n in range(1, 31):
            await msk.purge(f"http://a/{n}")
        assert await redis.command("XLEN", "edge:orders") == 10
        nsk.start()
        await nsk.until(lambda: len(nsk.done) == 11)
        assert nsk.done == ["http://a/0", *(f"http://a/{n}" for n in range(21, 31))]
        assert (nsk.distrusted, nsk.counts["lost"]) == (2, 1)
        await nsk.member.close()
        nsk.start()  # and once is enough
        assert (await msk.purge("http://a/31", wait=10))[1] == []
        await nsk.until(lambda: nsk.done[-1] == "http://a/31")
        assert nsk.distrusted == 2


async def test_without_redis_a_node_works_alone_says_so_once_and_takes_part_again(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        await msk.purge("http://a/1", wait=10)
        await redis.stop()
        for node in (msk, nsk):
            await node.until(lambda node=node: "works alone" in node.said[-1])  # type: ignore[misc]
        with pytest.raises(FleetAway, match="works alone"):
            await msk.purge("http://a/2")
        assert (await msk.fleet_side.told())["connected"] is False
        await msk.until(lambda: msk.connected[-1] is False)
        await redis.start()
        for node in (msk, nsk):
            await node.joined()
            assert len([line for line in node.said if "alone" in line]) == 1
            assert node.distrusted == 1
        assert await msk.purge("http://a/3", wait=10) == (["msk", "nsk"], [], [])
        assert nsk.done == ["http://a/1", "http://a/3"]


async def test_a_redis_that_has_lost_everything_has_each_node_distrust_what_it_has(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        await msk.purge("http://a/1", wait=10)
        await redis.stop()
        redis.lose()
        await redis.start()
        for node in (msk, nsk):
            await node.until(lambda node=node: node.distrusted == 2)  # type: ignore[misc]
            await node.joined()
        assert await msk.purge("http://a/2", wait=10) == (["msk", "nsk"], [], [])


async def test_what_is_not_signed_by_the_fleet_is_counted_and_not_done(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        stranger = Bus(replace(msk.settings, keys=(b"s" * 16,)))
        async with stranger:
            await stranger.publish(msk.fleet_side.new_order(Verb.PURGE, PurgeAsk(everything=True)))
        await redis.command("XADD", "edge:orders", "*", "hello", "world")
        await msk.purge("http://a/1", wait=10)
        await nsk.until(lambda: nsk.done == ["http://a/1"])
        assert (nsk.counts["forged"], nsk.counts["done"]) == (2, 1)


async def test_a_node_cannot_be_said_to_have_done_what_it_has_not(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        nsk.may_work.clear()
        await redis.command("SET", "edge:node:nsk", f"{nsk.member.cursor.identity} 99999999999999-0 {'00' * 32}")
        done, behind, away = await msk.purge("http://a/1")
        assert ("nsk" in done, "nsk" in behind + away) == (False, True)
        nsk.may_work.set()


async def test_an_order_that_fails_is_tried_again_and_one_that_means_nothing_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.control.fleet.member.RETRY_SECONDS", 0.01)
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        failures: list[EdgeError] = [EdgeError("no keeper answers")] * 3 + [BadRequest("no such site")]

        def fail() -> None:
            if failures:
                raise failures.pop(0)

        nsk.before = fail
        await msk.purge("http://a/1", wait=10)
        await msk.purge("http://a/2", wait=10)
        assert nsk.done == ["http://a/2"]
        assert (nsk.counts["refused"], nsk.counts["done"]) == (1, 1)


async def test_a_node_whose_program_is_exchanged_is_waited_for(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        await nsk.member.close(stays=True)
        _, behind, away = await msk.purge("http://a/1")
        assert ("nsk" in behind, away) == (True, [])
        nsk.start()
        assert await msk.purge("http://a/2", wait=10) == (["msk", "nsk"], [], [])
        assert nsk.distrusted == 1


async def test_a_second_node_of_the_same_name_stays_out(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk") as (msk,):
        (tmp_path / "other").mkdir()
        twin = Node("msk", redis, tmp_path / "other")
        await twin.until(lambda: bool(twin.said))
        assert "another node of the fleet is called msk" in twin.said[0]
        await twin.member.close()
        assert msk.said == ["takes part in the fleet edge as msk"]


async def test_an_emptied_cache_joins_anew_and_does_not_replay_the_past(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "r") as redis, nodes(redis, tmp_path, "msk", "nsk") as (msk, nsk):
        await msk.purge("http://a/1", wait=10)
        await nsk.member.close()
        (tmp_path / "nsk.json").unlink()
        await msk.purge("http://a/2")
        nsk.start()
        await nsk.until(lambda: nsk.distrusted == 2)
        assert (await msk.purge("http://a/3", wait=10))[1] == []
        await nsk.until(lambda: nsk.done == ["http://a/1", "http://a/3"])


def test_stamps_of_redis_are_read_as_they_come() -> None:
    assert Stamp.parse(b"1700000000000-0") == Stamp(1_700_000_000_000, 0)
