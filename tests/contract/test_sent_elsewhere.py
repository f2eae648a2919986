"""Readers that leave a flight for another answer: nothing of them stays behind with it."""

import asyncio
from pathlib import Path

from edge.fill.settings import FillSettings
from edge.policy.purges import Purge, Scope
from edge.words import Reason
from tests.support.fillbench import fill_bench
from tests.support.rawserver import Asked, RawServer, Wire


async def test_a_reader_that_a_purge_sends_to_ask_anew_and_that_is_refused_is_forgotten_by_its_former_flight(
    tmp_path: Path,
) -> None:
    """Its worker had left it a second time when it went: that failed, and its other flights had readers for ever."""

    async def hangs(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with (
        RawServer(hangs) as server,
        fill_bench(tmp_path, server.url, settings=FillSettings(flights_max=2)) as bench,
    ):
        purged, other = bench.ask("/a.ts"), bench.ask("/b.ts")
        async with asyncio.timeout(20):
            while len(server.asked) < 2:
                await asyncio.sleep(0.001)
        (link,) = bench.desk.links
        await bench.asker.forget(Purge(Scope.KEY, purged.want.key))
        await purged.finish()
        assert purged.failed is not None
        assert purged.failed[1] is Reason.QUEUE_FULL
        assert list(link.readers) == [other.want.id]
        bench.asker.close()  # as when a worker dies
        async with asyncio.timeout(20):
            while bench.desk.links:
                await asyncio.sleep(0.001)
        assert not any(flight.readers for flight in bench.desk._flights.all())
