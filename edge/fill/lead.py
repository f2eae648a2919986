"""The first request of a flight: ask, judge the head, decide where the body goes, and bring it.

One function per outcome. The table of faults in DESIGN section 12 is the specification of this module.
"""

from collections.abc import Callable
from dataclasses import replace

from edge.errors import EdgeError, OriginError
from edge.fill import plan
from edge.fill.carry import Carrier
from edge.fill.flight import Flight, Reader, Run
from edge.fill.messages import UNKNOWN, Head, HeadFlag, Mode
from edge.fill.plan import Ask
from edge.fill.records import record_of, refreshed
from edge.fill.shop import Shop
from edge.fill.sinks import MemorySink, PackSink, ScratchSink, Sink
from edge.fill.spread import FIRST, Spread
from edge.http import fields
from edge.media.kinds import kind_of
from edge.origin.connection import Framing
from edge.origin.response import UpstreamResponse
from edge.origin.retry import open_with_retries
from edge.origin.settings import UpstreamRequest
from edge.policy.decide import may_serve_on_error
from edge.policy.judge import Head as AnswerHead
from edge.policy.judge import Verdict, judge
from edge.store.record import Flag, Record, encode_record
from edge.words import CacheStatus, Kind, Reason

NOT_MODIFIED = 304
PARTIAL = 206
RANGE_NOT_SATISFIABLE = 416
SERVER_ERRORS = frozenset({500, 502, 503, 504})  # RFC 5861 section 4: those that a stale answer may stand in for


OnAlone = Callable[[Flight, list[Reader]], None]


class _AskAgain(Exception):
    """The answer does not serve; another request, differently put, will. Raised at most twice a flight."""


class Lead:
    """One flight's first request."""

    def __init__(self, shop: Shop, flight: Flight, stored: Record | None, on_alone: OnAlone) -> None:
        self._shop = shop
        self._flight = flight
        self._stored = stored
        self._on_alone = on_alone
        self._fetch = flight.fetch
        self._rules = shop.rules(flight.fetch.site)
        self._pass = flight.fetch.mode is Mode.PASS
        self._range_given_up = False
        self._whole_ask: Ask | None = None  # what would be asked at once on a near path
        self._answered = 0  # where the first answer ends
        self._spread: Spread | None = None

    async def fly(self) -> None:
        """Bring what the flight's readers want, or tell all of them why not; never raises but for cancellation."""
        flight = self._flight
        run = Run(0, UNKNOWN)
        flight.runs.append(run)
        try:
            await self._ask(run)
        except EdgeError as error:
            flight.fail(error.status, error.reason, str(error))
        except Exception:
            flight.fail(500, Reason.INTERNAL, "internal error")
            raise  # a mistake of ours: `tasks` reports it, the readers know already
        finally:
            flight.end_run(run)

    def go_on(self, stored: Record) -> None:
        """The head is in the index and fresh, only slices are missing: their runs ask with If-Range."""
        flight = self._flight
        for extent in self._shop.store.volume.extents(stored):
            flight.covered.add(extent.start, extent.end)
        flight.ranges = True
        head = Head(0, HeadFlag.STORED, CacheStatus.MISS, stored.total, "", 0.0, encode_record(stored))
        flight.set_head(head, stored, stored.total)
        flight.check_idle()

    async def _ask(self, run: Run) -> None:
        ask = self._first_ask()
        broken: OriginError | None = None
        carrier: Carrier | None = None
        self._spread = self._guess(ask)
        try:
            async with open_with_retries(self._shop.client, self._request(ask), self._shop.clock) as response:
                if response.status == RANGE_NOT_SATISFIABLE and not ask.whole and not self._fetch.ranged:
                    self._range_given_up = True  # an empty object has no bytes 0-
                    raise _AskAgain
                carrier = await self._judge(ask, response, run)
                if carrier is not None:
                    self._follow(carrier, run)
                    broken = await carrier.take(response)
            if carrier is not None:
                await carrier.complete(broken)
        except _AskAgain:
            await self._drop_spread()
            await self._ask(run)
        except BaseException:
            if carrier is not None:
                carrier.let_go()
            raise
        finally:
            await self._drop_spread()

    async def _drop_spread(self) -> None:
        spread, self._spread = self._spread, None
        if spread is not None:
            await spread.close()

    def _first_ask(self) -> Ask:
        fetch, settings = self._fetch, self._shop.settings
        self._whole_ask = None
        if fetch.method == b"HEAD" or self._range_given_up:
            return plan.WHOLE
        if self._pass:
            if not fetch.ranged:
                return plan.WHOLE
            return Ask(fetch.start, fetch.end, fetch.suffix, whole=False)
        rangeless = fetch.kind in self._shop.rangeless
        ask = plan.first_ask(fetch, slice_size=self._shop.slice_size, run_max=settings.run_max, rangeless=rangeless)
        self._whole_ask = ask
        far = settings.parallel_max > 1 and self._shop.client.pool.path.far and not rangeless
        return plan.first_piece(ask, fetch, FIRST) if far else ask

    def _request(self, ask: Ask) -> UpstreamRequest:
        stored = self._stored
        lines = [*self._fetch.fields, (b"Accept-Encoding", b"identity"), *ask.field()]
        if stored is not None and not self._pass:
            lines.extend(plan.conditional(stored))
        return UpstreamRequest(self._fetch.method, self._fetch.target, tuple(lines))

    # -- a far path ------------------------------------------------------------------------------

    def _guess(self, ask: Ask) -> Spread | None:
        """Ask for what probably follows the first piece at the same time, if neighbours have shown how long it is."""
        whole = self._whole_ask
        if whole is None or ask == whole or self._stored is not None or self._fetch.pin is not None:
            return None
        likely = self._shop.sizes.get(_directory(self._fetch.path), 0)
        end = min(likely, ask.start + self._shop.settings.run_max)
        if not whole.whole and whole.end != UNKNOWN:
            end = min(end, whole.end)
        if end - ask.end < FIRST:
            return None
        spread = Spread(self._shop, self._fetch.target, self._fetch.fields, ask.end, end)
        spread.begin()
        return spread

    def _reach(self, ask: Ask, end: int, total: int) -> int:
        """How far the run of a first piece goes on: as far as the first request would have asked on a near path."""
        whole = self._whole_ask
        if whole is None or ask == whole or end != ask.end:
            return end
        most = ask.start + self._shop.settings.run_max
        return min(total, most if whole.whole or whole.end == UNKNOWN else whole.end)

    def _follow(self, carrier: Carrier, run: Run) -> None:
        """The first answer is a first piece: have the rest under way before its body has come."""
        record, at = self._flight.record, self._answered
        if record is None or at >= run.end:
            return
        spread = self._spread
        if spread is None or not spread.confirm(record.etag, record.total, run.end):
            spread = carrier.spread(at)
            spread.confirm(record.etag, record.total, run.end)
        if spread is self._spread:
            self._spread = None
        carrier.follow(spread)

    # -- the head --------------------------------------------------------------------------------

    async def _judge(self, ask: Ask, response: UpstreamResponse, run: Run) -> Carrier | None:
        """Decide what this answer is; tell the readers; return who brings its body, None when there is none."""
        now = self._shop.clock.wall()
        if response.status == NOT_MODIFIED:
            await self._renew(response, now)
            return None
        stored = self._stored
        if (
            response.status in SERVER_ERRORS
            and stored is not None
            and may_serve_on_error(
                stored.fresh_until, stored.stale_if_error, bool(stored.flags & Flag.MUST_REVALIDATE), now
            )
        ):
            raise OriginError(Reason.BAD_RESPONSE, f"the origin answered {response.status}")
        start, end, total = self._stretch(ask, response)
        kind = self._kind(response)
        verdict = self._verdict(response, kind)
        etag = plan.strong_etag(response.fields) if response.status in (200, PARTIAL) else b""
        if response.framing is Framing.CLOSE:
            verdict = replace(verdict, store=False)  # an end and a break look the same: never kept
        if response.status == PARTIAL and not etag and verdict.store:
            verdict = replace(verdict, store=False, shareable=False)  # never combined: it is this client's alone
        alone = self._pass or not verdict.shareable
        if alone and not self._pass:
            self._separate(response.status)
            if response.status == PARTIAL and self._falls_short(ask, end, total) and not etag:
                self._pass = True
                raise _AskAgain
        if response.status == PARTIAL and not etag and not self._fetch.ranged and not self._pass:
            self._shop.rangeless[self._fetch.kind] = True  # parts of it cannot be combined: asked for whole from now on
            self._range_given_up = True
            raise _AskAgain
        self._answered = end
        if response.status == PARTIAL and verdict.store and not alone and etag:
            end = self._reach(ask, end, total)
        if total != UNKNOWN and response.status in (200, PARTIAL):
            self._shop.sizes[_directory(self._fetch.path)] = total
        run.start, run.end, run.position = start, end, start
        run.stop_at = end
        return await self._begin(response, run, kind, verdict, etag, total, alone=alone)

    def _stretch(self, ask: Ask, response: UpstreamResponse) -> tuple[int, int, int]:
        """(start, end, total) of the body in the object; UNKNOWN where nobody knows yet."""
        if response.status == PARTIAL:
            part = plan.verify_partial(ask, response.fields, response.content_length)
            return part.start, part.end, part.total
        length = UNKNOWN if response.content_length is None else response.content_length
        # The whole may be sent where the range covers it (RFC 9110 section 14.2): that says nothing of ranges.
        covered = ask.start == 0 and not ask.suffix and 0 <= length <= ask.end
        if response.status == 200 and not ask.whole and not self._pass and not covered:
            self._shop.rangeless[self._fetch.kind] = True
        if self._fetch.method == b"HEAD":
            return 0, 0, length
        return 0, length, length

    def _kind(self, response: UpstreamResponse) -> Kind:
        found = kind_of(self._fetch.path, fields.first(response.fields, b"content-type"))
        return self._fetch.kind if self._fetch.kind is not Kind.OTHER else found

    def _verdict(self, response: UpstreamResponse, kind: Kind) -> Verdict:
        status = 200 if response.status == PARTIAL else response.status
        return judge(
            AnswerHead(status, response.fields),
            method=self._fetch.method,
            kind=kind,
            rules=self._rules,
            request_time=response.request_time,
            response_time=response.response_time,
            facts=None,
            has_authorization=fields.first(self._fetch.fields, b"authorization") is not None,
        )

    def _falls_short(self, ask: Ask, end: int, total: int) -> bool:
        fetch = self._fetch
        wanted = total if fetch.end == UNKNOWN or fetch.suffix else min(fetch.end, total)
        return end < wanted or (fetch.suffix > 0 and ask.suffix < fetch.suffix)

    def _separate(self, status: int) -> None:
        """The answer is the leader's alone: the others ask for themselves, later ones at once."""
        if status < 400:  # an error that says no-store says nothing of the object
            self._shop.alone[self._flight.name] = True
        self._flight.joinable = False
        others = [reader for reader in self._flight.readers if reader.fetch is not self._fetch]
        self._on_alone(self._flight, others)

    # -- the body --------------------------------------------------------------------------------

    async def _begin(
        self,
        response: UpstreamResponse,
        run: Run,
        kind: Kind,
        verdict: Verdict,
        etag: bytes,
        total: int,
        *,
        alone: bool,
    ) -> Carrier:
        flight, shop = self._flight, self._shop
        keep = verdict.store and not alone and self._fetch.method == b"GET"
        stored = self._stored
        now = shop.clock.wall()
        generation = 0
        if keep:
            continues = stored is not None and plan.same_version(stored, etag, total)
            generation = stored.generation if continues and stored else shop.store.volume.new_generation()
        status = 200 if response.status == PARTIAL else response.status
        record = record_of(
            self._fetch,
            kind,
            status,
            response.fields,
            verdict,
            etag=etag,
            generation=generation,
            total=total,
            slice_size=shop.slice_size,
            now=now,
        )
        if stored is not None and generation == stored.generation and keep:
            for extent in shop.store.volume.extents(stored):
                flight.covered.add(extent.start, extent.end)
        combined = bool(etag) and total != UNKNOWN and response.status in (200, PARTIAL)
        flight.ranges = keep and combined and kind not in shop.rangeless
        flags = (HeadFlag.STORED if keep else HeadFlag(0)) | (HeadFlag.ALONE if alone else HeadFlag(0))
        word = self._word(alone=alone)
        ttfb = response.response_time - response.request_time
        sink = self._sink(run, kind, verdict, total, keep=keep)
        flight.set_head(Head(0, flags, word, total, response.member, ttfb, encode_record(record)), record, total)
        if self._fetch.method == b"HEAD":
            flight.end_all()
        return Carrier(shop, flight, run, sink, record, kind, self._rules, keep=keep, request=self._fetch)

    def _word(self, *, alone: bool) -> CacheStatus:
        if self._fetch.mode is Mode.PASS or alone:
            return CacheStatus.BYPASS
        return CacheStatus.MISS if self._stored is None else CacheStatus.EXPIRED

    def _sink(self, run: Run, kind: Kind, verdict: Verdict, total: int, *, keep: bool) -> Sink:
        flight, shop, settings = self._flight, self._shop, self._shop.settings
        if not keep:
            if total != UNKNOWN and total <= settings.inline_limit:
                return MemorySink(flight, run.start)
            return ScratchSink(flight, shop.scratch, run.start)
        short = verdict.fresh_until - shop.clock.wall() < settings.live_below
        listing = kind in (Kind.PLAYLIST, Kind.MANIFEST)
        fits = total <= settings.memory_limit  # UNKNOWN fits until it has shown that it does not
        if fits and run.start == 0 and (total in (UNKNOWN, run.end)) and (short or listing or total == UNKNOWN):
            return MemorySink(flight)
        return PackSink(flight, shop.store, run.start, None if run.end == UNKNOWN else run.end)

    # -- not modified ----------------------------------------------------------------------------

    async def _renew(self, response: UpstreamResponse, now: float) -> None:
        """304: the stored answer is good again (RFC 9111 section 4.3.4)."""
        stored = self._stored
        if stored is None or self._pass:
            raise OriginError(Reason.BAD_RESPONSE, "304 to an unconditional request", retryable=False)
        lines = tuple(response.fields)
        if not plan.explicit_freshness(lines):
            held = plan.stored_lines(stored)
            lines += tuple((n, v) for n, v in held if n.lower() in plan.FRESHNESS)
        verdict = judge(
            AnswerHead(stored.status, lines),
            method=b"GET",
            kind=stored.kind,
            rules=self._rules,
            request_time=response.request_time,
            response_time=response.response_time,
            facts=None,
        )
        if len(lines) == len(response.fields) and not plan.explicit_freshness(lines):
            lifetime = stored.fresh_until - stored.base_time  # what its content told when it was whole
            verdict = replace(verdict, fresh_until=verdict.base_time + lifetime)
        record = refreshed(stored, response.fields, verdict, now)
        flight, shop = self._flight, self._shop
        for extent in shop.store.volume.extents(stored):
            flight.covered.add(extent.start, extent.end)
        live = shop.store.volume.lookup_live(flight.name)
        if live is not None:
            await MemorySink(flight).put(live[1])  # short-lived answers are told from memory, again
        await shop.store.call(shop.store.volume.refresh, flight.name, record)
        flight.ranges = bool(plan.strong_etag(plan.stored_lines(stored)))
        ttfb = response.response_time - response.request_time
        flags = HeadFlag.STORED | HeadFlag.REVALIDATED
        head = Head(0, flags, CacheStatus.REVALIDATED, record.total, response.member, ttfb, encode_record(record))
        flight.set_head(head, record, record.total)


def _directory(path: bytes) -> bytes:
    """Segments of one rendition lie beside each other, and are about equally long."""
    return path.rpartition(b"/")[0]
