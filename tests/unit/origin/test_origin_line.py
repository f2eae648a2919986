"""Who waits for a connection: the most urgent first, bounded, and nothing is lost when one gives up."""

import asyncio
import itertools

import pytest

from edge.errors import OriginError
from edge.origin.line import Line
from edge.origin.settings import Urgency
from edge.words import Reason


async def waiting(line: Line, *urgencies: Urgency) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.ensure_future(line.enter(urgency)) for urgency in urgencies]
    await asyncio.sleep(0)
    return tasks


async def test_the_most_urgent_comes_first_and_among_equals_who_came_first() -> None:
    line = Line("o", most=1, limit=10, patience=60.0)
    await line.enter(Urgency.SEGMENT)
    order: list[str] = []

    async def come(name: str, urgency: Urgency) -> None:
        await line.enter(urgency)
        order.append(name)
        line.leave()

    coming = [("ahead", Urgency.AHEAD), ("one", Urgency.SEGMENT), ("two", Urgency.SEGMENT), ("list", Urgency.LIST)]
    tasks = [asyncio.ensure_future(come(*each)) for each in coming]
    await asyncio.sleep(0)
    line.leave()
    await asyncio.gather(*tasks)
    assert order == ["list", "one", "two", "ahead"]
    assert (line.taken, line.waiting) == (0, 0)


@pytest.mark.parametrize(("more", "less"), list(itertools.combinations(sorted(Urgency), 2)))
async def test_of_any_two_the_more_urgent_comes_first_and_pushes_the_other_out_of_a_full_line(
    more: Urgency, less: Urgency
) -> None:
    line = Line("o", most=1, limit=2, patience=60.0)
    await line.enter(Urgency.SEGMENT)
    later, sooner = await waiting(line, less, more)
    line.leave()
    await sooner
    assert not later.done()
    (last,) = await waiting(line, less)
    (urgent,) = await waiting(line, more)
    with pytest.raises(OriginError):
        await last  # of two that are equally urgent, the one that came later
    line.leave()
    await urgent
    line.leave()
    await later


async def test_a_full_line_lets_the_least_urgent_go_for_a_more_urgent_one() -> None:
    line = Line("o", most=1, limit=2, patience=60.0)
    await line.enter(Urgency.SEGMENT)
    ahead, segment = await waiting(line, Urgency.AHEAD, Urgency.SEGMENT)
    with pytest.raises(OriginError) as refused:
        await line.enter(Urgency.AHEAD)
    assert refused.value.reason is Reason.QUEUE_FULL
    (urgent,) = await waiting(line, Urgency.LIST)
    with pytest.raises(OriginError) as gone:
        await ahead
    assert gone.value.reason is Reason.QUEUE_FULL
    line.leave()
    await urgent
    line.leave()
    await segment
    line.leave()
    assert (line.taken, line.waiting) == (0, 0)


async def test_who_waits_too_long_is_told() -> None:
    line = Line("o", most=1, limit=2, patience=0.01)
    await line.enter(Urgency.SEGMENT)
    with pytest.raises(OriginError) as late:
        await line.enter(Urgency.LIST)
    assert late.value.reason is Reason.QUEUE_TIMEOUT
    assert (line.taken, line.waiting) == (1, 0)


@pytest.mark.parametrize("turn_first", [False, True])
async def test_who_gives_up_takes_no_place_along(turn_first: bool) -> None:
    line = Line("o", most=1, limit=5, patience=60.0)
    await line.enter(Urgency.SEGMENT)
    first, second = await waiting(line, Urgency.SEGMENT, Urgency.SEGMENT)
    if turn_first:
        line.leave()
        first.cancel()
    else:
        first.cancel()
        await asyncio.sleep(0)
        line.leave()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert (line.taken, line.waiting) == (1, 0)


@pytest.mark.parametrize("limit", [1000, 1])
async def test_turns_that_are_over_do_not_pile_up_behind_more_urgent_ones(limit: int) -> None:
    line = Line("o", most=1, limit=limit, patience=60.0)
    await line.enter(Urgency.SEGMENT)
    for _ in range(1000):
        less, urgent = await waiting(line, Urgency.AHEAD, Urgency.LIST)  # which pushes it out of a line for one
        less.cancel()
        line.leave()
        await urgent
        with pytest.raises((OriginError, asyncio.CancelledError)):
            await less
    assert len(line._heap) < 200
