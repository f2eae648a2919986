"""Bringing one run's bytes: from the origin's answer into the sink, resumed where it breaks, kept at the end."""

import asyncio
import random
from dataclasses import replace

from edge.errors import EdgeError, OriginError, StoreError
from edge.fill import plan, ways
from edge.fill.flight import Flight
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.patience import let_players_go_first
from edge.fill.plan import Ask
from edge.fill.readers import Run
from edge.fill.records import described_by_content, stored_lines
from edge.fill.requests import CHANGED, PAUSE
from edge.fill.shop import Shop
from edge.fill.sinks import MemorySink, PackSink, ScratchSink, Sink, Unheard
from edge.fill.spread import FIRST, Spread
from edge.fill.tries import RELAYED, Tries
from edge.origin.breaker import State
from edge.origin.response import UpstreamResponse
from edge.origin.retry import open_with_retries
from edge.origin.settings import UpstreamRequest, Urgency
from edge.policy.rules import SiteRules
from edge.store.record import Extent, Record
from edge.store.variants import lay_mark
from edge.words import Eviction, Kind, Reason

RESUMABLE = frozenset({
    Reason.TRUNCATED, Reason.STALLED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.FIRST_BYTE_TIMEOUT,
    Reason.NOT_ADMITTED
})  # fmt: skip


class Carrier:
    """Carries one run. `take` consumes an open answer, `complete` goes on after a break and keeps the result."""

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
        request: Fetch,
    ) -> None:
        self._shop, self._flight, self._run, self._sink = shop, flight, run, sink
        self._record, self._kind, self._rules = record, kind, rules
        self._keep = keep
        self._fetch = request
        self._spread: Spread | None = None  # which brings what comes after the first answer
        self._bringing: Spread | None = None  # the last one that was begun
        self._stopped = False
        self._asked = flight.client  # last, for bytes of this run
        self._moved_at = shop.clock.monotonic()  # since when it waits for more

    @property
    def _done(self) -> bool:
        return self._run.end != UNKNOWN and self._run.position >= self._run.end

    # -- one answer ------------------------------------------------------------------------------

    async def take(self, response: UpstreamResponse | Spread, end: int = UNKNOWN) -> OriginError | None:
        """Put the answer's body into the sink. Returns what broke it, None when it is complete or was stopped.

        Beyond `end`, where the run goes on but this answer does not, or beyond its stop it is left there and then: a
        surplus in chunks has no end of its own. So it is where a reader has come in this very moment: what was cut off
        would be missing before what comes next.
        """
        run = self._run
        try:
            async for chunk in response:
                stop = run.stop_at if end == UNKNOWN or run.stop_at < end else end
                room = len(chunk) if stop == UNKNOWN else stop - run.position
                await self._put(chunk[:room])
                if len(chunk) > room:
                    self._stopped = stop == run.stop_at and not self._done
                    break
                await self._wait_for_readers()
                self._moved_at = self._shop.clock.monotonic()
                if self._stopped:
                    return None
        except OriginError as error:
            return None if self._done else error
        if run.end == UNKNOWN and not self._stopped:
            run.end = run.stop_at = run.position
        if self._done or self._stopped:
            return None
        return OriginError(Reason.TRUNCATED, f"ended at {run.position} of {run.end}")

    async def _put(self, data: bytes) -> None:
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
        if not self._keep:
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
        self._keep = False
        self._flight.ranges = False
        start = waiting[0][0] if waiting else self._run.position
        self._sink = ScratchSink(self._flight, self._shop.scratch, start)
        for _, part in waiting:
            await self._sink.put(bytes(part))

    async def _wait_for_readers(self) -> None:
        """Stay within `ahead` of the furthest reader; with nobody left, see whether to finish or to stop."""
        flight, run = self._flight, self._run
        while True:
            run.moved.clear()
            self._set_stop()
            if run.stop_at != UNKNOWN and run.position >= run.stop_at:
                self._stopped = not self._done
                return
            if flight.may_go_on(run):
                return
            try:
                async with asyncio.timeout(self._shop.settings.pause_limit):
                    await run.moved.wait()
            except TimeoutError:
                if flight.ranges and run.end != UNKNOWN:
                    run.stop_at = self._next_border()  # a later reader's run goes on from there

    def _set_stop(self) -> None:
        flight, run = self._flight, self._run
        goes_on = run.ahead or (flight.background and (self._keep or not flight.unasked))
        goes_on = goes_on or (flight.gathers and self._keep and run.end == flight.total)  # the other pieces come
        if goes_on or next(flight.readers_of(run), None) is not None:
            run.stop_at = run.end
            return
        if run.withdrawn:
            asked = self._bringing.asked if self._bringing is not None else run.position
            run.stop_at = min(run.end, max(self._next_border(), asked - asked % flight.slice_size))
            return
        if run.end == UNKNOWN or not self._keep:
            run.stop_at = run.position
            return
        left, length = run.end - run.position, run.end - run.start
        settings = self._shop.settings
        little = left <= flight.slice_size or left <= length * settings.finish_share
        # Without ranges a stopped fill is lost and the next one begins anew: that wastes more.
        if little or (not flight.ranges and left <= settings.run_max):
            run.stop_at = run.end
        elif run.stop_at == run.end:
            run.stop_at = self._next_border() if flight.ranges else run.position

    def _has_enough(self) -> bool:
        """Does nobody want more of it than has come? Then it stops here, and that is no break."""
        run = self._run
        self._set_stop()
        if run.stop_at == UNKNOWN or run.position < run.stop_at:
            return False
        self._stopped = not self._done
        return True

    def _next_border(self) -> int:
        run, size = self._run, self._flight.slice_size
        return min(run.end, run.position + -run.position % size)

    # -- over several connections ----------------------------------------------------------------

    def spread(self, start: int) -> Spread:
        """The rest of the run from `start` on, over several connections; not begun."""
        fetch = self._asked_as()
        fields = plan.base_fields(fetch, self._rules)
        spread = Spread(self._shop, self._flight.client, fetch, fields, start, self._run.end, lambda: self._urgency)
        return self._serving(spread)

    def _asked_as(self) -> Fetch:
        """The fetch as it is asked for now, and by whose way."""
        shortest = self._flight.nearest(self._run)
        self._run.way = ways.way_of(shortest) if ways.is_odd(shortest) else ()
        return ways.by_way_of(self._fetch, shortest)

    def _serving(self, spread: Spread) -> Spread:
        self._bringing = spread
        spread.serves = lambda: self._flight.awaits(self._run)
        spread.until = self._until
        spread.is_unasked = lambda: self._flight.unasked
        spread.members = lambda: self._flight.clients
        return spread

    def _until(self) -> int:
        """Up to where more may be asked for now."""
        if self._run.withdrawn:
            self._set_stop()
            return self._run.stop_at
        return self._run.end

    @property
    def _urgency(self) -> Urgency:
        flight, run = self._flight, self._run
        left = run.withdrawn and next(flight.readers_of(run), None) is None
        return Urgency.AHEAD if run.ahead or left else flight.urgency

    def follow(self, spread: Spread) -> None:
        """What comes after the first answer is on its way already."""
        self._spread = self._serving(spread)

    async def _take_spread(self, spread: Spread) -> OriginError | None:
        try:
            return await self.take(spread)
        finally:
            await self._close(spread)

    async def _close(self, spread: Spread) -> None:
        if self._bringing is spread:
            self._bringing = None  # nothing that it has asked for comes any more
        await spread.close()

    # -- after a break ---------------------------------------------------------------------------

    async def complete(self, broken: OriginError | None) -> None:
        """Resume until the run is complete, then keep it; a break that cannot be mended fails its readers."""
        try:
            if self._spread is not None and broken is not None:
                if self._run.position == self._spread.start:
                    broken = await self._take_spread(self._spread)
                else:
                    await self._close(self._spread)  # what comes before it has to come first
            await self._complete(broken)
        finally:
            if self._spread is not None:
                await self._spread.close()
            self.let_go()

    def let_go(self) -> None:
        """The fill is over, well or not: reserved space may be evicted."""
        if isinstance(self._sink, PackSink):
            self._sink.release()

    async def _complete(self, broken: OriginError | None) -> None:
        flight, tries, relays = self._flight, Tries(self._run.position, began=True), 0
        while broken is not None:
            relays += broken.relayed
            resumable = self._resumable(broken) and tries.count < self._shop.settings.resume_max and relays <= RELAYED
            if resumable and self._has_enough():
                break
            if resumable:
                self._choose(broken, tries.count)
            again = tries.count > 0 or broken.relayed
            if not resumable or (again and not flight.client.may_retry()):
                await self._give_up(broken)
                return
            if again:
                await asyncio.sleep(PAUSE * (tries.count + random.random()))
            flight.client.observer.resume()
            broken = await self._resume()
            tries.broke(self._run.position)
        await self._keep_all()

    def _choose(self, broken: OriginError, tries: int) -> None:
        """Who goes on: another member that serves, if there is one; else the same, or where it brings nothing the next
        one, though that is away, too. After what it only hands on, who gave the head is asked once more."""
        flight = self._flight
        if broken.relayed:
            if flight.giver is not None and flight.giver.breaker.state is State.CLOSED:
                flight.prefer(flight.giver)
            return
        if broken.reason is Reason.OBJECT_CHANGED:
            flight.leave_out(self._asked)
            return
        served = flight.pass_over(self._asked)
        if not served and (tries or flight.client.breaker.state is not State.CLOSED):
            flight.next_client()

    def _resumable(self, broken: OriginError) -> bool:
        """May the body go on after this break?

        Not what has had its tries; at the only member not what it refuses, nor is a late answer waited for longer than
        any may take.
        """
        if broken.spent:
            return False
        if len(self._flight.clients) == 1:
            late = broken.reason is Reason.FIRST_BYTE_TIMEOUT
            waited = self._shop.clock.monotonic() - self._moved_at
            if not broken.retryable or (late and waited >= self._flight.client.settings.total_first_byte):
                return False
        elsewhere = broken.reason is Reason.OBJECT_CHANGED and self._asked is not self._flight.giver
        if broken.reason not in RESUMABLE and not isinstance(broken, plan.Refused) and not elsewhere:
            return False
        etag = plan.strong_etag(stored_lines(self._record))
        return self._rules.retry and bool(etag) and self._run.end != UNKNOWN and self._fetch.method == b"GET"

    async def _resume(self) -> OriginError | None:
        """Ask for what is missing, as far as it is wanted; and for more, if somebody comes meanwhile who wants it."""
        while not self._has_enough():
            end = self._run.stop_at
            broken = await self._ask_for_rest(end)
            if broken is None or self._run.position != end:
                return broken
        return None

    async def _ask_for_rest(self, end: int) -> OriginError | None:
        run, record, shop = self._run, self._record, self._shop
        if shop.settings.parallel_max > 1 and self._flight.client.pool.path.far and run.end - run.position > 2 * FIRST:
            self._asked = self._flight.client
            spread = self.spread(run.position)
            spread.confirm(record.etag, record.total, run.end)
            return await self._take_spread(spread)
        ask = Ask(run.position, end, whole=False)
        try:
            asking = open_with_retries(tuple(self._flight.clients), self._request(ask), self._shop.clock)
            async with asking as (client, response):
                self._flight.prefer(client)
                self._asked = client
                self._check_same(ask, response, record)
                return await self.take(response, end)
        except OriginError as error:
            return error

    def _request(self, ask: Ask) -> UpstreamRequest:
        etag = plan.strong_etag(stored_lines(self._record))
        fetch = self._asked_as()
        lines = (*plan.base_fields(fetch, self._rules), *ask.field(), (b"If-Range", etag))
        return UpstreamRequest(
            b"GET", fetch.target, lines, retry=self._rules.retry, urgency=self._urgency, context=fetch.context
        )

    def _check_same(self, ask: Ask, response: UpstreamResponse, record: Record) -> None:
        """Only bytes of the same version may follow (DESIGN section 12); anything else means that it changed."""
        if response.status != 206:
            if response.status not in CHANGED:
                raise plan.refused(response.status, "a continued request", relayed=response.relayed)
            raise OriginError(Reason.OBJECT_CHANGED, f"{response.status} to a continued request", retryable=False)
        part = plan.verify_partial(ask, response.fields, response.content_length)
        if (plan.strong_etag(response.fields), part.total) != (record.etag, self._flight.total):
            raise OriginError(Reason.OBJECT_CHANGED, "another version", retryable=False)

    async def start_run(self) -> None:
        """A later run of a flight whose head is known: ask for its stretch, bring it, keep it."""
        flight, run = self._flight, self._run
        try:
            await let_players_go_first(self._shop, flight)
            flight.leave_to_trials()
            self._moved_at = self._shop.clock.monotonic()
            await self.complete(await self._resume())
        except EdgeError as error:
            flight.fail_run(run, error.status, error.reason, str(error))
        except Exception:
            flight.fail_run(run, 500, Reason.INTERNAL, "internal error")
            raise  # a mistake of ours: `tasks` reports it
        finally:
            flight.end_run(run)

    async def _give_up(self, broken: OriginError) -> None:
        if broken.reason is Reason.OBJECT_CHANGED and self._asked is self._flight.giver:
            self._flight.joinable = False
            await self._forget()
        self._flight.announce()
        await self._keep_whole_slices()
        self._flight.fail_run(self._run, broken.status, broken.reason, str(broken))

    async def _forget(self) -> None:
        """The origin has another version: the stored one must not be offered as fresh any more."""
        store = self._shop.store
        if self._keep:
            await store.attempt(store.volume.delete, self._flight.name, self._record.generation, Eviction.REPLACED)
            self._keep = False

    # -- keeping ---------------------------------------------------------------------------------

    def _keep_extents(self, pack: PackSink) -> None:
        """Extents that are complete are committed while the run goes on (strong validator only)."""
        done = pack.take_complete()
        if done and not self._flight.doomed:
            store = self._shop.store
            store.post(store.volume.commit, self._flight.name, self._record, list(done))

    async def _keep_whole_slices(self) -> None:
        """A broken run: what is complete stays, cut at the last slice border."""
        pack, run = self._sink, self._run
        if not (isinstance(pack, PackSink) and self._keep and self._flight.ranges) or self._flight.doomed:
            return
        try:
            await pack.finish()
        except StoreError:
            return
        extents = pack.take_complete()
        if extents and run.position > run.start and not self._flight.doomed:
            store = self._shop.store
            await store.attempt(store.volume.commit, self._flight.name, self._record, list(extents))

    async def _keep_all(self) -> None:
        flight, run, sink = self._flight, self._run, self._sink
        if self._stopped:
            await self._keep_whole_slices()
            return
        if self._keep and flight.ends_with(run):
            self._shop.landing[flight.name] = flight
        try:
            await sink.finish()
        except StoreError:
            await self._to_scratch()
            await self._sink.finish()
        if flight.total == UNKNOWN:
            self._record = replace(self._record, total=run.position)
            flight.set_total(run.position)
        if not self._keep or flight.doomed:
            return
        try:
            if isinstance(sink, MemorySink):
                await self._keep_memory(sink.body())
            elif isinstance(sink, PackSink):
                await self._commit(sink)
        except (StoreError, OSError):
            return  # counted by the store; the readers have their bytes

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
        store, settings = self._shop.store, self._shop.settings
        record, live = described_by_content(self._record, body, self._kind, self._rules)
        if live:
            self._shop.live.note(self._fetch.site, self._fetch.path)
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
