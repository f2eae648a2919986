"""The fault proxy itself: each fault does to a plain client what its name says, and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.demo.describing import body_slice
from tests.support.edgeproc import describing_origin
from tests.support.faultproxy import FaultProxy
from tests.support.faults import (
    Drip,
    Fault,
    Flip,
    Harm,
    Late,
    Rate,
    Refuse,
    Reset,
    Seen,
    Stall,
    Status,
    Surplus,
    Truncate,
    WrongRange,
    burst,
    concerns,
    on_connection,
)

SIZE = 200_000
PATH = f"/s/{SIZE}/a.ts"
RIGHT = body_slice(PATH, 1, 0, SIZE)


@asynccontextmanager
async def proxy(*faults: Fault, times: int | None = None) -> AsyncIterator[FaultProxy]:
    async with describing_origin() as origin, FaultProxy(origin.url, Harm(faults, times)) as found:
        yield found


class Client:
    """One keep-alive connection to a proxy."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    async def head(self, part: tuple[int, int] | None = None) -> str:
        field = f"Range: bytes={part[0]}-{part[1] - 1}\r\n" if part else ""
        self.writer.write(f"GET {PATH} HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def until_end(self) -> tuple[bytes, bool]:
        """(what came until the connection ended, was it reset?)."""
        data = b""
        try:
            while more := await self.reader.read(65536):
                data += more
        except ConnectionResetError:
            return data, True
        return data, False


@pytest.mark.parametrize("at", [0, 1, 65_535, 65_536, 100_001, SIZE - 1])
async def test_reset_and_truncate_end_before_their_byte_the_one_with_rst_the_other_with_fin(at: int) -> None:
    for fault in (Reset(at), Truncate(at)):
        async with proxy(fault) as found, Client(found.port) as client:
            assert f"ontent-Length: {SIZE}" in await client.head()
            data, reset = await client.until_end()
            assert reset == isinstance(fault, Reset)
            assert data == RIGHT[: len(data)]
            assert len(data) == at or reset  # what a reset has overtaken may be lost


async def test_a_stall_sends_what_is_before_it_and_then_nothing_but_keeps_the_connection() -> None:
    async with proxy(Stall(70_000)) as found, Client(found.port) as client:
        await client.head()
        assert await client.reader.readexactly(70_000) == RIGHT[:70_000]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.reader.read(1)


async def test_a_flip_harms_one_bit_also_of_a_part() -> None:
    async with proxy(Flip(70_000)) as found, Client(found.port) as client:
        for part in (None, (60_000, 80_000)):
            start, end = part or (0, SIZE)
            await client.head(part)
            data = await client.reader.readexactly(end - start)
            wrong = [at for at, (one, other) in enumerate(zip(data, RIGHT[start:end], strict=True)) if one != other]
            assert wrong == [70_000 - start]
        await client.head((0, 70_000))
        assert await client.reader.readexactly(70_000) == RIGHT[:70_000]


async def test_surplus_bytes_follow_a_whole_body() -> None:
    async with proxy(Surplus(30)) as found, Client(found.port) as client:
        await client.head()
        assert await client.reader.readexactly(SIZE + 30) == RIGHT + b"?" * 30


async def test_a_wrong_content_range_is_told_and_the_body_stays_right() -> None:
    async with proxy(WrongRange(start=1, end=2, total=3)) as found, Client(found.port) as client:
        head = await client.head((100, 200))
        assert re.search(rf"ontent-Range: bytes 101-201/{SIZE + 3}\r", head)
        assert await client.reader.readexactly(100) == RIGHT[100:200]


@pytest.mark.parametrize("fault", [Rate(2_000_000), Drip(190_000, 1000, 0.001), Late(0.01, jitter=0.005)])
async def test_slow_answers_are_slow_and_right(fault: Fault) -> None:
    async with proxy(fault) as found, Client(found.port) as client:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await client.head()
        assert await client.reader.readexactly(SIZE) == RIGHT
        assert loop.time() - begun >= (0.075 if isinstance(fault, Rate) else 0.005)


async def test_a_status_is_the_proxys_own_and_the_connection_goes_on() -> None:
    async with proxy(Status(503), times=2) as found, Client(found.port) as client:
        for status in (503, 503, 200):
            assert f" {status} " in await client.head()
            await client.reader.readexactly(SIZE if status == 200 else 6)
        assert [seen.number for seen in found.seen] == [1, 2, 3]
        assert found.counts() == {PATH: 3}


async def test_a_refused_request_is_a_reset_without_an_answer() -> None:
    async with proxy(Refuse(), times=1) as found:
        async with Client(found.port) as client:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await client.head()
        async with Client(found.port) as client:
            assert " 200 " in await client.head()
            await client.reader.readexactly(SIZE)


async def test_down_refuses_and_resets_and_up_is_on_the_same_port() -> None:
    async with proxy() as found, Client(found.port) as client:
        port = found.port
        await client.head()
        await found.down()
        data, _ = await client.until_end()
        assert data == RIGHT[: len(data)]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await found.up()
        async with Client(port) as another:
            await another.head()
            assert await another.reader.readexactly(SIZE) == RIGHT


def test_a_script_harms_what_it_says_and_draws_the_same_jitter_each_time() -> None:
    one, two = Seen(1, 1, "GET", "/a", 0, 100), Seen(2, 2, "GET", "/b", 100)
    assert concerns(Reset(99), one)
    assert not concerns(Reset(100), one)
    assert concerns(Reset(10**9), two)
    assert not concerns(WrongRange(start=1), two)
    harm = Harm((Reset(50), Surplus(1)), times=1, path="/a")
    assert [harm(two), harm(one), harm(one)] == [(), (Reset(50), Surplus(1)), ()]
    assert harm.fired == 1
    assert [on_connection(2, Refuse())(seen) for seen in (one, two)] == [(), (Refuse(),)]
    assert [burst(503, 1, 1)(seen) for seen in (one, two)] == [(), (Status(503),)]
    late = Late(0.1, jitter=0.05)
    assert late.of(one) == late.of(one) != late.of(two)
    assert 0.05 <= late.of(one) <= 0.15
