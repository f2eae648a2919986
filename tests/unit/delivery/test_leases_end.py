"""When a worker withdraws what it has a keeper fetch ahead of a player: at once where it sees that he has gone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.delivery.reading_ahead import ReadingAhead
from edge.server.exchange import Exchange, Outcome
from edge.words import MIB

RECORD: Any = SimpleNamespace(total=1000 * MIB, generation=1, etag=b'"v1"')
PLACE: Any = SimpleNamespace(name=b"f" * 16, volume=0)


@dataclass(frozen=True)
class Lease:
    id: int
    start: int
    end: int


@dataclass(eq=False)
class Connection:
    lost: bool = False


@dataclass
class Worker:
    """Its delivery, as far as it is asked here."""

    clock: FakeClock = field(default_factory=FakeClock)
    told: list[Lease] = field(default_factory=list)
    withdrawn: list[Lease] = field(default_factory=list)

    def __post_init__(self) -> None:
        asker = SimpleNamespace(tell=self.told.append, withdraw=self.withdrawn.append)
        self.volumes = {0: SimpleNamespace(asker=asker)}
        self.ahead = ReadingAhead(self, 64 * MIB)  # type: ignore[arg-type]

    def fetch_of(self, _: object, __: object, *, start: int, end: int, **___: object) -> Lease:
        return Lease(len(self.told), start, end)


def ask(worker: Worker, connection: Connection, start: int) -> Exchange:
    request: Any = SimpleNamespace(keep_alive=True, connection=connection, get=lambda _: None)
    exchange = Exchange(request, SimpleNamespace())  # type: ignore[arg-type]
    worker.ahead.began(exchange, PLACE, RECORD, start, start + MIB)
    return exchange


def read(exchange: Exchange) -> None:
    exchange.body_bytes_sent = MIB
    exchange.end(Outcome.DONE, 0.0)


@pytest.fixture
async def reader() -> tuple[Worker, Connection]:
    """A player who has read two ranges, and whom the third one is fetched for."""
    worker, connection = Worker(), Connection()
    for start in (0, MIB):
        read(ask(worker, connection, start))
    assert [(lease.id, lease.start) for lease in worker.told] == [(0, 2 * MIB)]
    worker.ahead._look()
    assert worker.withdrawn == []
    return worker, connection


async def test_a_player_whose_connection_has_ended_is_not_waited_for(reader: tuple[Worker, Connection]) -> None:
    worker, connection = reader
    connection.lost = True
    worker.ahead._look()
    assert worker.withdrawn == worker.told[-1:]
    worker.ahead._look()
    assert len(worker.withdrawn) == 1


async def test_an_answer_that_is_broken_off_ends_it(reader: tuple[Worker, Connection]) -> None:
    worker, connection = reader
    exchange = ask(worker, connection, 2 * MIB)
    assert worker.withdrawn == []
    exchange.end(Outcome.CLIENT_LEFT, 0.0)
    assert [lease.id for lease in worker.withdrawn] == [0]


async def test_a_seek_on_the_same_connection_ends_it(reader: tuple[Worker, Connection]) -> None:
    worker, connection = reader
    read(ask(worker, connection, 500 * MIB))
    assert worker.withdrawn == worker.told[-1:]


@pytest.mark.parametrize("how", [read, lambda exchange: None])
async def test_who_reads_on_keeps_it(reader: tuple[Worker, Connection], how: Callable[[Exchange], None]) -> None:
    worker, connection = reader
    how(ask(worker, connection, 2 * MIB))
    worker.ahead._look()
    assert worker.withdrawn == []
