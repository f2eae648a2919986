"""Bodies over real sockets, plain and TLS, on both loops: the promised bytes, or a reset."""

import asyncio
import errno
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.server import sending
from edge.server.exchange import BodySource, Exchange, FileWindow, Outcome
from edge.server.observer import Event
from edge.server.settings import ServerSettings
from edge.server.tls import make_server_context
from edge.words import KIB, MIB, PENDING
from tests.support.certs import make_cert, trusting
from tests.support.loops import both_loops
from tests.support.serverbench import (
    Bench,
    Client,
    FileSource,
    Script,
    ServedFile,
    broken,
    ok,
    server_bench,
    until,
)

both_ways = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
DATA = os.urandom(5 * MIB + 321)
ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def served(
    answer: Callable[[Exchange], None], secure: bool, tmp_path: Path, settings: ServerSettings | None = None
) -> AsyncIterator[tuple[Bench, Client]]:
    """A bench and one connected client."""
    cert = make_cert(tmp_path, "a.example") if secure else None
    certificates = make_server_context([cert]) if cert else None
    async with server_bench(answer, settings, certificates=certificates) as bench:
        client = await bench.connect(trusting(cert) if cert else None)
        yield bench, client


def giving(source: BodySource, length: int | None) -> Callable[[Exchange], None]:
    """A handler that answers with this body."""
    return lambda exchange: exchange.respond(ok(length), source, length=length)


@both_ways
@both_loops
async def test_a_file_comes_whole_in_windows_of_bounded_size(secure: bool, tmp_path: Path) -> None:
    source = FileSource(ServedFile(DATA))
    async with served(giving(source, len(DATA)), secure, tmp_path) as (bench, client):
        await client.send(ASK)
        answer = await client.answer()
        assert answer.body == DATA
        assert max(source.windows) == (256 * KIB if secure else MIB)
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.DONE
        assert bench.ended[0].body_bytes_sent == len(DATA)
        assert source.closed == 1


@both_ways
@both_loops
async def test_parts_of_files_and_bytes_follow_each_other_exactly(secure: bool, tmp_path: Path) -> None:
    file = ServedFile(DATA)
    parts = [
        FileWindow(file, 1 * MIB + 7, 300_000),
        b"literal",
        memoryview(DATA)[10:200_010],
        FileWindow(file, 5, 11),
        FileWindow(file, len(DATA) - 100_000, 100_000),
        b"x" * 300_000,
    ]
    wanted = DATA[MIB + 7 : MIB + 300_007] + b"literal" + DATA[10:200_010] + DATA[5:16] + DATA[-100_000:]
    wanted += b"x" * 300_000
    async with served(giving(Script(parts), len(wanted)), secure, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.answer()).body == wanted


@both_ways
@both_loops
async def test_a_body_of_unknown_length_comes_in_chunks(secure: bool, tmp_path: Path) -> None:
    file = ServedFile(DATA)
    source = Script([b"begin", FileWindow(file, 0, len(DATA)), memoryview(b"end")])
    async with served(giving(source, None), secure, tmp_path) as (bench, client):
        await client.send(ASK)
        answer = await client.answer()
        assert answer.fields["transfer-encoding"] == "chunked"
        assert "connection" not in answer.fields
        assert answer.body == b"begin" + DATA + b"end"
        await until(lambda: bench.ended)
        assert bench.ended[0].body_bytes_sent == len(answer.body)
        assert source.closed == 1


@both_ways
@both_loops
async def test_http_1_0_gets_a_body_of_unknown_length_until_the_connection_ends(secure: bool, tmp_path: Path) -> None:
    async with served(giving(Script([b"one", b"two"]), None), secure, tmp_path) as (_, client):
        await client.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await client.answer()
        assert "transfer-encoding" not in answer.fields
        assert answer.fields["connection"] == "close"
        assert answer.body == b"onetwo"


@both_loops
async def test_an_empty_body_of_unknown_length_is_one_last_chunk(tmp_path: Path) -> None:
    async with served(giving(Script([]), None), False, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.answer()).body == b""


@both_ways
@both_loops
async def test_a_large_body_in_memory_comes_whole(secure: bool, tmp_path: Path) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(ok(len(DATA)), DATA, length=len(DATA))

    async with served(answer, secure, tmp_path) as (bench, client):
        await client.send(ASK + ASK)
        assert (await client.answer()).body == DATA
        assert (await client.answer()).body == DATA
        await until(lambda: len(bench.ended) == 2)
        assert bench.ended[1].body_bytes_sent == len(DATA)


@both_ways
@both_loops
async def test_a_pending_body_goes_on_when_it_is_resumed(secure: bool, tmp_path: Path) -> None:
    source = Script([b"one", PENDING])
    exchanges: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        exchanges.append(exchange)
        exchange.respond(ok(6), source, length=6)

    async with served(answer, secure, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.head())[0] == 200
        assert await client.reader.readexactly(3) == b"one"
        await until(lambda: source.windows == [PENDING] and source.asked == 2)
        exchanges[0].resume()
        exchanges[0].resume()  # twice is once
        await until(lambda: source.asked == 3)  # still pending: asked, and waits again
        source.windows[:] = [b"two"]
        exchanges[0].resume()
        assert await client.reader.readexactly(3) == b"two"
        assert source.closed == 1


@both_loops
async def test_a_head_does_not_wait_for_a_pending_body(tmp_path: Path) -> None:
    source = Script([PENDING])
    async with served(giving(source, 6), False, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.head())[0] == 200


@both_loops
async def test_a_resume_while_the_source_is_asked_is_not_lost(tmp_path: Path) -> None:
    class Eager:
        """Says PENDING, and calls resume before it has returned."""

        def __init__(self) -> None:
            self.asked = 0
            self.exchange: Exchange | None = None

        def next_window(self, limit: int) -> object:
            self.asked += 1
            if self.asked % 2:
                assert self.exchange is not None
                self.exchange.resume()
                return PENDING
            return b"abc"

        def close(self) -> None:
            pass

    def answer(exchange: Exchange) -> None:
        source = Eager()
        source.exchange = exchange
        exchange.respond(ok(9), source, length=9)  # type: ignore[arg-type]

    async with served(answer, False, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.answer()).body == b"abcabcabc"


BROKEN: list[tuple[str, Callable[[ServedFile], list[object]]]] = [
    ("the source says so", lambda file: [FileWindow(file, 0, 100_000), broken()]),
    ("the source says so at once", lambda file: [broken()]),
    ("the source fails", lambda file: [b"x" * 10, RuntimeError("a bug")]),
    ("it ends early", lambda file: [FileWindow(file, 0, 100_000)]),
    ("it gives too much", lambda file: [b"x" * 10, FileWindow(file, 0, 300_000)]),
    ("it gives nothing", lambda file: [b"x" * 10, b""]),
    (
        "the file is too short for a large window",
        lambda file: [FileWindow(file, len(file.data) - 9, 300_000)],
    ),
    ("the file is too short for a small window", lambda file: [FileWindow(file, len(file.data) - 9, 100)]),
]


@both_ways
@pytest.mark.parametrize(("why", "windows"), BROKEN, ids=[why for why, _ in BROKEN])
@both_loops
async def test_a_body_that_cannot_be_completed_ends_in_a_reset(
    why: str, windows: Callable[[ServedFile], list[object]], secure: bool, tmp_path: Path
) -> None:
    file = ServedFile(DATA)
    source = Script(windows(file))  # type: ignore[arg-type]
    async with served(giving(source, 300_000), secure, tmp_path) as (bench, client):
        await client.send(ASK)
        assert await client.rest_or_reset() is None, why
        assert [exchange.outcome for exchange in bench.ended] == [Outcome.BROKEN]
        assert bench.events[Event.BODY_BROKEN] == 1
        assert source.closed == 1


@both_loops
async def test_what_cannot_be_read_for_tls_comes_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fd: int, count: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(sending, "read_at", fails)
    source = Script([b"begin", FileWindow(ServedFile(DATA, viewed=0), 0, 200_000), b"end"], lambda count: b"x" * count)
    async with served(giving(source, 200_008), True, tmp_path) as (bench, client):
        await client.send(ASK)
        assert (await client.answer()).body == b"begin" + b"x" * 200_000 + b"end"
        assert source.taken_back == [200_000]
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.DONE


@both_ways
@both_loops
async def test_a_close_delimited_body_that_breaks_does_not_look_whole(secure: bool, tmp_path: Path) -> None:
    async with served(giving(Script([b"x" * 10, broken()]), None), secure, tmp_path) as (_, client):
        await client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert await client.rest_or_reset() is None


@both_loops
async def test_what_is_not_a_file_breaks_the_body(tmp_path: Path) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.ends = os.pipe()

        def fileno(self) -> int:
            return self.ends[0]

        def view(self, offset: int, count: int) -> None:
            return None

    pipe = Pipe()
    for secure, count in ((False, 10), (False, 100_000), (True, 10)):
        source = Script([FileWindow(pipe, 0, count)])  # type: ignore[arg-type]
        async with served(giving(source, count), secure, tmp_path) as (bench, client):
            await client.send(ASK)
            assert await client.rest_or_reset() is None
            assert bench.ended[0].outcome is Outcome.BROKEN
    for end in pipe.ends:
        os.close(end)


@both_ways
@both_loops
async def test_abort_resets_the_connection_before_and_after_the_head(secure: bool, tmp_path: Path) -> None:
    def at_once(exchange: Exchange) -> None:
        exchange.abort()

    source = Script([b"x" * 10, PENDING])
    exchanges: list[Exchange] = []

    def later(exchange: Exchange) -> None:
        exchanges.append(exchange)
        exchange.respond(ok(20), source, length=20)

    async with served(at_once, secure, tmp_path) as (bench, client):
        await client.send(ASK)
        assert await client.rest_or_reset() is None
        assert bench.ended[0].outcome is Outcome.BROKEN
        assert bench.ended[0].head_sent_at == 0
    async with served(later, secure, tmp_path) as (bench, client):
        await client.send(ASK)
        await client.reader.readuntil(b"x" * 10)
        exchanges[0].abort()
        assert await client.rest_or_reset() is None
        assert bench.ended[0].outcome is Outcome.BROKEN
        assert bench.ended[0].body_bytes_sent == 10
        assert source.closed == 1


@both_ways
@both_loops
async def test_nothing_more_is_served_after_an_abort(secure: bool, tmp_path: Path) -> None:
    handled: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        handled.append(exchange)
        exchange.abort()

    async with served(answer, secure, tmp_path) as (bench, client):
        await client.send(ASK * 40)
        assert await client.rest_or_reset() is None
        assert len(handled) == len(bench.ended) == 1


@both_ways
@both_loops
async def test_a_head_request_closes_the_source_unread(secure: bool, tmp_path: Path) -> None:
    source = Script([b"x" * 10])
    async with served(giving(source, 10), secure, tmp_path) as (_, client):
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer("HEAD")).fields["content-length"] == "10"
        assert source.asked == 0
        assert source.closed == 1


@both_loops
async def test_a_source_with_nothing_promised_is_closed_unread(tmp_path: Path) -> None:
    source = Script([b"x"])
    async with served(giving(source, 0), False, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.answer()).body == b""
        assert (source.asked, source.closed) == (0, 1)


@both_loops
async def test_a_source_given_when_the_client_has_left_is_closed_unread(tmp_path: Path) -> None:
    held: list[Exchange] = []
    source = Script([b"x"])
    async with served(held.append, False, tmp_path) as (bench, client):
        await client.send(ASK)
        await until(lambda: held)
        client.reset()
        await until(lambda: bench.ended)
        held[0].respond(ok(1), source, length=1)
        assert (source.asked, source.closed) == (0, 1)


@both_ways
@both_loops
async def test_a_client_that_leaves_amid_a_body_ends_it_promptly(secure: bool, tmp_path: Path) -> None:
    big = ServedFile(bytes(40 * MIB))
    source = FileSource(big)
    async with served(giving(source, len(big.data)), secure, tmp_path) as (bench, client):
        await client.send(ASK)
        await client.reader.readexactly(100_000)
        client.reset()
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.CLIENT_LEFT
        assert bench.ended[0].body_bytes_sent < len(big.data)
        assert bench.events[Event.CLIENT_LEFT] == 1
        assert source.closed == 1
        await until(lambda: bench.listener.connections == 0)


@both_loops
async def test_a_client_that_leaves_after_the_head_is_the_sources_affair_alone(tmp_path: Path) -> None:
    source = Script([PENDING])
    gone: list[bool] = []

    def answer(exchange: Exchange) -> None:
        exchange.on_gone = lambda: gone.append(True)
        exchange.respond(ok(5), source, length=5)

    async with served(answer, False, tmp_path) as (bench, client):
        await client.send(ASK)
        await client.head()
        client.reset()
        await until(lambda: bench.ended)
        assert source.closed == 1
        assert gone == []


@both_ways
@both_loops
async def test_only_one_window_is_with_a_reader_that_does_not_read(secure: bool, tmp_path: Path) -> None:
    big = ServedFile(bytes(40 * MIB))
    source = FileSource(big)
    async with served(giving(source, len(big.data)), secure, tmp_path) as (bench, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(ASK)
        await until(lambda: bench.listener.active)
        (connection,) = bench.listener._service.open
        await until(lambda: connection.paused)  # type: ignore[attr-defined]
        for _ in range(100):
            await asyncio.sleep(0)
        waiting = connection._unsent(connection._transport)  # type: ignore[attr-defined]
        assert 0 < waiting < (2 * 256 * KIB if secure else MIB + 1)  # one window and what TLS had buffered, not two
        taken = source.at
        for _ in range(100):
            await asyncio.sleep(0)
        assert source.at == taken
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.answer()).body) == len(big.data)


@both_loops
async def test_a_fast_connection_lets_others_have_their_turn(tmp_path: Path) -> None:
    big = ServedFile(bytes(64 * MIB))
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        if not done:
            asyncio.get_running_loop().call_soon(count)

    done = False
    source = FileSource(big)
    async with served(giving(source, len(big.data)), False, tmp_path) as (_, client):
        count()
        await client.send(ASK)
        await client.answer()
        done = True
        assert turns > len(source.windows)


@pytest.mark.parametrize("viewed", [0, 300_000], ids=["no mapping", "an old, short mapping"])
@both_loops
async def test_tls_reads_in_the_pool_what_is_not_mapped(viewed: int, tmp_path: Path) -> None:
    source = FileSource(ServedFile(DATA, viewed))
    async with served(giving(source, len(DATA)), True, tmp_path) as (_, client):
        await client.send(ASK)
        assert (await client.answer()).body == DATA


@both_loops
async def test_a_client_that_leaves_during_a_read_in_the_pool_disturbs_nobody(tmp_path: Path) -> None:
    source = FileSource(ServedFile(DATA, 0))
    async with served(giving(source, len(DATA)), True, tmp_path) as (bench, client):
        await client.send(ASK)
        await until(lambda: bench.events[Event.ACCEPTED] and source.windows)
        client.reset()
        await until(lambda: bench.ended)
        assert bench.ended[0].outcome is Outcome.CLIENT_LEFT
        assert source.closed == 1


@both_ways
@both_loops
async def test_answering_twice_is_a_fault_that_resets(
    secure: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(ok(10), Script([b"x", PENDING]), length=10)
        exchange.respond(ok(1), b"y", length=1)

    async with served(answer, secure, tmp_path) as (bench, client):
        await client.send(ASK)
        assert await client.rest_or_reset() is None
        assert bench.ended[0].outcome is Outcome.BROKEN
    assert "answered once" in caplog.text


@both_ways
@pytest.mark.parametrize("seed", range(6))
@both_loops
async def test_any_mix_of_bodies_and_readers_arrives_byte_for_byte(seed: int, secure: bool, tmp_path: Path) -> None:
    dice = random.Random(seed)
    file = ServedFile(DATA, dice.choice([None, 0, 1_000_000]))
    wanted: list[bytes] = []

    def body() -> tuple[list[object], bytes]:
        parts: list[object] = []
        whole = b""
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(DATA) - 1)
            count = min(dice.choice([1, 100, 5000, 9000, 70_000, 250_000]), len(DATA) - at)
            data = DATA[at : at + count]
            parts.append(dice.choice([data, memoryview(data), FileWindow(file, at, count)]))
            whole += data
        return parts, whole

    def answer(exchange: Exchange) -> None:
        parts, whole = body()
        wanted.append(whole)
        kind = dice.choice(["bytes", "known", "unknown"])
        if kind == "bytes":
            exchange.respond(ok(len(whole)), whole, length=len(whole))
        else:
            length = len(whole) if kind == "known" else None
            exchange.respond(ok(length), Script(parts), length=length)  # type: ignore[arg-type]

    async with served(answer, secure, tmp_path) as (bench, client):
        asking = asyncio.create_task(client.send(ASK * 40))
        for number in range(40):
            if dice.random() < 0.3:
                await asyncio.sleep(0.002)  # a reader that falls behind
            got = await client.answer()
            assert got.body == wanted[number]
        await asking
        await until(lambda: len(bench.ended) == 40)
        assert [exchange.body_bytes_sent for exchange in bench.ended] == [len(whole) for whole in wanted]
        assert {exchange.outcome for exchange in bench.ended} == {Outcome.DONE}
