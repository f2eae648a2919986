"""Faults between a real edge and its origin, at many bytes of a body, for one stream and for parallel pieces.

Whatever happens, a player gets the right bytes or a broken answer; never a wrong byte, never a clean end too soon.
What has failed is right when it is asked for again, so nothing short was kept. And an origin that fails is not
hammered: its requests are counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from edge.words import KIB, MIB
from tests.support.farbench import MODES, RESUME_MAX, SIZE, TRIES, FarBench, Outcome, Tally, far_bench, positions
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
    nothing,
)

SEED = 20261123
PLAYERS = 4
FLAPPED, BODY_SECONDS = 200_000, 0.4  # of an object: most times some are under way when the origin goes
SMALL, DYING = 4000, 120  # bytes of an object that comes in one request, and how many are asked for
FEW, MANY = 4, 300  # positions in a body: of the usual run, and with --long
modes = pytest.mark.parametrize("mode", MODES)
counts = pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
# Each of these waits until all tries have stalled.
slow_counts = pytest.mark.parametrize(
    "count", [1, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
ENDS: tuple[Callable[[int], Fault], ...] = (Reset, Truncate, Stall)
PART = MIB // 2, MIB // 2 + 5000
AT_A_TIME = 100  # errors in a row: each takes from the budget for retries, which gets less of three requests and time


@counts
@modes
async def test_a_body_that_breaks_once_is_mended_out_of_the_players_sight(
    tmp_path: Path, mode: str, count: int
) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for end, at in product(ENDS, positions(count, SEED)):
            path = bench.new_path()
            bench.proxy.script = harm = Harm((end(at),), times=1, path=path)
            outcome = await bench.ask(path)
            assert harm.fired == 1
            assert outcome.whole, f"{end(at)}: {outcome}"
            assert bench.requests(path) <= bench.budget(2), end(at)
            await bench.ask_again(path)


@slow_counts
@modes
async def test_a_byte_that_never_comes_breaks_the_answer_within_the_budget_and_is_had_later(
    tmp_path: Path, mode: str, count: int
) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for end, at in product(ENDS, positions(count, SEED + 1)):
            path = bench.new_path()
            bench.proxy.script = Harm((end(at),), path=path)
            outcome = await bench.ask(path)
            assert outcome.broken, f"{end(at)}: {outcome}"
            assert outcome.got <= at
            # A reset destroys what it overtakes: a try may bring some of that, and the count begins anew.
            passes = (1 + RESUME_MAX) * (2 if end is Reset else 1)
            assert bench.requests(path) <= bench.budget(passes), end(at)
            await bench.ask_again(path)


@counts
@modes
async def test_a_part_whose_body_breaks_once_is_right(tmp_path: Path, mode: str, count: int) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for end, at in product((Reset, Truncate), positions(count, SEED + 2)):
            path, part = bench.new_path(), (max(0, at - 1000), min(SIZE, at + 1000))
            bench.proxy.script = harm = Harm((end(at),), times=1)
            outcome = await bench.ask(path, part)
            assert harm.fired == 1
            assert outcome.whole, f"{end(at)}: {outcome}"
            await bench.ask_again(path)


@counts
@modes
async def test_a_flipped_bit_changes_its_byte_and_nothing_else(tmp_path: Path, mode: str, count: int) -> None:
    """No edge can find it: the origin sends no checksum with a body. Its framing and all other bytes stay right."""
    async with far_bench(tmp_path, mode) as bench:
        for at in positions(count, SEED + 3):
            path = bench.new_path()
            bench.proxy.script = harm = Harm((Flip(at),), times=1, path=path)
            outcome = await bench.ask(path, may_be_wrong=at)
            assert harm.fired == 1
            assert outcome.whole
            assert outcome.wrong == (at,) or mode == "parallel"  # there a second request for the piece may have won
            await bench.ask_again(path, may_be_wrong=at)


@modes
async def test_surplus_bytes_are_never_part_of_an_answer_and_end_their_connection(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for size in (1, 1000, 64 * KIB, SIZE):
            for surplus in (1, 40, 100_000):
                path = bench.new_path(size)
                bench.proxy.script = Harm((Surplus(surplus),), path=path)
                assert (await bench.ask(path)).whole, (size, surplus)
                # All answers have a surplus, so a connection's second request meets the former one's, if that had not
                # come yet when it was sent; it is sent once more, on a new connection. Nothing else is asked twice.
                connections = [seen.connection for seen in bench.proxy.seen if seen.path == path]
                met = len(connections) - len(set(connections))
                assert met <= bench.requests(path) // 2
                assert bench.requests(path) - met <= bench.budget(1, size)
                bench.proxy.script = nothing
                other = bench.new_path(size)
                assert (await bench.ask(other)).whole, "surplus was taken for the next answer"
        harmed = [seen for seen in bench.proxy.seen if seen.path == path]
        again = {seen.connection for seen in bench.proxy.seen if seen.number > max(s.number for s in harmed)}
        assert not again & {seen.connection for seen in harmed}


@modes
async def test_a_content_range_that_is_not_what_was_asked_is_never_believed(tmp_path: Path, mode: str) -> None:
    wrongs = WrongRange(start=1), WrongRange(end=1), WrongRange(start=-1, end=-1)
    async with far_bench(tmp_path, mode) as bench:
        for fault, part in product(wrongs, (PART, (1, 2), (SIZE - 1, SIZE))):
            path = bench.new_path()
            bench.proxy.script = Harm((fault,), path=path)
            assert (await bench.ask(path, part)).broken
            assert bench.requests(path) <= bench.budget(1 + RESUME_MAX)
            await bench.ask_again(path)


@modes
async def test_a_total_that_changes_from_one_answer_to_the_next_is_never_mixed(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for at in positions(FEW, SEED + 4):
            path = bench.new_path()
            ends, lies = Harm((Reset(at),), times=1, path=path), Harm((WrongRange(total=1),), path=path)

            def script(seen: Seen, ends: Harm = ends, lies: Harm = lies) -> tuple[Fault, ...]:
                return ends(seen) or (lies(seen) if seen.start else ())

            bench.proxy.script = script
            outcome = await bench.ask(path)
            assert outcome.whole == (lies.fired == 0)
            await bench.ask_again(path)


async def broken_at(bench: FarBench, at: int, *later: Fault, times: int | None = None) -> tuple[Outcome, bool]:
    """A body breaks at `at`, and what is asked for from its middle on meets more: what came of it, and whether it did.

    Its rest is such a request, and so are most pieces. `times`: of these.
    """
    path = bench.new_path()
    ends, more = Harm((Reset(at),), times=1, path=path), Harm(later, times=times, path=path)
    bench.proxy.script = lambda seen: ends(seen) or (more(seen) if seen.start else ())
    outcome = await bench.ask(path)
    assert bench.requests(path) <= bench.budget(TRIES * (1 + RESUME_MAX))
    await bench.ask_again(path)
    return outcome, more.fired > 0


@counts
@modes
async def test_a_rest_or_a_piece_whose_content_range_is_not_what_was_asked_is_never_taken(
    tmp_path: Path, mode: str, count: int
) -> None:
    wrongs = WrongRange(start=1), WrongRange(end=1), WrongRange(start=-1, end=-1)
    async with far_bench(tmp_path, mode) as bench:
        for wrong, at in product(wrongs, positions(count, SEED + 5)):
            outcome, met = await broken_at(bench, at, wrong)
            assert outcome.whole != met, f"{wrong} {at}: {outcome}"


@counts
@modes
async def test_a_rest_or_a_piece_that_gets_an_error_once_is_had_and_one_that_gets_it_always_breaks_off(
    tmp_path: Path, mode: str, count: int
) -> None:
    once = list(product((500, 503), positions(count, SEED + 6)))
    for first in range(0, len(once), AT_A_TIME):
        async with far_bench(tmp_path / str(first), mode) as bench:
            for status, at in once[first : first + AT_A_TIME]:
                outcome, _ = await broken_at(bench, at, Status(status), times=1)
                assert outcome.whole, f"{status} {at}: {outcome}"
    async with far_bench(tmp_path, mode) as bench:
        for at in positions(-(-count // 10), SEED + 7):  # each waits for all tries
            outcome, met = await broken_at(bench, at, Status(503))
            assert outcome.whole != met, f"{at}: {outcome}"


@modes
async def test_slow_answers_are_right(tmp_path: Path, mode: str) -> None:
    slows: list[tuple[Fault, int]] = [(Late(0.1, jitter=0.1), SIZE), (Rate(8e6), SIZE)]
    slows += [(Drip(SIZE - 100_000, 4096, 0.002), SIZE), (Drip(0, 64, 0.0001), 8 * KIB)]
    async with far_bench(tmp_path, mode) as bench:
        for fault, size in slows:
            path = bench.new_path(size)
            bench.proxy.script = Harm((fault,), path=path)
            assert (await bench.ask(path)).whole, fault
            assert bench.requests(path) <= bench.budget(1, size) + RESUME_MAX
            await bench.ask_again(path)


@modes
async def test_a_short_burst_of_errors_is_not_seen_and_a_long_one_is_not_hammered(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for status, length in product((500, 502, 503, 504), (1, TRIES - 1, 10_000)):
            path = bench.new_path()
            bench.proxy.script = burst(status, after=len(bench.proxy.seen), length=length)
            got = (await bench.ask_status(path))[0]
            retried = status != 500 and length < TRIES
            assert got == (200 if retried else status) or (mode == "parallel" and got == 200)
            assert bench.requests(path) <= (TRIES if mode == "one-stream" else bench.budget(1 + RESUME_MAX))
            bench.proxy.script = nothing
            while (await bench.ask_status(path))[0] == status:
                pass  # who comes in the moment in which a fill ends badly shares its end
            await bench.ask_again(path)


@modes
async def test_refused_connections_are_retried_within_the_budget(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        for times in (1, TRIES - 1, None):
            path = bench.new_path()
            bench.proxy.script = Harm((Refuse(),), times=times, path=path)
            outcome = await bench.ask(path)
            assert outcome.whole == (times is not None), times
            # A request that dies on a kept connection without a byte is sent again on a new one: that is no try.
            assert bench.requests(path) <= bench.budget(2 * TRIES)
            await bench.ask_again(path)


@dataclass
class Flapping:
    """What a time of coming and going has cost. `passes`: requests for all that was asked, had nothing failed."""

    cycles: int
    broken: int = 0
    asked: int = 0
    passes: int = 0
    counted: Tally | None = None


async def flap(bench: FarBench, cycles: int, up: float, down: float) -> Flapping:
    """The origin comes and goes while players ask. Hits go on, and all of it when it is up."""
    kept = bench.new_path()
    assert (await bench.ask(kept)).whole
    bench.proxy.script = lambda seen: (Rate(FLAPPED / BODY_SECONDS),) if f"/{FLAPPED}/" in seen.path else ()
    found, before, until = Flapping(cycles), await bench.tally(), asyncio.Event()

    async def ask(size: int) -> Outcome:
        found.asked += 1
        found.passes += bench.parts(size)
        return await bench.ask(bench.new_path(size))

    async def play() -> None:
        while not until.is_set():
            found.broken += (await ask(FLAPPED)).broken
            assert (await bench.ask(kept)).whole
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as players:
        for _ in range(PLAYERS):
            players.create_task(play())
        for cycle in range(cycles):
            await asyncio.sleep(up)
            await bench.proxy.down()
            await asyncio.sleep(down)
            await bench.proxy.up()
            back = await ask(SIZE)
            assert back.whole, f"the origin is back, and its objects are not: cycle {cycle}, {back}"
        until.set()
    found.counted = (await bench.tally()).since(before)
    return found


def check_flapping(bench: FarBench, found: Flapping) -> None:
    """Somebody was served; and the origin was asked for what was wanted, for what broke, and little more.

    What is under way when it goes is what PLAYERS have asked for, in `parts` each. A part that has brought bytes goes
    on once without asking the budget, and so does its body; one that was sent on a connection that died before its
    first byte is sent again. All others take from the budget. A body that goes on is asked for in parts again.
    """
    counted, parts = found.counted, bench.parts(FLAPPED)
    assert counted is not None
    under_way = PLAYERS * found.cycles * parts
    assert found.broken < found.asked
    sent = counted.seen + counted.refused
    assert counted.retries <= counted.retries_most(sent)
    assert counted.resumes <= under_way + PLAYERS * found.cycles + counted.retries
    assert sent <= found.passes + parts * counted.resumes + counted.retries + counted.twice + under_way


@modes
async def test_an_origin_that_flaps_breaks_nothing_but_what_it_was_asked_for(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        check_flapping(bench, await flap(bench, cycles=3, up=0.5, down=0.3))


@pytest.mark.long
@pytest.mark.timeout(600)
@modes
async def test_minutes_of_flapping(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        check_flapping(bench, await flap(bench, cycles=18, up=5.0, down=5.0))


@modes
async def test_an_origin_that_is_dying_gets_a_fifth_more_than_it_is_asked_for(tmp_path: Path, mode: str) -> None:
    """It takes each connection, reads the request, and resets it: there is no answer that could tell us to wait."""
    async with far_bench(tmp_path, mode) as bench:
        idle = bench.proxy.connections  # a request on one of these is sent once more, which is no try
        before, asked = await bench.tally(), 0
        bench.proxy.script = Harm((Refuse(),))

        async def play() -> None:
            nonlocal asked
            for _ in range(DYING // PLAYERS):
                asked += 1
                assert (await bench.ask(bench.new_path(SMALL))).broken

        async with asyncio.TaskGroup() as players:
            for _ in range(PLAYERS):
                players.create_task(play())
        counted = (await bench.tally()).since(before)
        assert counted.retries <= counted.retries_most(counted.seen)
        assert counted.seen <= asked + idle + counted.retries
        await bench.ask_again(bench.new_path())
