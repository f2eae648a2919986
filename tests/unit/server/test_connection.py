"""A connection over a scripted transport: what the network does rarely, done on purpose."""

import asyncio
import contextlib
import gc
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiofastnet
import pytest

from edge.clock import FakeClock
from edge.server.connection import Connection
from edge.server.exchange import Exchange, FileWindow, Outcome
from edge.server.observer import Event
from edge.server.service import Service, plain_error
from edge.server.settings import ServerSettings
from edge.words import KIB, MIB, PENDING
from tests.support.serverbench import Counted, FileSource, Script, Scripted, ServedFile, ok

ASK = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
SIZE = 2 * MIB


class Wire(aiofastnet.Transport):  # type: ignore[misc]
    """A transport that takes everything, until it is told to keep, fail or close."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, kernel_tls: bool = False) -> None:
        super().__init__(loop)  # type: ignore[call-arg]
        self.log: list[str] = []
        self.sent = b""
        self.asked: list[tuple[int, int | None]] = []  # offset and count of each sendfile
        self.kept = 0
        self.keep: Callable[[], bool] = lambda: False
        self.fail_sendfile: Exception | None = None
        self.fail_eof: Exception | None = None
        self.closing = False
        self.futures: list[asyncio.Future[None]] = []
        self.protocol: Connection | None = None
        self.own_loop = loop
        self.sock = sock
        if kernel_tls:
            self._sendfile_compatible = True

    def take(self, count: int) -> None:
        if self.keep() or self.kept:
            self.kept += count
            assert self.protocol is not None
            if not self.protocol.paused:
                self.protocol.pause_writing()

    def write(self, data: Any) -> None:
        self.log.append("write")
        self.sent += bytes(data)
        self.take(len(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(bytes(data) for data in list_of_data))

    def sendfile(self, file: Any, offset: int, count: int | None) -> asyncio.Future[None] | None:
        self.log.append("sendfile")
        self.asked.append((offset, count))
        if self.fail_sendfile is not None:
            raise self.fail_sendfile
        assert count is not None
        self.take(count)
        if not self.kept:
            return None
        self.futures.append(self.own_loop.create_future())
        return self.futures[-1]

    def drained(self) -> None:
        """What was kept has gone to the kernel."""
        self.kept = 0
        for future in self.futures:
            if not future.done():
                future.set_result(None)
        assert self.protocol is not None
        self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.kept

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.log.append("close")
        self.closing = True

    def abort(self) -> None:
        assert all(future.done() for future in self.futures), "the transport would fail on it"
        self.log.append("abort")
        self.closing = True

    def write_eof(self) -> None:
        self.log.append("eof")
        if self.fail_eof is not None:
            raise self.fail_eof

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default


@dataclass
class Scene:
    """One connection, its transport, and what is told about it."""

    connection: Connection
    wire: Wire
    clock: FakeClock
    service: Service
    ended: list[Exchange]
    counted: Counted
    peer: socket.socket

    def receive(self, data: bytes) -> None:
        buffer = self.connection.get_buffer(-1)
        buffer[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.connection.sweep(self.clock.monotonic())

    def resets_on_close(self) -> bool:
        value = self.wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        return struct.unpack("ii", value) == (1, 0)


@asynccontextmanager
async def scene(
    answer: Callable[[Exchange], None],
    *,
    kernel_tls: bool = False,
    settings: ServerSettings | None = None,
    passing: bool = True,
) -> AsyncIterator[Scene]:
    """`passing`: may what the kernel takes at once pass the transport by, as on any plain connection?"""
    loop = asyncio.get_running_loop()
    clock, counted, ended = FakeClock(), Counted(), list[Exchange]()
    service = Service(
        loop,
        Scripted(answer, ended),
        settings or ServerSettings(),
        clock,
        counted,
        plain_error,
        None,
        lambda: None,
    )
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(service, ours, "192.0.2.1", kernel_tls)
    if not passing:
        connection.sock = None
    wire = Wire(loop, ours, kernel_tls)
    wire.protocol = connection
    connection.connection_made(wire)
    try:
        yield Scene(connection, wire, clock, service, ended, counted, theirs)
        if connection in service.open:
            connection.connection_lost(None)
    finally:
        wire.protocol = None
        ours.close()
        theirs.close()


def giving(source: Any, length: int | None) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.respond(ok(length), source, length=length)


def fill(sock: socket.socket) -> None:
    """Until it takes no more."""
    try:
        while sock.send(bytes(65536)):
            pass
    except BlockingIOError:
        pass


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_small_answer_is_one_write() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.receive(ASK)
        assert at.wire.log == ["write"]
        assert at.wire.sent.endswith(b"\r\n\r\nhello")
        assert at.ended[0].outcome is Outcome.DONE


async def test_a_small_file_window_leaves_with_its_head_in_one_write() -> None:
    file = ServedFile(b"z" * 5000)
    async with scene(giving(FileSource(file), 5000)) as at:
        at.receive(ASK)
        assert at.wire.log == ["write"]
        assert at.wire.sent.endswith(b"\r\n\r\n" + b"z" * 5000)


def heard(peer: socket.socket) -> bytes:
    """All that has come by now."""
    peer.setblocking(False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := peer.recv(1 << 20):
            data += more
    return data


async def test_what_the_kernel_takes_at_once_of_head_and_file_passes_the_transport_by() -> None:
    content = random.Random(1).randbytes(SIZE)
    async with scene(giving(FileSource(ServedFile(content)), SIZE)) as at:
        at.receive(ASK)
        head, _, body = heard(at.peer).partition(b"\r\n\r\n")
        assert head.endswith(b"Content-Length: %d" % SIZE)
        assert 0 < len(body) < MIB
        assert content.startswith(body)
        assert at.wire.log == ["sendfile"]  # the rest of the window waits in the transport
        assert at.wire.asked == [(len(body), MIB - len(body))]
        await turns()
        assert at.ended[0].body_bytes_sent == SIZE


@pytest.mark.parametrize("size", [10_000, 64 * KIB, MIB])
async def test_a_whole_body_in_one_window_goes_at_once_as_far_as_the_kernel_takes_it(size: int) -> None:
    content = random.Random(size).randbytes(size + 100)
    window = FileWindow(ServedFile(content), 100, size)
    async with scene(giving(window, size)) as at:
        at.receive(ASK)
        body = heard(at.peer).partition(b"\r\n\r\n")[2]
        assert content[100:].startswith(body)
        assert at.wire.asked == ([] if len(body) == size else [(100 + len(body), size - len(body))])
        await turns()
        assert at.ended[0].outcome is Outcome.DONE
        assert at.ended[0].body_bytes_sent == size


async def test_a_whole_body_whose_head_does_not_fit_goes_the_transports_way() -> None:
    async with scene(giving(FileWindow(ServedFile(bytes(MIB)), 0, MIB), MIB)) as at:
        fill(at.wire.sock)
        at.receive(ASK)
        assert at.wire.log == ["write", "sendfile"]
        assert at.wire.sent.startswith(b"HTTP/1.1 200")
        assert at.wire.asked == [(0, MIB)]
        assert at.ended[0].body_bytes_sent == MIB


async def test_a_whole_body_of_a_file_that_has_become_shorter_resets_the_connection() -> None:
    async with scene(giving(FileWindow(ServedFile(bytes(50_000)), 0, 60_000), 60_000)) as at:
        at.receive(ASK)
        assert at.wire.log == ["abort"]
        assert at.ended[0].outcome is Outcome.BROKEN
        assert at.ended[0].body_bytes_sent == 50_000


async def test_a_head_request_gets_no_window() -> None:
    async with scene(giving(FileWindow(ServedFile(bytes(MIB)), 0, MIB), MIB)) as at:
        at.receive(ASK.replace(b"GET", b"HEAD"))
        assert at.wire.log == ["write"]
        assert at.ended[0].body_bytes_sent == 0


async def test_a_window_of_another_length_than_promised_is_a_fault_of_ours() -> None:
    async with scene(giving(FileWindow(ServedFile(bytes(MIB)), 0, MIB), MIB - 1)) as at:
        at.receive(ASK)
        assert at.counted.events[Event.HANDLER_FAILED] == 1
        assert b" 500 " in at.wire.sent


async def test_what_the_socket_does_not_take_of_a_head_goes_the_transports_way() -> None:
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE)) as at:
        fill(at.wire.sock)
        at.receive(ASK)
        assert at.wire.log[:2] == ["write", "sendfile"]
        assert at.wire.sent.startswith(b"HTTP/1.1 200")


async def test_a_closed_socket_is_left_to_the_transport() -> None:
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE)) as at:
        at.peer.close()
        at.wire.fail_sendfile = BrokenPipeError()
        at.wire.closing = True
        at.receive(ASK)
        assert at.wire.log == ["write", "sendfile"]
        assert at.ended == []  # connection_lost is on its way
        at.connection.connection_lost(BrokenPipeError())
        assert at.ended[0].outcome is Outcome.CLIENT_LEFT
        assert at.ended[0].body_bytes_sent == 0


async def test_a_sendfile_that_is_not_possible_resets_the_connection() -> None:
    source = FileSource(ServedFile(bytes(SIZE)))
    async with scene(giving(source, SIZE), passing=False) as at:
        at.wire.fail_sendfile = NotImplementedError()  # what transports raise that have no sendfile
        at.receive(ASK)
        assert at.wire.log[-1] == "abort"
        assert at.resets_on_close()
        assert at.ended[0].outcome is Outcome.BROKEN
        assert source.closed == 1


async def test_a_queued_window_is_waited_for_and_then_the_next_is_asked() -> None:
    source = FileSource(ServedFile(bytes(SIZE)))
    async with scene(giving(source, SIZE), passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        await turns()
        assert source.windows == [MIB]
        at.wire.drained()
        await turns()
        assert source.windows == [MIB, MIB]
        assert at.ended == []
        at.wire.drained()
        assert at.ended[0].outcome is Outcome.DONE
        assert at.ended[0].body_bytes_sent == SIZE
        assert source.closed == 1


async def test_an_abort_lets_go_of_a_queued_window_first_and_counts_what_had_gone() -> None:
    source = FileSource(ServedFile(bytes(SIZE)))
    async with scene(giving(source, SIZE), passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.wire.kept = 300 * KIB
        at.connection.abort(Outcome.BROKEN)  # the wire's abort checks the future
        assert at.ended[0].body_bytes_sent == MIB - 300 * KIB
        assert at.wire.futures[0].cancelled()
        at.connection.abort(Outcome.BROKEN)
        at.connection.connection_lost(None)
        assert at.wire.log.count("abort") == 1
        assert len(at.ended) == 1
        assert source.closed == 1


async def test_a_lost_connections_bytes_are_counted_as_last_seen() -> None:
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE), passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.wire.kept = MIB - 100 * KIB
        at.pass_time(1)
        at.wire.futures[0].set_exception(ConnectionResetError())
        at.connection.connection_lost(ConnectionResetError())
        assert at.ended[0].body_bytes_sent == 100 * KIB
        assert at.resets_on_close()


async def test_the_failure_of_a_queued_window_is_taken_note_of() -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE), passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.wire.futures[0].set_exception(ConnectionResetError())
        at.connection.connection_lost(ConnectionResetError())
        at.wire.futures.clear()
        await turns()
    gc.collect()
    assert unheard == []


async def test_files_go_through_the_kernel_when_it_encrypts() -> None:
    source = FileSource(ServedFile(bytes(SIZE)))
    async with scene(giving(source, SIZE), kernel_tls=True) as at:
        at.receive(ASK)
        await turns()
        assert at.wire.log == ["write", "sendfile", "sendfile"]  # no byte goes past the TLS library
        assert source.windows == [MIB, MIB]


async def test_a_client_that_reset_before_our_side_was_shut_is_dropped() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.wire.fail_eof = OSError(107, "not connected")
        at.receive(b"GET / HTTP/1.0\r\n\r\n")
        assert at.wire.log == ["write", "eof", "abort"]
        assert at.ended[0].outcome is Outcome.DONE


async def test_an_answer_written_to_a_closing_transport_was_not_given() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.wire.closing = True
        at.receive(ASK)
        assert at.ended[0].outcome is Outcome.CLIENT_LEFT


async def test_a_connection_that_comes_while_the_server_drains_is_closed() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.service.draining = True
        late = Connection(at.service, at.wire.sock, "192.0.2.1", False)
        wire = Wire(asyncio.get_running_loop(), at.wire.sock)
        late.connection_made(wire)
        assert wire.log == ["close"]
        late.connection_lost(None)


async def test_what_cannot_be_set_on_a_closed_socket_is_not_missed() -> None:
    async with scene(giving(Script([b"x", PENDING]), 5)) as at:
        at.receive(ASK)
        at.wire.sock.close()
        at.connection.abort(Outcome.BROKEN)
        assert at.ended[0].outcome is Outcome.BROKEN


async def test_reading_pauses_once_and_resumes_once() -> None:
    held: list[Exchange] = []
    async with scene(held.append) as at:
        for _ in range(3):
            at.receive(ASK * 10)
        assert at.wire.log == ["pause"]
        while held:
            held.pop().respond(ok(0), b"", length=0)
            await turns(2)
        assert at.wire.log.count("resume") == 1
        assert at.wire.log.count("write") == 30


async def test_after_the_clients_end_nothing_is_read_again() -> None:
    held: list[Exchange] = []
    async with scene(held.append) as at:
        at.receive(ASK * 10)
        at.receive(ASK * 10)
        assert at.wire.log == ["pause"]
        assert at.connection.eof_received() is True
        while held:
            held.pop().respond(ok(0), b"", length=0)
            await turns(2)
        assert "resume" not in at.wire.log  # the transport would take the second end of file for the first
        assert at.wire.log.count("write") == 20
        assert at.wire.log[-1] == "close"


async def test_a_connection_that_ends_is_dropped_when_its_time_is_over() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.receive(b"GET / HTTP/1.0\r\n\r\n")
        at.receive(b"more of the same, which nobody reads")
        at.pass_time(4.9)
        assert "abort" not in at.wire.log
        at.pass_time(0.2)
        assert at.wire.log == ["write", "eof", "abort"]


async def test_a_slow_reader_is_found_by_what_its_kernel_acknowledged() -> None:
    settings = ServerSettings(min_drain_rate=1000)
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE), settings=settings, passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.pass_time(1)
        at.wire.kept -= 31_000
        at.pass_time(30)
        assert at.ended == []  # just fast enough
        at.pass_time(30)
        assert at.ended[0].outcome is Outcome.SLOW
        assert at.counted.events[Event.SLOW_READER] == 1
        at.connection.sweep(at.clock.monotonic())


async def test_bytes_that_only_moved_into_the_kernel_were_not_taken() -> None:
    settings = ServerSettings(min_drain_rate=1000)
    async with scene(giving(FileSource(ServedFile(bytes(SIZE))), SIZE), settings=settings, passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.pass_time(1)
        at.wire.kept -= 60_000
        assert at.wire.sock.send(bytes(60_000)) == 60_000  # which nobody reads
        at.pass_time(30)
        assert at.ended[0].outcome is Outcome.SLOW


async def test_while_the_transport_holds_something_back_nothing_passes_it_by() -> None:
    source = Script([PENDING])
    held: list[Exchange] = []

    def answer(exchange: Exchange) -> None:
        held.append(exchange)
        exchange.respond(ok(), source, length=None)

    async with scene(answer) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        assert at.wire.log == ["write"]  # the head, kept back
        source.windows[:] = [FileWindow(ServedFile(bytes(SIZE)), 0, MIB), PENDING]
        held[0].resume()
        await turns()
        assert at.wire.log == ["write", "write", "sendfile"]
        at.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            at.peer.recv(1)


async def test_a_head_that_has_drained_does_not_have_the_pending_source_asked_again() -> None:
    source = Script([PENDING])
    async with scene(giving(source, 5)) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.wire.drained()
        await turns()
        assert source.asked == 1


async def test_a_row_of_quick_answers_lets_others_have_their_turn() -> None:
    async with scene(giving(b"hello", 5)) as at:
        at.receive(ASK * 100)
        assert len(at.ended) == 16
        await turns(1)
        assert len(at.ended) == 32
        await turns(6)
        assert len(at.ended) == 100


async def test_a_window_that_is_drained_between_sweeps_begins_a_new_span() -> None:
    async with scene(giving(Script([FileWindow(ServedFile(bytes(SIZE)), 0, MIB), PENDING]), SIZE), passing=False) as at:
        at.wire.keep = lambda: True
        at.receive(ASK)
        at.pass_time(1)
        at.wire.drained()
        at.wire.keep = lambda: False
        await turns()
        at.pass_time(300)  # nothing waits for the client: the source is pending
        assert at.ended == []


async def test_an_answer_under_way_is_not_interrupted_for_a_body_that_does_not_come_to_its_end() -> None:
    """A 408 would come where the answer's own bytes are promised. Who takes none of these is slow like any other."""
    settings = ServerSettings(max_body=1000, body_timeout=30.0, min_drain_rate=1000)
    source = Script([b"first", PENDING])

    def answer(exchange: Exchange) -> None:
        assert exchange.request.body is not None
        exchange.request.body.start(lambda: None)
        exchange.respond(ok(10), source, length=10)

    async with scene(answer, settings=settings, passing=False) as at:
        at.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it")
        await turns()
        at.pass_time(300)
        assert at.ended == []
        assert b"408" not in at.wire.sent
        at.wire.keep = lambda: True
        source.windows[:] = [b"other"]
        at.connection.resume_body()
        await turns()
        at.pass_time(1)
        at.pass_time(30)
        assert (at.ended[0].outcome, at.wire.sent[-10:]) == (Outcome.SLOW, b"firstother")
        assert at.resets_on_close()


async def test_its_state_can_be_seen() -> None:
    async with scene(giving(Script([b"x", PENDING]), 5)) as at:
        assert repr(at.connection).startswith("<Connection open exchange=None")
        at.receive(ASK)
        await turns()
        assert "sent=1 outcome=None" in repr(at.connection)
        assert repr(at.connection._sender) == "<Sender left=4 waiting=True stopped=False>"
        assert repr(at.service) == "<Service open=1 draining=False>"
        assert repr(FileWindow(ServedFile(b""), 3, 4)).endswith("offset=3, count=4)")
