"""How far a run goes, for whom: readers, a lease, what is cheap to finish."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.fill.messages import UNKNOWN
from edge.fill.readers import Run
from edge.fill.settings import FillSettings
from edge.fill.stops import Stop
from edge.words import MIB
from tests.unit.fill.test_flight_runs import LEASE, Runs


def stop_of(runs: Runs, run: Run, *, keep: bool = True) -> Stop:
    shop: Any = SimpleNamespace(settings=FillSettings())
    keeping: Any = SimpleNamespace(keep=keep)
    return Stop(shop, runs.flight, run, keeping)


def at(run: Run, position: int) -> Run:
    run.position = position
    return run


async def test_while_a_reader_wants_bytes_of_it_a_run_goes_to_its_end() -> None:
    runs = Runs()
    runs.reader(1, 0, 16 * MIB)
    run = at(runs.begun[0], MIB + 1)
    assert not stop_of(runs, run).look()
    assert run.stop_at == 16 * MIB


async def test_without_readers_it_goes_to_the_end_of_the_slice_or_to_its_end_if_little_is_left() -> None:
    runs = Runs()
    reader = runs.reader(1, 0, 16 * MIB)
    run, stop = at(runs.begun[0], MIB + 1), stop_of(runs, runs.begun[0])
    runs.flight.leave(reader)
    assert not stop.look()
    assert run.stop_at == 2 * MIB
    assert stop_of(runs, at(run, 2 * MIB)).look()
    late = at(Run(0, 16 * MIB), 13 * MIB)
    assert not stop_of(runs, late).look()
    assert late.stop_at == 16 * MIB


async def test_what_is_not_kept_stops_at_once_without_readers_also_what_was_to_be_brought_ahead() -> None:
    runs = Runs()
    runs.flight.fetch_ahead(LEASE, 0, 16 * MIB)
    run = at(runs.begun[0], MIB + 1)
    assert not stop_of(runs, run).look()
    stop = stop_of(runs, run, keep=False)
    assert stop.look()
    assert stop.reached


@pytest.mark.parametrize(("end", "stops_at"), [(4 * MIB, 4), (4 * MIB + 1, 5), (100 * MIB, 16), (UNKNOWN, 16)])
async def test_when_its_lease_is_over_a_run_goes_no_further_than_its_readers_want(end: int, stops_at: int) -> None:
    runs = Runs()
    runs.flight.fetch_ahead(LEASE, 0, 16 * MIB)
    run, stop = at(runs.begun[0], MIB + 1), stop_of(runs, runs.begun[0])
    runs.reader(1, MIB, end)
    assert not stop.look()
    assert run.stop_at == 16 * MIB
    runs.flight.withdraw(LEASE)
    assert stop.until() == stops_at * MIB
    assert not stop.look()


async def test_what_a_reader_of_one_range_does_not_want_another_one_may() -> None:
    runs = Runs()
    runs.flight.fetch_ahead(LEASE, 0, 16 * MIB)
    stop = stop_of(runs, at(runs.begun[0], MIB + 1))
    runs.reader(1, MIB, 6 * MIB)
    runs.reader(2, MIB, 3 * MIB)
    runs.flight.withdraw(LEASE)
    assert stop.until() == 6 * MIB
