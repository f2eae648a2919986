"""Where a run's bytes go, and what of them is kept: the sink that takes them may change, the index hears of what is
complete while the run goes on, and of the rest at its end."""

from dataclasses import replace

from edge.errors import StoreError
from edge.fill.flight import Flight
from edge.fill.messages import UNKNOWN
from edge.fill.readers import Run
from edge.fill.records import described_by_content
from edge.fill.shop import Shop
from edge.fill.sinks import MemorySink, PackSink, ScratchSink, Sink, Unheard
from edge.policy.rules import SiteRules
from edge.store.record import Extent, Record
from edge.store.variants import lay_mark
from edge.words import Eviction, Kind


class Keeping:
    """Of one run. `keep`: not any more once the disk has failed, or the origin has another version."""

    def __init__(
        self,
        shop: Shop,
        flight: Flight,
        run: Run,
        sink: Sink,
        record: Record,
        kind: Kind,
        rules: SiteRules,
        *,
        keep: bool,
    ) -> None:
        self._shop, self._flight, self._run, self._sink = shop, flight, run, sink
        self._record, self._kind, self._rules = record, kind, rules
        self.keep = keep

    def __repr__(self) -> str:
        return f"<Keeping {self._run} in {type(self._sink).__name__} keep={self.keep}>"

    # -- while it goes on ------------------------------------------------------------------------

    async def put(self, data: bytes) -> None:
        """The run's next bytes; waits while the way out is full."""
        run = self._run
        run.position += len(data)
        self._shop.ahead.brought(len(data))
        limit = self._shop.settings.memory_limit
        if isinstance(self._sink, MemorySink) and self._sink.size + len(data) > limit:
            await self._spill(self._sink)
        try:
            await self._sink.put(data)
        except StoreError:
            await self._to_scratch()
        if isinstance(self._sink, PackSink) and self._flight.ranges:
            self._keep_extents(self._sink)

    async def _spill(self, memory: MemorySink) -> None:
        """Larger than it looked: what is in memory goes first into a pack (or is dropped, when it is not kept)."""
        if not self.keep:
            self._sink = ScratchSink(self._flight, self._shop.scratch, self._run.start + memory.size)
            return
        end = None if self._run.end == UNKNOWN else self._run.end
        pack = PackSink(self._flight, self._shop.store, self._run.start, end, self._flight.whose)
        self._sink = pack
        try:
            await pack.put(memory.body())
        except StoreError:
            await self._to_scratch()

    async def _to_scratch(self) -> None:
        """The disk has failed: the body goes on through scratch and is not kept."""
        pack = self._sink
        assert isinstance(pack, PackSink)
        waiting = pack.unwritten()
        pack.release()
        self.keep = False
        self._flight.lose_ranges()
        start = waiting[0][0] if waiting else self._run.position
        self._sink = ScratchSink(self._flight, self._shop.scratch, start)
        for _, part in waiting:
            await self._sink.put(bytes(part))

    def _keep_extents(self, pack: PackSink) -> None:
        """Extents that are complete are committed while the run goes on (strong validator only)."""
        done = pack.take_complete()
        if done and not self._flight.doomed:
            store = self._shop.store
            store.post(store.volume.commit, self._flight.name, self._record, list(done))

    # -- its end ---------------------------------------------------------------------------------

    async def keep_all(self) -> None:
        """The run is complete."""
        flight, run, sink = self._flight, self._run, self._sink
        if self.keep and flight.ends_with(run):
            self._shop.landing[flight.name] = flight
        try:
            await sink.finish()
        except StoreError:
            await self._to_scratch()
            await self._sink.finish()
        if flight.total == UNKNOWN:
            self._record = replace(self._record, total=run.position)
            flight.set_total(run.position)
        if not self.keep or flight.doomed:
            return
        try:
            if isinstance(sink, MemorySink):
                await self._keep_memory(sink.body())
            elif isinstance(sink, PackSink):
                await self._commit(sink)
        except (StoreError, OSError):
            return  # counted by the store; the readers have their bytes

    async def keep_whole_slices(self) -> None:
        """The run has stopped or is broken: what is complete stays, cut at the last slice border."""
        pack, run = self._sink, self._run
        if not (isinstance(pack, PackSink) and self.keep and self._flight.ranges) or self._flight.doomed:
            return
        try:
            await pack.finish()
        except StoreError:
            return
        extents = pack.take_complete()
        if extents and run.position > run.start and not self._flight.doomed:
            store = self._shop.store
            await store.attempt(store.volume.commit, self._flight.name, self._record, list(extents))

    async def forget(self) -> None:
        """The origin has another version: the stored one must not be offered as fresh any more."""
        store = self._shop.store
        self.keep = False
        await store.attempt(store.volume.delete, self._flight.name, self._record.generation, Eviction.REPLACED)

    def let_go(self) -> None:
        """The fill is over, well or not: reserved space may be evicted."""
        if isinstance(self._sink, PackSink):
            self._sink.release()

    async def _commit(self, pack: PackSink) -> None:
        store = self._shop.store
        extents: list[Extent] = list(pack.take_complete())
        if not extents and self._run.end == 0:
            extents = [await store.call(lay_mark, store.volume)]
        if self._flight.doomed:  # in the meantime
            return
        kept = store.call(store.volume.commit, self._flight.name, self._record, extents)
        pack.release()  # right behind it: the store's thread wakes once for both
        await kept

    async def _keep_memory(self, body: bytes) -> None:
        """A small body is whole: now its content can tell how long it is good, and where it belongs."""
        store, settings, fetch = self._shop.store, self._shop.settings, self._flight.fetch
        record, live = described_by_content(self._record, body, self._kind, self._rules)
        if live:
            self._shop.live.note(fetch.site, fetch.path)
        now = self._shop.clock.wall()
        if record.fresh_until - now < settings.live_below and self._rules.lists_by_content:
            await store.call(store.volume.put_live, self._flight.name, record, body)
            return
        self._record = record
        pack = PackSink(Unheard(self._flight.slice_size), store, 0, len(body), self._flight.whose)
        try:
            if body:
                await pack.put(body)
            await pack.finish()
            await self._commit(pack)
        finally:  # else the pack would be thought to be written to for ever, and never leave
            pack.release()
