"""The first request of a flight: ask, judge the head, decide where the body goes, and bring it.

One function per outcome. The table of faults in DESIGN section 12 is the specification of this module; what an answer
does to records that are stored already is in `revise`.
"""

import asyncio
from dataclasses import replace

from edge.errors import EdgeError, OriginError
from edge.fill import plan, revise
from edge.fill.ahead import LARGEST
from edge.fill.carry import Carrier
from edge.fill.finding import gap
from edge.fill.flight import Flight
from edge.fill.messages import UNKNOWN, Head, HeadFlag, Mode
from edge.fill.patience import let_players_go_first
from edge.fill.placing import Placing, Tower, aged
from edge.fill.plan import Ask
from edge.fill.readers import Run
from edge.fill.records import explicit_freshness, stored_lines
from edge.fill.shop import Shop, directory
from edge.fill.sinks import MemorySink
from edge.fill.spread import BEGINNING, FIRST, Spread
from edge.fill.upload import Upload
from edge.http import fields
from edge.http.target import parse_target
from edge.media.kinds import kind_of
from edge.origin.client import OriginClient
from edge.origin.connection import Framing
from edge.origin.response import UpstreamResponse
from edge.origin.retry import open_with_retries
from edge.origin.settings import UpstreamRequest
from edge.policy.decide import may_serve_on_error
from edge.policy.invalidation import answers_get, is_unsafe
from edge.policy.judge import Head as AnswerHead
from edge.policy.judge import Verdict, judge
from edge.store.names import name_of
from edge.store.record import Flag, Record, encode_record
from edge.words import CacheStatus, Kind, Reason

NOT_MODIFIED = 304
PARTIAL = 206
RANGE_NOT_SATISFIABLE = 416
BODILESS = frozenset({204, 205, NOT_MODIFIED})
SERVER_ERRORS = frozenset({500, 502, 503, 504})  # RFC 5861 section 4: those that a stale answer may stand in for


class _AskAgain(Exception):
    """The answer does not serve; another request, differently put, will. Raised at most three times a flight."""


class Lead:
    """One flight's first request."""

    def __init__(
        self, shop: Shop, flight: Flight, stored: Record | None, tower: Tower, upload: Upload | None = None
    ) -> None:
        self._shop = shop
        self._flight = flight
        self._stored = stored
        self._tower = tower
        self._upload = upload
        self._fetch = flight.fetch
        self._rules = shop.rules(flight.fetch.site, flight.fetch.path)
        self._pass = flight.fetch.mode is Mode.PASS
        self._get = flight.fetch.method == b"GET"
        self._range_given_up = False
        self._placing = Placing(shop, flight, stored, tower, self._rules)
        self._whole_ask: Ask | None = None  # what would be asked at once on a near path
        self._answered = 0  # where the first answer ends
        self.missing: tuple[int, int] | None = None  # of a stored answer that is good: all that is asked for
        self._spread: Spread | None = None
        self._unconditional = self._pass or not self._get or plan.client_conditions(flight.fetch)

    async def fly(self) -> None:
        """Bring what the flight's readers want, or tell all of them why not; never raises but for cancellation."""
        flight = self._flight
        run = Run(0, UNKNOWN)
        flight.runs.append(run)
        try:
            await self._ask_in_turn(run)
        except EdgeError as error:
            flight.fail(error.status, error.reason, str(error))
        except Exception:
            flight.fail(500, Reason.INTERNAL, "internal error")
            raise  # a mistake of ours: `tasks` reports it, the readers know already
        finally:
            flight.end_run(run)

    async def _ask_in_turn(self, run: Run) -> None:
        """Players first; who joined one that was asked patiently, and lost its place in line, asks as a player."""
        await let_players_go_first(self._shop, self._flight)
        patient = self._flight.patient
        try:
            await self._ask(run)
        except OriginError as error:
            lost = error.reason in (Reason.QUEUE_FULL, Reason.QUEUE_TIMEOUT) and self._flight.head is None
            if not (lost and patient and self._flight.readers and not self._flight.patient):
                raise
            await self._ask(run)

    def go_on(self, stored: Record, *, ahead: bool) -> None:
        """The head is in the index and fresh, only slices are missing: their runs ask with If-Range.

        `ahead`: nobody waits for them yet.
        """
        flight = self._flight
        for extent in self._shop.store.volume.extents(stored):
            flight.covered.add(extent.start, extent.end)
        flight.ranges = True
        flags = HeadFlag.STORED | HeadFlag.PARTIAL  # another answer to a run is none: it breaks off
        head = Head(0, flags, CacheStatus.MISS, stored.total, "", 0.0, encode_record(stored))
        flight.set_head(head, stored, stored.total)
        if ahead:
            flight.fetch_ahead(self._fetch.start, self._fetch.end)
        flight.check_idle()

    async def _ask(self, run: Run) -> None:
        ask = self._first_ask()
        broken: OriginError | None = None
        carrier: Carrier | None = None
        self._spread = self._guess(ask)
        try:
            asking = open_with_retries(tuple(self._flight.clients), self._request(ask), self._shop.clock)
            async with asking as (client, response):
                await self._prefer(client)
                self._check_satisfied(ask, response)
                carrier = await self._judge(ask, response, run)
                if carrier is not None:
                    self._follow(carrier, run)
                    broken = await carrier.take(response)
            self._shop.spread.room()  # its connection is free
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

    def _check_satisfied(self, ask: Ask, response: UpstreamResponse) -> None:
        """A range of our own making that cannot be satisfied is nothing to tell a player of."""
        if response.status != RANGE_NOT_SATISFIABLE:
            return
        if self.missing is not None:
            self.missing, self._unconditional = None, True  # what was stored is out of date
            raise _AskAgain
        if not ask.whole and not self._fetch.ranged:
            self._range_given_up = True  # an empty object has no bytes 0-
            raise _AskAgain

    async def _prefer(self, client: OriginClient) -> None:
        """What was asked on a guess of a member that has failed meanwhile is of no use."""
        if client is not self._flight.client:
            await self._drop_spread()
        self._flight.prefer(client)

    async def _drop_spread(self) -> None:
        spread, self._spread = self._spread, None
        if spread is not None:
            await spread.close()

    def _first_ask(self) -> Ask:
        fetch, settings = self._fetch, self._shop.settings
        self._whole_ask = None
        if not self._get or self._range_given_up:
            return plan.WHOLE
        if self._pass:
            if not fetch.ranged:
                return plan.WHOLE
            return Ask(fetch.start, fetch.end, fetch.suffix, whole=False)
        if self.missing is not None and self._stored is not None:
            self._placing.completes = True
            start, end = self.missing
            to_the_end = fetch.end == UNKNOWN and end == self._stored.total
            return Ask(start, UNKNOWN if to_the_end else end, whole=False)
        if self._rules.exact_ranges:
            return Ask(fetch.start, fetch.end, fetch.suffix, whole=False) if fetch.ranged else plan.WHOLE
        rangeless = fetch.kind in self._shop.rangeless
        ask = plan.first_ask(fetch, slice_size=self._shop.slice_size, run_max=settings.run_max, rangeless=rangeless)
        self._whole_ask = ask
        far = settings.parallel_max > 1 and self._flight.client.pool.path.far and not rangeless
        if not far:
            return ask
        likely = self._shop.sizes.get(directory(fetch.path), 0)
        return plan.first_piece(ask, fetch, FIRST if likely <= ask.start + FIRST else BEGINNING)

    def _request(self, ask: Ask) -> UpstreamRequest:
        fetch, safe = self._fetch, not is_unsafe(self._fetch.method)
        lines = [*plan.base_fields(fetch, self._rules), *ask.field()]
        if self.missing is not None and self._stored is not None:
            lines.append((b"If-Range", self._stored.etag))
        elif not self._unconditional:
            lines.extend(plan.conditional(self._stored))
        retry = self._rules.retry and safe and self._upload is None
        return UpstreamRequest(
            fetch.method,
            fetch.target,
            tuple(lines),
            retry=retry,
            body=self._upload,
            urgency=self._flight.urgency,
            hedge=retry and plan.may_hedge(fetch) and not self._flight.patient,
            context=fetch.context,
        )

    # -- a far path ------------------------------------------------------------------------------

    def _guess(self, ask: Ask) -> Spread | None:
        """Ask for what probably follows the first piece at the same time, if neighbours have shown how long it is."""
        whole = self._whole_ask
        if whole is None or ask == whole or self._stored is not None or self._fetch.pin is not None:
            return None
        if self._flight.unasked:
            return None  # nobody waits for it, and it may not even be there
        likely = self._shop.sizes.get(directory(self._fetch.path), 0)
        end = min(likely, ask.start + self._shop.settings.run_max)
        if not whole.whole and whole.end != UNKNOWN:
            end = min(end, whole.end)
        if end - ask.end < FIRST:
            return None
        spread = Spread(
            self._shop,
            self._flight.client,
            self._fetch,
            plan.base_fields(self._fetch, self._rules),
            ask.end,
            end,
            lambda: self._flight.urgency,
        )
        asyncio.get_running_loop().call_soon(spread.begin)  # the first request has its connection by then
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
        stored, status = self._stored, response.status
        if is_unsafe(self._fetch.method):
            await revise.invalidate(self._shop, self._fetch, response, self._rules, self._tower.doom)
            return await self._answer_unsafe(response, run)
        if status == NOT_MODIFIED:
            return await self._not_modified(response, run)
        if stored is not None and status in SERVER_ERRORS and self._may_stand_in(stored):
            raise OriginError(Reason.BAD_RESPONSE, f"the origin answered {status}")
        if self._fetch.method == b"HEAD":
            if stored is not None:
                self._tower.recheck(self._flight, stored)
            if stored is not None and not self._flight.doomed:
                await revise.note_head(self._shop, self._flight.name, stored, response, self._rules)
        elif not self._get or not self._as_asked(ask, response):
            return await self._hand_on(response, run)
        return await self._bring(ask, response, run)

    def _may_stand_in(self, stored: Record) -> bool:
        if self._rules.exact_ranges and self._get and not self._has_all(stored):
            return False
        window = plan.stale_if_error(self._fetch, self._rules)
        if self._flight.may_fall_back:
            window = max(window, stored.stale_if_error)
        elif not window:
            return False
        strict = bool(stored.flags & (Flag.MUST_REVALIDATE | Flag.NO_CACHE))
        return may_serve_on_error(stored.fresh_until, window, strict, self._shop.clock.wall())

    def _has_all(self, stored: Record) -> bool:
        """Is all that is asked for stored? A part of an answer cannot stand in for it."""
        volume = self._shop.store.volume
        return gap(volume, self._fetch, stored) is None or volume.lookup_live(self._flight.name) is not None

    def _as_asked(self, ask: Ask, response: UpstreamResponse) -> bool:
        """A plain cache hands a part on that is not what was asked: its client can read Content-Range itself."""
        cuts = response.status == PARTIAL and self._rules.exact_ranges
        return not cuts or plan.fits(ask, response.fields, response.content_length)

    async def _bring(self, ask: Ask, response: UpstreamResponse, run: Run) -> Carrier:
        """An answer with a body that is what was asked for."""
        start, end, total = self._stretch(ask, response)
        if self._flight.unasked and total > LARGEST:
            raise OriginError(Reason.CANCELLED, "too large to be fetched before it is asked for", retryable=False)
        kind = self._kind(response)
        verdict = self._verdict(response, kind)
        etag = plan.strong_etag(response.fields) if response.status in (200, PARTIAL) else b""
        if response.framing is Framing.CLOSE:
            verdict = replace(verdict, store=False)  # an end and a break look the same: never kept
        if response.status == PARTIAL and not etag and not self._fetch.ranged and not self._pass:
            self._shop.rangeless[self._fetch.kind] = True  # parts of it cannot be combined: asked for whole from now on
            self._range_given_up = True
            raise _AskAgain
        if response.status == PARTIAL and not etag and verdict.store:
            verdict = self._by_itself(verdict)
        alone = self._pass or not verdict.shareable
        if alone and not self._pass:
            self._separate(response.status)
            if response.status == PARTIAL and plan.falls_short(self._fetch, ask, end, total):
                # what is not kept cannot be put together: asked for as the client asked
                self._pass = self._unconditional = True
                raise _AskAgain
        self._answered = end
        if response.status == PARTIAL and verdict.store and not alone and etag:
            end = self._reach(ask, end, total)
        if total != UNKNOWN and response.status in (200, PARTIAL):
            self._shop.sizes[directory(self._fetch.path)] = total
        run.start, run.end, run.position = start, end, start
        run.stop_at = end
        status = 200 if response.status == PARTIAL else response.status
        answer = AnswerHead(status, response.fields)
        return await self._placing.begin(answer, response, run, kind, verdict, etag, total, alone=alone)

    def _by_itself(self, verdict: Verdict) -> Verdict:
        """A part that nothing may be added to: a plain cache keeps it for who asks for no more of it."""
        if not self._rules.exact_ranges or self._pass:
            return replace(verdict, store=False, shareable=False)
        others = [reader for reader in self._flight.readers if reader.fetch is not self._fetch]
        self._flight.joinable = False
        self._tower.redirect(self._flight, others)
        return verdict

    async def _hand_on(self, response: UpstreamResponse, run: Run) -> Carrier:
        """What is only for who asked, and as it is: answers to other methods, to a client's own conditions, parts."""
        verdict = replace(self._verdict(response, self._fetch.kind), store=False, shareable=False)
        self._pass = True
        self._separate(400)
        length = UNKNOWN if response.content_length is None else response.content_length
        total = 0 if response.status in BODILESS else length
        run.end = run.stop_at = self._answered = total
        answer = AnswerHead(response.status, response.fields)
        kind = self._fetch.kind
        return await self._placing.begin(answer, response, run, kind, verdict, b"", total, alone=True, opaque=True)

    async def _answer_unsafe(self, response: UpstreamResponse, run: Run) -> Carrier:
        """An answer to a POST may be kept for GET where it says that it is one, and for how long."""
        fetch = self._fetch
        asked = parse_target(fetch.target, fetch.authority or None)
        known = response.content_length
        if known is None or not (self._rules.every_status and explicit_freshness(response.fields)):
            return await self._hand_on(response, run)
        if not answers_get(fetch.method, response.status, asked, response.fields):
            return await self._hand_on(response, run)
        verdict = self._verdict(response, fetch.kind, method=b"GET")
        run.end = run.stop_at = self._answered = known
        answer = AnswerHead(response.status, response.fields)
        etag = plan.strong_etag(response.fields)
        return await self._placing.begin(
            answer, response, run, fetch.kind, verdict, etag, known, alone=not verdict.store, for_get=True
        )

    def _stretch(self, ask: Ask, response: UpstreamResponse) -> tuple[int, int, int]:
        """(start, end, total) of the body in the object; UNKNOWN where nobody knows yet."""
        if response.status == PARTIAL:
            part = plan.verify_partial(ask, response.fields, response.content_length)
            return part.start, part.end, part.total
        length = UNKNOWN if response.content_length is None else response.content_length
        if response.status in BODILESS:
            length = 0
        # The whole may be sent where the range covers it (RFC 9110 section 14.2): that says nothing of ranges.
        covered = ask.start == 0 and not ask.suffix and 0 <= length <= ask.end
        rangeless = response.status == 200 and not ask.whole and not self._pass and not covered
        if rangeless and not self._rules.exact_ranges:
            self._shop.rangeless[self._fetch.kind] = True
        if self._fetch.method == b"HEAD":
            return 0, 0, length
        return 0, length, length

    def _kind(self, response: UpstreamResponse) -> Kind:
        found = kind_of(self._fetch.path, fields.first(response.fields, b"content-type"))
        return self._fetch.kind if self._fetch.kind is not Kind.OTHER else found

    def _verdict(self, response: UpstreamResponse, kind: Kind, method: bytes | None = None) -> Verdict:
        """`method`: that of the requests it is to be kept for, where it is not the one it answers."""
        status = 200 if response.status == PARTIAL else response.status
        return judge(
            AnswerHead(status, response.fields),
            method=method or self._fetch.method,
            kind=kind,
            rules=self._rules,
            request_time=response.request_time,
            response_time=response.response_time,
            facts=None,
            has_authorization=fields.first(self._fetch.fields, b"authorization") is not None,
            live=response.status >= 400 and self._shop.is_live(self._fetch.site, self._fetch.path),
        )

    def _separate(self, status: int) -> None:
        """The answer is the leader's alone: the others ask for themselves, later ones at once."""
        if status < 400:  # an error that says no-store says nothing of the object
            self._shop.alone[name_of(self._fetch.key, self._shop.secret)] = True
        self._flight.joinable = False
        others = [reader for reader in self._flight.readers if reader.fetch is not self._fetch]
        self._tower.separate(self._flight, others)

    # -- not modified ----------------------------------------------------------------------------

    async def _not_modified(self, response: UpstreamResponse, run: Run) -> Carrier | None:
        """304: the stored answer is good again (RFC 9111 section 4.3.4), or the client's own is."""
        stored = self._stored
        if plan.client_conditions(self._fetch):
            return await self._hand_on(response, run)
        if stored is None or self._unconditional:
            raise OriginError(Reason.BAD_RESPONSE, "304 to an unconditional request", retryable=False)
        if revise.names_another(stored, response.fields):
            self._unconditional = True
            raise _AskAgain
        flight, shop = self._flight, self._shop
        self._tower.recheck(flight, stored)
        if flight.doomed:
            return None  # its readers have asked anew
        record = await revise.renew(shop, flight.name, stored, response, self._rules)
        for extent in shop.store.volume.extents(stored):
            flight.covered.add(extent.start, extent.end)
        live = shop.store.volume.lookup_live(flight.name)
        if live is not None:
            await MemorySink(flight).put(live[1])  # short-lived answers are told from memory, again
        flight.ranges = bool(plan.strong_etag(stored_lines(stored)))
        ttfb = response.response_time - response.request_time
        flags = HeadFlag.STORED | HeadFlag.REVALIDATED | aged(response.fields)
        head = Head(0, flags, CacheStatus.REVALIDATED, record.total, response.member, ttfb, encode_record(record))
        flight.set_head(head, record, record.total)
        return None
