"""A disk that fails in the middle of an answer: what it does not give comes from elsewhere, from the same byte on."""

import errno
import os
import random
from collections.abc import Callable

import pytest

from edge.server import sending
from edge.server.exchange import Exchange, FileWindow, Outcome
from edge.server.observer import Event
from edge.words import KIB, MIB, PENDING
from tests.support.serverbench import Script, ServedFile, Window, ok
from tests.unit.server.test_connection import ASK, SIZE, Scene, fill, giving, heard, scene, turns

STORED = random.Random(1).randbytes(SIZE)
FETCHED = random.Random(2).randbytes(SIZE)  # other bytes, so that it shows where they come from


@pytest.fixture
def readable(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Of each file only so many bytes can be read from now on."""
    sendfile, pread = os.sendfile, os.pread

    def only(end: int) -> None:
        def check(offset: int) -> None:
            if offset >= end:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        def failing_sendfile(out: int, fd: int, offset: int, count: int) -> int:
            check(offset)
            return sendfile(out, fd, offset, min(count, end - offset))

        def failing_pread(fd: int, count: int, offset: int) -> bytes:
            check(offset + count - 1)
            return pread(fd, count, offset)

        monkeypatch.setattr(sending.os, "sendfile", failing_sendfile)
        monkeypatch.setattr(sending.os, "pread", failing_pread)

    return only


def fetched(at: int, count: int) -> bytes:
    return FETCHED[at : at + count]


def whole(file: ServedFile, size: int, brings: list[Window] | None) -> Callable[[Exchange], None]:
    """Answers with all of a file in one window; `brings`: what comes from elsewhere."""

    def answer(exchange: Exchange) -> None:
        def elsewhere(same: Exchange, window: FileWindow) -> Script:
            assert same is exchange
            assert window.offset + window.count == size
            return Script(brings or [fetched(window.offset, window.count)])

        if brings is not None:
            exchange.on_unreadable = elsewhere
        exchange.respond(ok(size), FileWindow(file, 0, size), length=size)

    return answer


def body_heard(at: Scene) -> bytes:
    return (heard(at.peer) + at.wire.sent).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("good", [0, 1, 50_000])
async def test_a_whole_body_that_cannot_be_read_comes_from_elsewhere(
    good: int, readable: Callable[[int], None]
) -> None:
    size = 100 * KIB
    async with scene(whole(ServedFile(STORED), size, [])) as at:
        readable(good)
        at.receive(ASK)
        await turns()
        assert body_heard(at) == STORED[:good] + FETCHED[good:size]
        assert at.wire.log == ["write"], "and the connection stays"
        assert at.ended[0].outcome is Outcome.DONE
        assert at.ended[0].body_bytes_sent == size


async def test_its_head_waits_for_what_comes_later(readable: Callable[[int], None]) -> None:
    brings: list[Window] = [PENDING]
    exchanges: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        exchanges.append(exchange)
        whole(ServedFile(STORED), 100 * KIB, brings)(exchange)

    async with scene(answer) as at:
        readable(0)
        at.receive(ASK)
        await turns()
        assert at.ended == []
        source = at.connection._sender._source._elsewhere  # type: ignore[union-attr]
        source.windows[:] = [FETCHED[: 100 * KIB]]
        exchanges[0].resume()
        await turns()
        assert body_heard(at) == FETCHED[: 100 * KIB]
        assert at.ended[0].outcome is Outcome.DONE


async def test_a_whole_body_that_nobody_else_brings_is_broken_off(readable: Callable[[int], None]) -> None:
    async with scene(whole(ServedFile(STORED), 100 * KIB, None)) as at:
        readable(10)
        at.receive(ASK)
        assert at.ended[0].outcome is Outcome.BROKEN
        assert at.ended[0].body_bytes_sent == 10
        assert at.resets_on_close()
        assert at.counted.events[Event.HANDLER_FAILED] == 0


async def test_what_waits_for_a_slow_client_and_is_not_in_memory_any_more_is_not_left_to_the_transport() -> None:
    file = ServedFile(STORED)
    file.there = MIB - 1
    async with scene(whole(file, MIB, [])) as at:
        fill(at.wire.sock)
        at.receive(ASK)
        await turns()
        assert at.wire.log == ["write", "write"]
        assert at.wire.sent.partition(b"\r\n\r\n")[2] == FETCHED[:MIB]
        assert at.ended[0].body_bytes_sent == MIB


@pytest.mark.parametrize("good", [0, 70_000])
async def test_the_rest_of_a_window_goes_back_to_its_source(good: int, readable: Callable[[int], None]) -> None:
    size = 200_000
    source = Script(
        [b"begin", FileWindow(ServedFile(STORED), 0, size), b"end"], lambda count: fetched(size - count, count)
    )
    async with scene(giving(source, size + 8)) as at:
        readable(good)
        at.receive(ASK)
        await turns(10)
        assert source.taken_back == [size - good]
        data = heard(at.peer)
        assert data == STORED[:good]
        assert at.wire.sent.partition(b"\r\n\r\n")[2] == b"begin" + FETCHED[good:size] + b"end"
        assert at.ended[0].outcome is Outcome.DONE
        assert at.ended[0].body_bytes_sent == size + 8
        assert source.closed == 1


async def test_a_small_window_goes_back_as_well(readable: Callable[[int], None]) -> None:
    source = Script([FileWindow(ServedFile(STORED), 0, 5000)], lambda count: fetched(0, count))
    async with scene(giving(source, 5000)) as at:
        readable(100)
        at.receive(ASK)
        await turns()
        assert source.taken_back == [5000]
        assert body_heard(at) == FETCHED[:5000]
        assert at.counted.events[Event.HANDLER_FAILED] == 0


async def test_what_is_not_in_memory_any_more_goes_back_before_it_waits_in_the_transport() -> None:
    file = ServedFile(STORED)
    source = Script([FileWindow(file, 0, MIB)], lambda count: fetched(MIB - count, count))
    async with scene(giving(source, MIB)) as at:
        file.there = MIB - 1
        at.receive(ASK)
        await turns()
        there = MIB - source.taken_back[0]
        assert 0 < there < MIB  # what the kernel has taken
        assert "sendfile" not in at.wire.log
        assert body_heard(at) == STORED[:there] + FETCHED[there:MIB]


async def test_a_file_that_has_become_shorter_is_not_waited_for() -> None:
    source = Script([FileWindow(ServedFile(STORED[:50_000]), 0, 60_000)], lambda count: fetched(60_000 - count, count))
    async with scene(giving(source, 60_000)) as at:
        at.receive(ASK)
        await turns()
        assert source.taken_back == [10_000]
        assert body_heard(at) == STORED[:50_000] + FETCHED[50_000:60_000]


async def test_a_chunk_whose_length_has_been_said_is_broken_off(readable: Callable[[int], None]) -> None:
    source = Script([FileWindow(ServedFile(STORED), 0, 200_000)], lambda count: fetched(0, count))
    async with scene(giving(source, None)) as at:
        readable(70_000)
        at.receive(ASK)
        await turns()
        assert source.taken_back == []
        assert at.ended[0].outcome is Outcome.BROKEN
        assert at.resets_on_close()


async def test_what_the_transport_cannot_read_later_is_no_client_that_left() -> None:
    async with scene(giving(FileWindow(ServedFile(STORED), 0, MIB), MIB)) as at:
        fill(at.wire.sock)
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.connection.connection_lost(OSError(errno.EIO, "it was reading for a slow client"))
        assert at.ended[0].outcome is Outcome.BROKEN
        assert at.counted.events[Event.BODY_BROKEN] == 1
        assert at.counted.events[Event.CLIENT_LEFT] == 0
