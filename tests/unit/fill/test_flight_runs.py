"""Which runs a flight begins: for readers and leases, and what becomes of those that fail."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from edge.clock import SystemClock
from edge.fill.flight import Flight
from edge.fill.messages import Again, End, Fail, Fetch, Head, HeadFlag, Message, Mode
from edge.fill.readers import Reader, Run
from edge.fill.recall import recall
from edge.fill.settings import FillSettings
from edge.fill.spans import Spans
from edge.origin.client import OriginClient
from edge.origin.settings import OriginSettings
from edge.store.record import Flag, Record, encode_record
from edge.words import MIB, CacheStatus, Kind, Reason

TOTAL = 1000 * MIB
RECORD = Record(
    1, Kind.MP4, 200, Flag.STRONG, TOTAL, MIB, 0.0, 1e9, 0.0, 0, 0, 0, 0, b"k", b"/f", b'"v1"', b"", (), b""
)
LEASE = ("link", 1)


class Told:
    """A channel that keeps what a worker is told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        self.sent.append(message)


def fetch(number: int, start: int, end: int, *nodes: str) -> Fetch:
    """By one who has named these nodes."""
    loop = ((b"CDN-Loop", ", ".join([*nodes, "edge"]).encode()),) if nodes else ()
    return Fetch(number, Mode.FILL, "s", b"GET", b"/f", b"k", b"/f", Kind.MP4, loop, start, end, 0, True)


class Runs:
    """A flight whose head is known, and its runs in the order in which they were begun."""

    def __init__(self, *, runs_per_flight: int = 8) -> None:
        self.begun: list[Run] = []
        client = OriginClient(OriginSettings(url="http://127.0.0.1:1"), SystemClock())
        self.flight = Flight(
            b"n" * 16,
            fetch(0, 0, 1),
            FillSettings(runs_per_flight=runs_per_flight),
            slice_size=MIB,
            clients=[client],
            on_idle=lambda flight: None,
            start_run=lambda flight, run: self.begun.append(run),
        )
        self.flight.ranges = True
        head = Head(0, HeadFlag.STORED, CacheStatus.MISS, TOTAL, "", 0.0, encode_record(RECORD))
        self.flight.set_head(head, RECORD, TOTAL)

    def reader(self, number: int, start: int, end: int, *nodes: str) -> Reader:
        told: Any = Told()
        reader = Reader(told, fetch(number, start, end, *nodes))
        self.flight.join(reader)
        return reader

    def fails(self, run: Run) -> None:
        """As one that is refused."""
        self.flight.fail_run(run, 502, Reason.BAD_RESPONSE, "403")
        self.flight.end_run(run)

    def spans(self) -> list[tuple[int, int]]:
        return [(run.start // MIB, run.end // MIB) for run in self.begun]


def has_failed(reader: Reader) -> bool:
    told: Any = reader.channel
    return any(isinstance(message, Fail) for message in told.sent)


async def test_what_is_brought_ahead_and_fails_is_begun_once_however_many_runs_it_needs() -> None:
    runs = Runs()
    assert runs.flight.fetch_ahead(LEASE, MIB // 2, 64 * MIB + MIB // 2)  # five runs, of which four may be under way
    assert len(runs.begun) == 4
    for _ in range(20):
        if runs.flight.runs.under_way:
            runs.fails(runs.flight.runs.under_way[0])
    assert len(runs.begun) <= 5
    assert runs.flight.over


async def test_after_a_failure_nothing_more_is_brought_ahead_until_its_reader_goes_on() -> None:
    runs = Runs(runs_per_flight=4)
    runs.flight.fetch_ahead(LEASE, 0, 64 * MIB)
    runs.reader(1, 900 * MIB, 901 * MIB)
    runs.fails(runs.begun[0])
    runs.flight.covered.add(16 * MIB, 32 * MIB)
    runs.flight.end_run(runs.begun[1])
    assert runs.spans() == [(0, 16), (16, 32), (900, 901)]
    runs.flight.fetch_ahead(LEASE, 64 * MIB, 80 * MIB)
    assert runs.spans()[-1] == (64, 80)


async def test_what_waits_for_a_run_to_end_is_brought_after_it_and_no_byte_twice() -> None:
    runs = Runs()
    runs.flight.fetch_ahead(LEASE, MIB // 2, 64 * MIB + MIB // 2)
    for run in list(runs.begun):
        runs.flight.covered.add(run.start, run.end)
        runs.flight.end_run(run)
    assert runs.spans() == [(0, 16), (16, 32), (32, 48), (48, 64), (64, 65)]


async def test_what_has_not_come_of_a_run_that_is_over_is_not_begun_again_for_the_same_wish() -> None:
    runs = Runs(runs_per_flight=4)
    runs.flight.fetch_ahead(LEASE, 0, 64 * MIB)
    runs.flight.end_run(runs.begun[0])
    assert runs.spans() == [(0, 16), (16, 32), (32, 48)]


async def test_what_has_failed_is_not_begun_again_while_its_reader_needs_something_else_first() -> None:
    runs = Runs()
    reader = runs.reader(1, 0, 32 * MIB)
    reader.ahead = 64 * MIB
    runs.flight.look_after(reader)
    assert runs.spans() == [(0, 16), (16, 32)]
    runs.fails(runs.begun[1])
    assert len(runs.begun) == 2
    assert not has_failed(reader)
    runs.flight.covered.add(0, 16 * MIB)
    runs.flight.end_run(runs.begun[0])
    assert runs.spans()[2:] == [(16, 32)]
    runs.fails(runs.begun[2])
    assert has_failed(reader)
    assert len(runs.begun) == 3


async def test_who_needs_nothing_of_a_run_does_not_decide_by_which_way_it_is_asked_for() -> None:
    runs = Runs()
    runs.reader(1, 0, 10 * MIB, "shield")
    far = runs.reader(2, 20 * MIB, 30 * MIB, "another.cdn.example")
    assert runs.flight.nearest(runs.begun[1]) is far.fetch
    ahead = Run(100 * MIB, 101 * MIB, ahead=True)
    assert runs.flight.nearest(ahead) is not runs.flight.fetch  # by one who waits, not as the leader came


async def test_a_run_that_is_refused_for_the_way_of_one_costs_that_one_though_it_needs_another_first() -> None:
    """Else the next run is asked for by the same way, and so on."""
    runs = Runs()
    near = runs.reader(1, 0, 30 * MIB, "shield")
    far = runs.reader(2, 20 * MIB, 30 * MIB, "another.cdn.example")
    refused = 0
    while (run := next((run for run in runs.flight.runs.under_way if run.brings(20 * MIB)), None)) is not None:
        refused += 1
        assert refused < 10
        way = runs.flight.nearest(run)
        run.way = tuple(way.fields[0][1].split(b", "))
        runs.fails(run)
        assert has_failed(near)
    assert refused == 2
    assert has_failed(far)
    await asyncio.sleep(0)


async def test_who_joins_a_run_that_has_stopped_where_no_other_can_be_begun_asks_anew_and_does_not_wait() -> None:
    runs = Runs()
    runs.flight.ranges = False
    run = Run(0, TOTAL)
    runs.flight.runs.under_way.append(run)
    reader = runs.reader(1, 0, MIB)
    told = cast("Told", reader.channel).sent
    assert not isinstance(told[-1], Again)
    runs.flight.end_run(run)
    assert isinstance(told[-1], Again)
    assert runs.flight.over


async def test_what_was_evicted_behind_a_reader_is_nothing_that_it_waits_for() -> None:
    """It was told of no end, so its flight went on with it, and all who came later waited for that."""
    runs = Runs()
    reader, other = runs.reader(1, 0, 20 * MIB), runs.reader(2, 18 * MIB, 30 * MIB)
    runs.flight.covered.add(0, 16 * MIB)
    runs.flight.end_run(runs.begun[0])
    runs.flight.read(reader, 15 * MIB)
    runs.flight.covered.become(Spans((14 * MIB, 16 * MIB)))  # what is there still, as `recall` finds it
    assert not has_failed(reader)
    for run in list(runs.flight.runs.under_way):
        runs.flight.covered.add(run.start, run.end)
        runs.flight.end_run(run)
    told = cast("Told", reader.channel).sent
    assert isinstance(told[-1], End)
    assert other.gone
    assert runs.flight.over


async def test_who_has_got_past_a_hole_by_itself_waits_for_nothing_either() -> None:
    """A worker looks in the index, too, where more may be by now than the flight knows of."""
    runs = Runs()
    reader = runs.reader(1, 0, 20 * MIB)
    runs.flight.covered.add(8 * MIB, 20 * MIB)
    runs.flight.read(reader, 9 * MIB)
    assert isinstance(cast("Told", reader.channel).sent[-1], End)
    runs.flight.end_run(runs.begun[0])
    assert runs.flight.over


async def test_where_no_run_can_be_begun_any_more_nobody_waits_for_what_none_brings() -> None:
    """They held the scratch that the last run needed, which so never ended."""
    runs = Runs()
    behind, there = runs.reader(1, 0, 30 * MIB), runs.reader(2, 17 * MIB, 30 * MIB)
    assert runs.spans() == [(0, 16), (17, 30)]
    runs.flight.covered.add(0, 16 * MIB)
    runs.flight.end_run(runs.begun[0])
    assert len(runs.begun) == 2  # what is between them is too far ahead still
    runs.flight.lose_ranges()
    assert isinstance(cast("Told", behind.channel).sent[-1], Again)
    assert not there.gone


async def test_who_finds_out_later_that_nobody_brings_it_does_not_wait_either() -> None:
    runs = Runs()
    reader, _ = runs.reader(1, 0, 30 * MIB), runs.reader(2, 17 * MIB, 30 * MIB)
    runs.flight.covered.add(0, 17 * MIB)
    runs.flight.end_run(runs.begun[0])
    runs.flight.lose_ranges()
    assert not reader.gone
    runs.flight.covered.become(Spans((0, 16 * MIB)))
    runs.flight.read(reader, MIB)
    assert isinstance(cast("Told", reader.channel).sent[-1], Again)


async def test_what_has_gone_and_cannot_be_brought_here_is_asked_for_anew() -> None:
    runs = Runs()
    reader, other = runs.reader(1, 0, 30 * MIB), runs.reader(2, 20 * MIB, 30 * MIB)
    runs.flight.covered.add(0, 24 * MIB)
    runs.flight.end_run(runs.begun[0])
    run = runs.begun[1]
    run.position = 24 * MIB
    runs.flight.lose_ranges()
    assert not reader.gone
    volume: Any = SimpleNamespace(packs=SimpleNamespace(all={}), lookup=lambda _: None, extents=lambda _: ())
    recall(runs.flight, volume)  # it was stored before, and the scratch that has come since is read and gone
    assert isinstance(cast("Told", reader.channel).sent[-1], Again)
    assert not other.gone
    runs.flight.covered.add(24 * MIB, 30 * MIB)
    runs.flight.end_run(run)
    assert isinstance(cast("Told", other.channel).sent[-1], End)
    assert runs.flight.over
