"""The origin's memory: counts, versions, gates."""

import asyncio

from edge.demo import control
from edge.demo.ledger import PATHS_MOST, REQUESTS_MOST, Asked, Ledger

A = "/s/10/a"


def asked(path: str = A, text: str = "") -> Asked:
    return Asked("GET", path, "", {"range": text} if text else {})


def test_requests_are_counted_by_path_and_by_range() -> None:
    ledger = Ledger()
    assert [ledger.note(asked()), ledger.note(asked(text="bytes=0-1")), ledger.note(asked("/b"))] == [1, 2, 1]
    assert ledger.counts == {A: 2, "/b": 1}
    assert ledger.ranges[A] == {"": 1, "bytes=0-1": 1}
    assert [one.range for one in ledger.requests] == ["", "bytes=0-1", ""]
    ledger.reset()
    assert not ledger.counts
    assert not ledger.requests


def test_the_memory_is_bounded() -> None:
    ledger = Ledger()
    for number in range(PATHS_MOST + 5):
        ledger.note(asked(f"/{number}"))
    assert len(ledger.ranges) == PATHS_MOST
    assert len(ledger.requests) == REQUESTS_MOST
    assert ledger.requests[-1].path == f"/{PATHS_MOST + 4}"


async def test_a_gate_holds_until_it_is_released_and_tells_who_waits() -> None:
    ledger = Ledger()
    ledger.hold(A)
    waiting = [asyncio.create_task(ledger.gate(A, None)) for _ in range(2)]
    await ledger.held(A, 2)
    assert ledger.waiting(A) == 2
    await ledger.gate(A, 0)
    await ledger.gate("/other", None)
    assert not any(task.done() for task in waiting)
    assert ledger.release(A)
    await asyncio.gather(*waiting)
    assert ledger.waiting(A) == 0
    await ledger.gate(A, None)
    assert not ledger.release(A)


async def test_one_who_leaves_a_gate_is_no_longer_counted() -> None:
    ledger = Ledger()
    ledger.hold(A, 5)
    task = asyncio.create_task(ledger.gate(A, 5))
    await ledger.held(A)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ledger.waiting(A) == 0


def test_a_body_is_cut_at_the_gate_ahead_of_it() -> None:
    ledger = Ledger()
    assert ledger.stop_at(A, 0) is None
    ledger.hold(A, 5)
    assert ledger.stop_at(A, 0) == 5
    assert ledger.stop_at(A, 5) == 5
    assert ledger.stop_at(A, 6) is None
    ledger.hold(A)
    assert ledger.stop_at(A, 0) is None


async def test_a_new_hold_lets_those_go_who_wait_at_the_old_one() -> None:
    ledger = Ledger()
    ledger.hold(A)
    task = asyncio.create_task(ledger.gate(A, None))
    await ledger.held(A)
    ledger.hold(A, 7)
    await task
    assert ledger.stop_at(A, 0) == 7


async def test_arrivals_are_waited_for() -> None:
    ledger = Ledger()
    task = asyncio.create_task(ledger.arrived(A, 2))
    ledger.note(asked())
    await asyncio.sleep(0)
    assert not task.done()
    ledger.note(asked())
    await task


def test_what_is_no_command_is_left_alone() -> None:
    assert control.command(Ledger(), "/s/1/a", {}) is None
    assert control.command(Ledger(), "/_counts2", {}) is None
