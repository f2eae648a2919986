"""A version that the origin has replaced while it was on its way is kept by nobody who still brings it."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge.fill.settings import FillSettings
from edge.policy.purges import Purge, Scope
from edge.words import MIB, Reason
from tests.support.fillbench import QUICK, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer, range_of

FORMER, NOW = os.urandom(6 * MIB), os.urandom(6 * MIB)
PATIENT = replace(QUICK, first_byte_timeout=10.0, total_first_byte=10.0, stall_timeout=10.0)


class Changing:
    """Two parts of the former version are under way; the first one breaks off, the other ends when it may."""

    def __init__(self) -> None:
        self.has_changed, self.may_end = asyncio.Event(), asyncio.Event()
        self.held = 0

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        if self.has_changed.is_set():
            await wire.send(answer(asked, NOW, etag='"v2"'))
            return
        raw, span = answer(asked, FORMER), range_of(asked, len(FORMER))
        assert span is not None
        await wire.send(raw[: len(raw) // 2])
        self.held += 1
        if span[0] < 4 * MIB:
            await self.has_changed.wait()
            wire.close()
        else:
            await self.may_end.wait()
            await wire.send(raw[len(raw) // 2 :])


@pytest.mark.parametrize("then", ["nothing", "fetched", "purged"])
async def test_a_part_that_ends_after_its_version_has_gone_does_not_bring_that_back(tmp_path: Path, then: str) -> None:
    """Other runs of the flight that saw the change went on keeping what they brought: as fresh, and after a purge."""
    origin = Changing()
    async with (
        RawServer(origin) as server,
        fill_bench(tmp_path, server.url, origin=PATIENT, settings=FillSettings(run_max=2 * MIB)) as bench,
    ):
        first = await bench.ask("/a.mp4", 0, 2 * MIB).headed()
        second = await bench.ask("/a.mp4", 4 * MIB, 6 * MIB).headed()
        async with asyncio.timeout(5):
            while origin.held < 2:
                await asyncio.sleep(0.001)
        origin.has_changed.set()
        await first.finish()
        assert first.failed is not None
        assert first.failed[1] is Reason.OBJECT_CHANGED
        if then != "nothing":
            assert (await bench.ask("/a.mp4", 0, MIB).finish()).bytes() == NOW[:MIB]
        if then == "purged":
            assert not (await bench.asker.forget(Purge(Scope.KEY, b"default/a.mp4"))).error
        origin.may_end.set()
        assert (await second.finish()).bytes() == FORMER[4 * MIB :]  # what it was promised
        await bench.settled()
        record = bench.stored("/a.mp4")
        assert (record.etag if record is not None else None) == (b'"v2"' if then == "fetched" else None)
