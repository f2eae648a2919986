"""Opening connections: several addresses, names that cannot be resolved for a while."""

import asyncio
import socket
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.errors import OriginError
from edge.origin.client import Unobserved
from edge.origin.connection import OriginConnection
from edge.origin.names import DNS_SECONDS, STALE_SECONDS
from edge.origin.pool import OPEN_AHEAD, OPENING_MOST, RESERVED, Pool
from edge.origin.settings import OriginSettings
from edge.words import Reason

FIRST, SECOND = ("192.0.2.1", 80), ("192.0.2.2", 80)


def entry(address: tuple[str, int]) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", address)


class Net:
    """Names and addresses: which can be had, and what was tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.names: list[tuple[Any, ...]] | None = [entry(FIRST), entry(SECOND)]
        self.dead: set[tuple[str, int]] = set()
        self.asked = 0
        self.tried: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.pool = Pool(OriginSettings("http://origin.example"), self.clock, Unobserved())
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._resolve, raising=False)
        monkeypatch.setattr(self.pool.dialer, "connect_to", self._connect)

    async def _resolve(self, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        if self.names is None:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return self.names

    async def _connect(self, to: tuple[Any, ...]) -> OriginConnection:
        self.tried.append(to[4])
        await self.gate.wait()
        if to[4] in self.dead:
            raise ConnectionRefusedError(111, "refused")
        return OriginConnection(self.pool.settings)


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    return Net(monkeypatch)


async def test_an_address_that_failed_comes_last_from_then_on(net: Net) -> None:
    net.dead.add(FIRST)
    await net.pool.take()
    await net.pool.take()
    assert net.tried == [FIRST, SECOND, SECOND]
    assert net.asked == 1


async def test_several_that_fail_at_the_same_moment_all_go_on_to_the_next_address(net: Net) -> None:
    net.dead.add(FIRST)
    net.gate.clear()
    taking = [asyncio.ensure_future(net.pool.take()) for _ in range(3)]
    while len(net.tried) < 3:
        await asyncio.sleep(0)
    net.gate.set()
    await asyncio.gather(*taking)
    assert net.tried == [FIRST] * 3 + [SECOND] * 3


async def test_when_no_address_answers_the_last_ones_error_is_told(net: Net) -> None:
    net.dead |= {FIRST, SECOND}
    with pytest.raises(OriginError) as caught:
        await net.pool.take()
    assert caught.value.reason is Reason.CONNECT_FAILED
    assert net.pool.counts == (0, 0, 0)


async def test_while_names_cannot_be_resolved_the_last_answer_is_used_on(net: Net) -> None:
    await net.pool.take()
    net.names = None
    net.clock.advance(STALE_SECONDS + 1)
    await net.pool.take()
    assert net.asked == 2
    assert net.tried == [FIRST, FIRST]
    net.names = [entry(SECOND)]
    net.clock.advance(STALE_SECONDS + 1)
    await net.pool.take()
    assert net.tried[-1] == SECOND


async def test_a_name_is_resolved_anew_behind_what_is_in_use(net: Net) -> None:
    await net.pool.take()
    net.names = [entry(SECOND)]
    net.clock.advance(DNS_SECONDS + 1)
    await net.pool.take()
    assert net.tried == [FIRST, FIRST]
    while net.asked < 2:
        await asyncio.sleep(0)
    await net.pool.take()
    assert net.tried[-1] == SECOND


async def test_many_who_need_a_name_ask_for_it_once(net: Net) -> None:
    await asyncio.gather(*(net.pool.take() for _ in range(50)))
    assert net.asked == 1


async def test_an_address_that_failed_stays_last_when_the_name_is_resolved_anew(net: Net) -> None:
    net.dead.add(FIRST)
    await net.pool.take()
    net.clock.advance(STALE_SECONDS + 1)
    await net.pool.take()
    assert net.asked == 2
    assert net.tried == [FIRST, SECOND, SECOND]


async def test_a_name_that_was_never_resolved_is_an_error(net: Net) -> None:
    net.names = None
    with pytest.raises(OriginError) as caught:
        await net.pool.take()
    assert caught.value.reason is Reason.CONNECT_FAILED


async def test_a_far_upstream_in_use_has_connections_open_ahead_and_an_unused_one_has_none(net: Net) -> None:
    pool = net.pool
    await pool.keep_warm()  # one, to see how far it is
    assert len(net.tried) == 1
    pool.path.connected(0.2)
    while pool.counts[1] < pool.settings.warm:
        before = pool.counts[1]
        await pool.keep_warm()
        assert pool.counts[1] > before
    tried = len(net.tried)
    await pool.keep_warm()
    assert len(net.tried) == tried == pool.settings.warm
    net.clock.advance(pool.settings.keepalive + 1.0)
    await pool.keep_warm()
    assert pool.counts == (0, 0, 0)


async def test_a_near_upstream_has_none_open_ahead(net: Net) -> None:
    await net.pool.keep_warm()
    net.pool.path.connected(0.001)
    net.clock.advance(1.0)
    await net.pool.keep_warm()
    assert len(net.tried) == 1


async def test_an_upstream_that_cannot_be_reached_costs_one_try_at_a_time(net: Net) -> None:
    net.dead = {FIRST, SECOND}
    await net.pool.keep_warm()
    assert len(net.tried) == 2
    assert net.pool.counts == (0, 0, 0)
    net.dead = set()
    await net.pool.keep_warm()
    assert net.pool.counts[1] == 1


async def test_connections_that_the_upstream_has_closed_are_opened_ahead_anew(net: Net) -> None:
    pool = net.pool
    pool.path.connected(0.2)
    for _ in range(8):
        await pool.keep_warm()
    assert pool.counts[1] == pool.settings.warm
    for connection in list(pool._idle)[1:]:
        connection.close()
    await pool.keep_warm()
    assert pool.counts[1] == 1 + OPEN_AHEAD


async def warm(net: Net, windows: list[int]) -> Pool:
    """A far upstream with idle connections that have these windows."""
    pool = net.pool
    pool.path.connected(0.2)
    while pool.counts[1] < len(windows):
        await pool.keep_warm()
    for connection, size in zip(pool._idle, windows, strict=False):
        connection.window.size = size
    return pool


async def test_far_away_the_connection_with_the_widest_window_is_used_first(net: Net) -> None:
    pool = await warm(net, [100_000 + number % 5 for number in range(OPEN_AHEAD)])
    taken = [(await pool.take()).window.size for _ in range(OPEN_AHEAD)]
    assert taken == sorted(taken, reverse=True)


async def test_pieces_take_warm_connections_and_leave_some_for_first_requests(net: Net) -> None:
    pool = await warm(net, [100_000 + number for number in range(32)])
    count, together = pool.windows
    assert count == 32 - RESERVED
    assert together == pytest.approx(count * 100_000, rel=0.01)
    taken = 0
    while pool.take_warm() is not None:
        taken += 1
    assert taken == count
    assert pool.windows == (0, 0)
    opened = len(net.tried)
    await pool.take()
    assert len(net.tried) == opened  # it did not have to wait for a new one


async def test_what_the_widest_bring_is_of_those_that_pieces_may_take(net: Net) -> None:
    pool = await warm(net, [100_000 + number for number in range(32)])
    assert pool.widest(2) == 100_031 + 100_030
    while pool.windows[0] > 1:
        pool.take_warm()
    assert pool.widest(2) == max(connection.window.size for connection in pool._idle)
    pool.take_warm()
    assert pool.widest(2) == 0


async def test_pieces_take_no_more_than_their_share_of_the_connections(net: Net) -> None:
    pool = await warm(net, [100_000] * 32)
    for _ in range(pool.for_pieces):
        await pool.take()
    assert pool.to_open == 0
    net.pool._idle.extend(OriginConnection(pool.settings) for _ in range(10))
    assert pool.take_warm() is None


async def test_only_so_many_connections_are_opened_for_pieces_at_a_time(net: Net) -> None:
    pool = await warm(net, [100_000] * 32)
    assert pool.to_open == OPENING_MOST
    for connection in list(pool._idle):
        connection.close()
    net.gate.clear()
    taking = [asyncio.ensure_future(pool.take()) for _ in range(20)]
    while len(net.tried) < 32 + 20:
        await asyncio.sleep(0)
    assert pool.to_open == OPENING_MOST - 20
    net.gate.set()
    await asyncio.gather(*taking)
    assert pool.to_open == OPENING_MOST


async def test_a_connection_that_was_not_used_goes_back_as_it_was(net: Net) -> None:
    pool = await warm(net, [100_000] * 32)
    before = pool.counts
    connection = pool.take_warm()
    assert connection is not None
    pool.put_back(connection)
    assert pool.counts == before
    assert not connection.closed
    pool.put_back(connection)  # a second time does nothing
    assert pool.counts == before


async def test_as_many_are_kept_open_as_were_in_use_or_would_have_been_of_use(net: Net) -> None:
    pool = await warm(net, [100_000] * 32)
    pool.expect(60)
    for _ in range(10):
        await pool.keep_warm()
    assert 55 < pool.counts[1] < 70
    pool.expect(10_000)
    for _ in range(100):
        await pool.keep_warm()
    assert pool.counts[1] <= pool.for_pieces + RESERVED


async def test_what_was_of_use_once_is_not_kept_open_for_ever(net: Net) -> None:
    pool = await warm(net, [100_000] * 32)
    pool.expect(96)
    for _ in range(600):
        await pool.take()
        pool._in_use.pop()
        pool._line.leave()
        await pool.keep_warm()
    for connection in pool._idle:
        connection.close()
    for _ in range(20):
        await pool.keep_warm()
    assert pool.counts[1] == pool.settings.warm


async def test_near_by_the_connection_used_last_is_used_first(net: Net) -> None:
    pool = net.pool
    pool.path.connected(0.001)
    first, second = await pool.take(), await pool.take()
    for connection in (first, second):
        connection._complete = connection._head.keep_alive = True
        connection._ended_messages = 1
        connection._transport = None
        pool.give_back(connection)
        net.clock.advance(1.0)
    assert await pool.take() is second
    assert await pool.take(idle_most=1.5) not in (first, second)
