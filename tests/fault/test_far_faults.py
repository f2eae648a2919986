"""Faults between a real edge and its origin, at many bytes of a body, for one stream and for parallel pieces.

Whatever happens, a player gets the right bytes or a broken answer; never a wrong byte, never a clean end too soon.
What has failed is right when it is asked for again, so nothing short was kept. And an origin that fails is not
hammered: its requests are counted.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.farbench import MODES, FarBench, far_bench, positions
from tests.support.faults import (
    Fault,
    Harm,
    Reset,
    Stall,
    Truncate,
)

modes = pytest.mark.parametrize("mode", MODES)
ENDS: tuple[Callable[[int], Fault], ...] = (Reset, Truncate, Stall)
SEED = 20261123


async def clean_requests(bench: FarBench) -> int:
    """How many requests a whole object takes on a good day."""
    path = bench.new_path()
    outcome = await bench.ask(path)
    assert outcome.whole
    return bench.requests(path)


async def one_end(bench: FarBench, fault: Fault, clean: int) -> None:
    """A body that breaks once is mended out of the player's sight."""
    path = bench.new_path()
    harm = Harm((fault,), times=1, path=path)
    bench.proxy.script = harm
    outcome = await bench.ask(path)
    assert harm.fired == 1, fault
    assert outcome.whole, f"{fault}: not mended, {outcome}"
    print(fault, bench.requests(path), clean)
    await bench.ask_again(path)


async def lasting_end(bench: FarBench, fault: Fault, clean: int) -> None:
    """A byte that never comes breaks the answer."""
    path = bench.new_path()
    bench.proxy.script = Harm((fault,), path=path)
    outcome = await bench.ask(path)
    assert outcome.broken, fault
    print("lasting", fault, bench.requests(path), clean, outcome)
    await bench.ask_again(path)


@modes
async def test_x(tmp_path: Path, mode: str) -> None:
    async with far_bench(tmp_path, mode) as bench:
        clean = await clean_requests(bench)
        for at in positions(6, SEED):
            for end in ENDS:
                await one_end(bench, end(at), clean)
                await lasting_end(bench, end(at), clean)
