"""What a flight's first answer is: one function per outcome, each tells the readers and says who brings the body.

The table of faults in DESIGN section 12 is the specification of this module; what an answer does to records that are
stored already is in `revise`, what becomes of a body in `placing`.
"""

from dataclasses import replace

from edge.errors import OriginError
from edge.fill import plan, revise, ways
from edge.fill.ahead import LARGEST
from edge.fill.carry import Carrier
from edge.fill.finding import gap
from edge.fill.flight import Flight
from edge.fill.manner import AskAgain, Manner
from edge.fill.messages import UNKNOWN, Fetch, Head, HeadFlag
from edge.fill.placing import Placing, Tower, aged
from edge.fill.plan import Ask
from edge.fill.rangeless import directory
from edge.fill.readers import Run
from edge.fill.records import explicit_freshness, stored_lines
from edge.fill.shop import Shop
from edge.fill.sinks import MemorySink
from edge.http import fields
from edge.http.target import parse_target
from edge.media.kinds import kind_of
from edge.origin.connection import Framing
from edge.origin.response import UpstreamResponse
from edge.policy.decide import may_serve_on_error
from edge.policy.invalidation import answers_get, is_unsafe
from edge.policy.judge import Head as AnswerHead
from edge.policy.judge import Verdict, judge
from edge.policy.rules import SiteRules
from edge.store.names import name_of
from edge.store.record import Flag, Record, encode_record
from edge.words import CacheStatus, Kind, Reason

NOT_MODIFIED = 304
PARTIAL = 206
RANGE_NOT_SATISFIABLE = 416
BODILESS = frozenset({204, 205, NOT_MODIFIED})
# RFC 5861 section 4: those that a stale answer may stand in for. A loop is one more: nobody is there who could answer.
STOOD_IN_FOR = frozenset({500, 502, 503, 504, ways.LOOP_DETECTED})


class Judging:
    """Of one flight. `stored` is what its name has in the index; `answered`: where the answer ends in the object."""

    def __init__(
        self, shop: Shop, flight: Flight, stored: Record | None, tower: Tower, rules: SiteRules, manner: Manner
    ) -> None:
        self._shop = shop
        self._flight = flight
        self._stored = stored
        self._tower = tower
        self._rules = rules
        self._manner = manner
        self._fetch = flight.fetch
        self._placing = Placing(shop, flight, stored, tower, rules, manner)
        self._odd = False  # it is perhaps not the object that is refused, but the way that the request has come
        self.answered = 0

    async def judge(self, ask: Ask, response: UpstreamResponse, run: Run) -> Carrier | None:
        """Decide what this answer is; tell the readers; return who brings its body, None when there is none.

        AskAgain: it does not serve. OriginError: it is wrong, or a stale answer may stand in for it.
        """
        self._check_satisfied(ask, response)
        stored, status = self._stored, response.status
        self._lets_others_ask(status)
        if is_unsafe(self._fetch.method):
            await revise.invalidate(self._shop, self._fetch, response, self._rules, self._tower.doom)
            return await self._answer_unsafe(response, run)
        if status == NOT_MODIFIED:
            return await self._not_modified(response, run)
        if stored is not None and status in STOOD_IN_FOR and self._may_stand_in(stored):
            raise OriginError(Reason.BAD_RESPONSE, f"the origin answered {status}")
        if self._fetch.method == b"HEAD":
            if stored is not None:
                self._tower.recheck(self._flight, stored)
            if stored is not None and not self._flight.doomed:
                await revise.note_head(self._shop, self._flight.name, stored, response, self._rules)
        elif not self._manner.get or not self._fits(ask, response):
            return await self._hand_on(response, run)
        return await self._bring(ask, response, run)

    def _lets_others_ask(self, status: int) -> None:
        """A refusal that the leader's way here may have led to is for who has come that way: others lead it anew.

        They do so in one flight again, led by who has come the shortest way.
        """
        flight, fetch = self._flight, self._fetch
        if status not in ways.REFUSALS or not ways.is_odd(fetch):
            return
        self._odd = True
        flight.joinable = False
        way = ways.way_of(fetch)
        others = [each for each in flight.readers if not ways.is_as_long(ways.way_of(each.fetch), way)]
        self._tower.redirect(flight, sorted(others, key=lambda each: ways.length(each.fetch)))

    def _check_satisfied(self, ask: Ask, response: UpstreamResponse) -> None:
        """A range of our own making that cannot be satisfied is nothing to tell a player of, nor another player's."""
        flight, fetch = self._flight, self._fetch
        if response.status != RANGE_NOT_SATISFIABLE:
            return
        if self._manner.missing is not None:
            self._manner.missing, self._manner.unconditional = None, True  # what was stored is out of date
            raise AskAgain
        if not ask.whole and not fetch.ranged:
            self._manner.range_given_up = True  # an empty object has no bytes 0-
            raise AskAgain
        if not ask.whole:
            flight.joinable = False
            self._tower.redirect(flight, [each for each in flight.readers if not _is_range_of(each.fetch, fetch)])

    def _ask_otherwise(self, ask: Ask) -> None:
        """A part has come that cannot be used. If the range was of our own making, another request may do better:
        without it, or for what a player asked, no more and no less."""
        manner, fetch = self._manner, self._fetch
        if ask.whole or manner.as_asked:
            return
        if manner.missing is not None:
            manner.missing, manner.unconditional = None, True
            raise AskAgain
        if not fetch.ranged:
            manner.range_given_up = True
            raise AskAgain
        if ask != Ask(fetch.start, fetch.end, fetch.suffix, whole=False):
            self._separate(PARTIAL)
            manner.as_asked = manner.unconditional = True
            raise AskAgain

    def _may_stand_in(self, stored: Record) -> bool:
        if self._rules.exact_ranges and self._manner.get and not self._has_all(stored):
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

    def _fits(self, ask: Ask, response: UpstreamResponse) -> bool:
        """A plain cache hands a part on that is not what was asked: its client can read Content-Range itself."""
        cuts = response.status == PARTIAL and self._rules.exact_ranges and self._manner.missing is None
        return not cuts or plan.fits(ask, response.fields, response.content_length)

    async def _bring(self, ask: Ask, response: UpstreamResponse, run: Run) -> Carrier:
        """An answer with a body that is what was asked for."""
        start, end, total = self._stretch(ask, response)
        if self._flight.unasked and total > LARGEST:
            raise OriginError(Reason.CANCELLED, "too large to be fetched before it is asked for", retryable=False)
        kind = self._kind(response)
        verdict = self._verdict(response, kind)
        etag = plan.strong_etag(response.fields) if response.status in (200, PARTIAL) else b""
        if response.framing is Framing.CLOSE or self._odd:
            verdict = replace(verdict, store=False)  # an end and a break look the same: never kept
        if response.status == PARTIAL and not etag and not self._fetch.ranged and not self._manner.as_asked:
            self._manner.range_given_up = True  # parts of it cannot be combined
            raise AskAgain
        if response.status == PARTIAL and not etag and verdict.store:
            verdict = self._by_itself(verdict)
        alone = self._manner.as_asked or not verdict.shareable
        if alone and not self._manner.as_asked:
            self._separate(response.status)
            if response.status == PARTIAL and plan.falls_short(self._fetch, ask, end, total):
                # what is not kept cannot be put together: asked for as the client asked
                self._manner.as_asked = self._manner.unconditional = True
                raise AskAgain
        self.answered = end
        if response.status == PARTIAL and verdict.store and not alone and etag:
            end = self._manner.reach(ask, end, total)
        guessable = total != UNKNOWN and response.status in (200, PARTIAL)
        if guessable and not self._shop.rangeless.at(response.member, self._fetch):
            self._shop.sizes[directory(self._fetch.path)] = total
        run.start, run.end, run.position = start, end, start
        run.stop_at = end
        status = 200 if response.status == PARTIAL else response.status
        answer = AnswerHead(status, response.fields)
        return await self._placing.begin(answer, response, run, kind, verdict, etag, total, alone=alone)

    def _by_itself(self, verdict: Verdict) -> Verdict:
        """A part that nothing may be added to: a plain cache keeps it for who asks for no more of it."""
        if not self._rules.exact_ranges or self._manner.as_asked:
            return replace(verdict, store=False, shareable=False)
        others = [reader for reader in self._flight.readers if reader.fetch is not self._fetch]
        self._flight.joinable = False
        self._tower.redirect(self._flight, others)
        return verdict

    async def _hand_on(self, response: UpstreamResponse, run: Run) -> Carrier:
        """What is only for who asked, and as it is: answers to other methods, to a client's own conditions, parts."""
        verdict = replace(self._verdict(response, self._fetch.kind), store=False, shareable=False)
        self._manner.as_asked = True
        self._separate(400)
        length = UNKNOWN if response.content_length is None else response.content_length
        total = 0 if response.status in BODILESS else length
        run.end = run.stop_at = self.answered = total
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
        run.end = run.stop_at = self.answered = known
        answer = AnswerHead(response.status, response.fields)
        etag = plan.strong_etag(response.fields)
        return await self._placing.begin(
            answer, response, run, fetch.kind, verdict, etag, known, alone=not verdict.store, for_get=True
        )

    def _stretch(self, ask: Ask, response: UpstreamResponse) -> tuple[int, int, int]:
        """(start, end, total) of the body in the object; UNKNOWN where nobody knows yet."""
        if response.status == PARTIAL:
            try:
                part = plan.verify_partial(ask, response.fields, response.content_length)
            except OriginError:
                self._ask_otherwise(ask)
                raise
            return part.start, part.end, part.total
        length = UNKNOWN if response.content_length is None else response.content_length
        if response.status in BODILESS:
            length = 0
        # The whole may be sent where the range covers it (RFC 9110 section 14.2): that says nothing of ranges.
        covered = ask.start == 0 and not ask.suffix and 0 <= length <= ask.end
        ignored = not ask.whole and not self._manner.as_asked and not covered and not self._rules.exact_ranges
        # What came for a range could not be used, and this can: an empty object's 416 says nothing of ranges either.
        given_up = self._manner.range_given_up and length != 0
        if response.status == 200 and (ignored or given_up):
            self._shop.rangeless.note(response.member, self._fetch)
            self._shop.sizes.pop(directory(self._fetch.path), None)  # no pieces on a guess when it is forgotten
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
            live=response.status >= 400 and self._shop.live.has(self._fetch.site, self._fetch.path),
        )

    def _separate(self, status: int) -> None:
        """The answer is the leader's alone: the others ask for themselves, later ones at once."""
        if status < 400:  # an error that says no-store says nothing of the object
            self._shop.alone[name_of(self._fetch.key, self._shop.secret)] = True
        self._flight.joinable = False
        others = [reader for reader in self._flight.readers if reader.fetch is not self._fetch]
        self._tower.separate(self._flight, others)

    async def _not_modified(self, response: UpstreamResponse, run: Run) -> Carrier | None:
        """304: the stored answer is good again (RFC 9111 section 4.3.4), or the client's own is."""
        stored = self._stored
        if plan.client_conditions(self._fetch):
            return await self._hand_on(response, run)
        if stored is None or self._manner.unconditional:
            raise OriginError(Reason.BAD_RESPONSE, "304 to an unconditional request", retryable=False)
        if revise.names_another(stored, response.fields):
            self._manner.unconditional = True
            raise AskAgain
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


def _is_range_of(fetch: Fetch, other: Fetch) -> bool:
    """Do both ask for the same range?"""
    return fetch.ranged and (fetch.start, fetch.end, fetch.suffix) == (other.start, other.end, other.suffix)
