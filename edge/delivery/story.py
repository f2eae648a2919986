"""What happens to a request: the steps of its story, each a function.

handle -> look -> decide -> serve from the store -> head, body
                        \\-> ask a keeper (`miss`) -> serve when its head has come
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cachetools import LRUCache

from edge.clock import Clock
from edge.delivery.answer import HIT, How, Prepared, Wording, error, preflight
from edge.delivery.body import ObjectBody
from edge.delivery.memory import Memory
from edge.delivery.miss import Miss
from edge.delivery.passing import Passing
from edge.delivery.places import Place, Places
from edge.delivery.selection import Selection, select_parts
from edge.errors import BadRequest
from edge.fill.asking import Asker, Asking
from edge.fill.messages import UNKNOWN, Fetch, Mode, Pin
from edge.http.conditionals import Outcome, evaluate, parse_preconditions
from edge.http.etags import parse_etag
from edge.http.target import authority_of
from edge.policy.decide import Decision, decide
from edge.policy.demands import parse_demands
from edge.policy.rules import ALL, READS
from edge.policy.upstream_fields import in_a_loop, request_fields
from edge.policy.variants import selection
from edge.server.exchange import Exchange, FileWindow
from edge.store.reader import Reader
from edge.store.record import Flag, Record
from edge.store.variants import lists_of, variant_name
from edge.tasks import Tasks
from edge.words import KIB, MIB, CacheStatus, Forward

SMALL = 32 * KIB  # bodies up to here leave in one write with their head: cheaper than a sendfile of their own
AT_ONCE = MIB  # what is wholly in memory and no longer than one window needs no body of its own
AT_ONCE_TLS = 256 * KIB
NOT_AT_ONCE = Flag.NO_CACHE | Flag.VARIES
LANDING = 0.02  # seconds in which an answer that was brought whole is in the index
REFRESHES = 10_000  # names whose refresh was asked for a moment ago
REFRESH_AGAIN = 2.0  # seconds after which it may be asked for once more


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What delivery needs to know beyond the sites' rules; times in seconds."""

    node: str = "edge"
    mark: bytes = b"edge"  # our member of CDN-Loop: unlike that of any other node
    first_byte_budget: float = 10.0  # a keeper answers by 9.5 s; this guards against one that is gone
    prepared: int = 20_000  # heads kept ready


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume as a worker sees it: its reader here, its keeper behind the link."""

    reader: Reader
    asker: Asker
    tasks: Tasks


class Told:
    """What has been answered, for metrics and log at the exchange's end."""

    __slots__ = ("how", "place", "status")

    def __init__(self, place: Place | None, status: int, how: How) -> None:
        self.place = place
        self.status = status
        self.how = how


class Delivery:
    """The handler that `server` calls, synchronously, for each request."""

    def __init__(
        self,
        places: Places,
        volumes: Mapping[int, Volume],
        clock: Clock,
        settings: DeliverySettings,
        on_closed: Callable[[Exchange], None],
    ) -> None:
        self.volumes = volumes  # by number; one that has left stays for what is under way
        self.clock = clock
        self.settings = settings
        self.wording = Wording(settings.node)
        self._places = places
        self._prepared: Memory[bytes, Prepared] = Memory(settings.prepared)
        self._refreshing: LRUCache[bytes, float] = LRUCache(REFRESHES)
        self._on_closed = on_closed

    # -- the story -------------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, now or when a keeper has brought what is missing."""
        request = exchange.request
        exchange.on_closed = self._on_closed
        try:
            place = self._places.find(request.host, request.target)
        except BadRequest as refused:
            self.refuse(exchange, None, refused.status, refused.detail)
            return
        if (request.method != b"GET" and request.method != b"HEAD") or request.body is not None:
            self._other_method(exchange, place)
        elif place.path == b"*":
            self.refuse(exchange, place, 400, "only OPTIONS may ask for *")
        elif place.heeds and request.demanding:
            self._look_as_told(exchange, place)
        else:
            self.look(exchange, place)

    def look(self, exchange: Exchange, place: Place, tries: int = 0) -> None:
        """Look in the cache and decide; also after a keeper said that the index has it by now."""
        reader = self.volumes[place.volume].reader
        body: bytes | None = None
        record = reader.lookup(place.name)
        if record is None and (live := reader.lookup_live(place.name)) is not None:
            record, body = live  # an object is in one of the two tables
        if record is None:
            self._miss(exchange, place, None, tries)
            return
        now = self.clock.wall()
        if now < record.fresh_until and not record.flags & NOT_AT_ONCE:  # what `decide` would say, without the call
            reader.touch(place.name)
            self.serve(exchange, place, record, HIT, now, body=body)
            return
        match _decide(record, now):
            case Decision.SERVE_STALE_AND_REFRESH:
                reader.touch(place.name)
                self._refresh(exchange, place, now)
                self.serve(exchange, place, record, How(CacheStatus.UPDATING), now, body=body)
            case Decision.CHOOSE:
                self._choose(exchange, place, record, tries)
            case _:
                self._miss(exchange, place, record, tries, body)

    def look_again(self, exchange: Exchange, place: Place, tries: int) -> None:
        """A keeper has said that the index has it by now."""
        if place.heeds and exchange.request.demanding:
            self._look_as_told(exchange, place, tries)
        else:
            self.look(exchange, place, tries)

    def find(self, exchange: Exchange, place: Place) -> tuple[Place, Record | None, bytes | None]:
        """What is stored for a request: the place (a variant's, where answers vary), its record, its body if short."""
        reader = self.volumes[place.volume].reader
        record = reader.lookup(place.name)
        if record is None:
            live = reader.lookup_live(place.name)
            return (place, None, None) if live is None else (place, *live)
        if not record.flags & Flag.VARIES:
            return place, record, None
        return self._variant(exchange, place, record)

    def _variant(self, exchange: Exchange, place: Place, index: Record) -> tuple[Place, Record | None, bytes | None]:
        """The variant that suits the request (RFC 9111 section 4.1), by the newest list of fields that finds one."""
        reader = self.volumes[place.volume].reader
        reader.touch(place.name)
        told = request_fields(exchange.request.fields, place.rules)
        for names in lists_of(index):
            variant = replace(place, name=variant_name(index, selection(names, told), reader.hello.secret))
            record = reader.lookup(variant.name)
            if record is not None:
                return variant, record, None
            if (live := reader.lookup_live(variant.name)) is not None:
                return (variant, *live)
        return place, None, None

    def _choose(self, exchange: Exchange, place: Place, index: Record, tries: int) -> None:
        """Answers vary: go on with the one that suits the request."""
        variant, record, body = self._variant(exchange, place, index)
        if record is None:
            self._miss(exchange, place, None, tries, why=Forward.VARY_MISS)
            return
        now = self.clock.wall()
        match _decide(record, now):
            case Decision.SERVE_FRESH:
                self.serve(exchange, variant, record, HIT, now, body=body)
            case Decision.SERVE_STALE_AND_REFRESH:
                self._refresh(exchange, variant, now)
                self.serve(exchange, variant, record, How(CacheStatus.UPDATING), now, body=body)
            case _:
                self._miss(exchange, variant, record, tries, body)

    def _look_as_told(self, exchange: Exchange, place: Place, tries: int = 0) -> None:
        """Look, and serve what is stored only if it is as the request wants it (RFC 9111 section 5.2.1)."""
        demands = parse_demands(exchange.request.fields)
        if demands is None:
            self.look(exchange, place, tries)
            return
        variant, record, body = self.find(exchange, place)
        now = self.clock.wall()
        if record is not None and not record.flags & Flag.NO_CACHE:
            left = record.fresh_until - now
            strict = bool(record.flags & Flag.MUST_REVALIDATE)
            if demands.accepts(now - record.base_time, left, strict=strict):
                how = HIT if left > 0 else How(CacheStatus.STALE)
                self.serve(exchange, variant, record, how, now, body=body)
                return
        if demands.only_if_cached and tries == 0:
            # What was brought a moment ago may be on its way into the index still.
            asyncio.get_running_loop().call_later(LANDING, self._look_late, exchange, place)
            return
        if demands.only_if_cached:
            self.refuse(exchange, place, 504, "not in the cache, and that is what was asked")
            return
        mode = Mode.PASS if demands.no_store else Mode.SOLO
        why = None if record is None or record.fresh_until <= now else Forward.REQUEST
        self._miss(exchange, variant, record, tries, body, mode=mode, why=why)

    def _look_late(self, exchange: Exchange, place: Place) -> None:
        if exchange.open:
            self._look_as_told(exchange, place, tries=1)

    def _other_method(self, exchange: Exchange, place: Place) -> None:
        request = exchange.request
        rules = place.rules
        allowed = rules.allows(request.method)
        if allowed and request.method == b"OPTIONS" and rules.methods == READS:
            exchange.context = Told(place, 204, How(CacheStatus.BYPASS))
            exchange.respond(preflight(rules, self.clock.wall(), self.wording), b"", length=0)
        elif allowed and (request.body is None or rules.methods != READS):
            self._pass_on(exchange, place)
        else:
            named = ", ".join(READS if ALL in rules.methods else rules.methods)
            self.refuse(exchange, place, 405, "method not allowed", b"Allow: %s\r\n" % named.encode())

    def _pass_on(self, exchange: Exchange, place: Place) -> None:
        """A method that no cache answers: to the origin and back (RFC 9111 section 4)."""
        if self.loops(exchange, place):
            return
        if exchange.request.method == b"OPTIONS" and exchange.request.get(b"max-forwards") == b"0":
            exchange.context = Told(place, 204, How(CacheStatus.BYPASS))
            exchange.respond(preflight(place.rules, self.clock.wall(), self.wording), b"", length=0)
            return
        Passing(self, exchange, place).ask()

    def loops(self, exchange: Exchange, place: Place) -> bool:
        """Refuse a request that has been here before (RFC 8586): going on would never end. True if refused."""
        request = exchange.request
        if request.get(b"cdn-loop") is None or not in_a_loop(request.fields, self.settings.mark):
            return False
        self.refuse(exchange, place, 508, "the request has been here before")
        return True

    def refuse(self, exchange: Exchange, place: Place | None, status: int, detail: str, more: bytes = b"") -> None:
        """An answer of our own making: an error, with CORS and a clear body."""
        exchange.context = Told(place, status, How(CacheStatus.BYPASS, detail=detail))
        rules = place.rules if place is not None else self._places.default
        head, body = error(status, detail, rules, self.clock.wall(), self.wording, more)
        exchange.respond(head, body, length=len(body))

    # -- serving ---------------------------------------------------------------------------------

    def prepared(self, place: Place, record: Record) -> Prepared:
        """The ready-made head of a record; a record that was renewed is another object."""
        found = self._prepared.get(place.name)
        if found is None or found.record is not record:
            found = Prepared(record, place.rules, place.mime, self.wording)
            self._prepared.put(place.name, found)
        return found

    def serve(
        self,
        exchange: Exchange,
        place: Place,
        record: Record,
        how: How,
        now: float,
        *,
        body: bytes | None = None,
        asking: Asking | None = None,
    ) -> None:
        """Answer from a record: conditional, ranges, whole. `body` = all of it; `asking` brings what is missing."""
        if asking is not None and record.status != 200:
            asking.take_whole()
        prepared = self.prepared(place, record)
        request = exchange.request
        if record.status == 200 and request.conditional and self._precondition(exchange, place, prepared, how, now):
            if asking is not None:
                asking.cancel()
            return
        end = record.total
        chosen: Selection | None = None
        if record.status == 200 and request.method == b"GET" and (asked := request.get(b"range")) is not None:
            chosen = select_parts(asked, request.get(b"if-range"), record, prepared.date)
        if chosen is None:
            head, start = prepared.whole(how, now), 0
            code = record.status
        elif chosen.unsatisfied:
            if asking is not None:
                asking.cancel()
            exchange.context = Told(place, 416, how)
            exchange.respond(prepared.unsatisfied(now), b"", length=0)
            return
        elif chosen.several:
            self._serve_parts(exchange, place, prepared, chosen, how, now, body, asking)
            return
        else:
            start, end = chosen.start, chosen.end
            head = prepared.part(start, end, how, now)
            code = 206
        exchange.context = Told(place, code, how)
        if body is not None:
            exchange.respond(head, body[start:end], length=end - start)
        elif request.method == b"HEAD":
            if asking is not None:
                asking.cancel()
            exchange.respond(head, b"", length=end - start)
        else:
            self._respond(exchange, place, record, head, start, end, asking)

    def _respond(
        self,
        exchange: Exchange,
        place: Place,
        record: Record,
        head: bytes,
        start: int,
        end: int,
        asking: Asking | None,
    ) -> None:
        length = end - start
        first = record.first
        if asking is None and first is not None and first.start <= start and end <= first.start + first.length:
            reader = self.volumes[place.volume].reader
            if length <= SMALL:
                data = reader.small(record, first, start, length)
                if data is not None:
                    exchange.respond(head, data, length=length)
                    return
            elif length <= (AT_ONCE_TLS if exchange.request.secure else AT_ONCE):
                file = reader.ready(record, first, start, length)
                if file is not None:
                    window = FileWindow(file, first.offset + start - first.start, length)
                    exchange.respond(head, window, length=length)
                    return
        source = self._body(exchange, place, record, [(start, end)], asking)
        exchange.respond(head, source, length=length)

    def _body(
        self,
        exchange: Exchange,
        place: Place,
        record: Record,
        parts: list[bytes | tuple[int, int]],
        asking: Asking | None,
    ) -> ObjectBody:
        def fetch(start: int, end: int, pin: Pin | None, mode: Mode) -> Fetch:
            return self.fetch_of(exchange, place, start=start, end=end, ranged=True, pin=pin, mode=mode)

        mode = asking.fetch.mode if asking is not None else Mode.FILL
        return ObjectBody(
            self.volumes[place.volume],
            exchange,
            record,
            parts,
            fetch,
            name=place.name,
            asking=asking,
            mode=mode,
        )

    def serve_unknown(self, exchange: Exchange, place: Place, record: Record, how: How, asking: Asking) -> None:
        """An answer whose length nobody knows yet: the whole, as it comes, whatever range was asked."""
        exchange.context = Told(place, record.status, how)
        asking.take_whole()
        head = self.prepared(place, record).unknown_length(how, self.clock.wall())
        source = self._body(exchange, place, record, [(0, 1 << 62)], asking)
        source.open_ended()
        exchange.respond(head, source, length=None)

    def _serve_parts(
        self,
        exchange: Exchange,
        place: Place,
        prepared: Prepared,
        selection: Selection,
        how: How,
        now: float,
        body: bytes | None,
        asking: Asking | None,
    ) -> None:
        plan = selection.multipart(prepared.content_type())
        head = prepared.parts(plan.boundary, plan.content_length, how, now)
        exchange.context = Told(place, 206, how)
        if body is not None:
            pieces = (piece if isinstance(piece, bytes) else body[piece[0] : piece[1]] for piece in plan.pieces)
            exchange.respond(head, b"".join(pieces), length=plan.content_length)
            return
        source = self._body(exchange, place, prepared.record, list(plan.pieces), asking)
        exchange.respond(head, source, length=plan.content_length)

    def _precondition(self, exchange: Exchange, place: Place, prepared: Prepared, how: How, now: float) -> bool:
        """Answer 304 or 412 if the request's conditions say so (RFC 9110 section 13.2.2); True if answered."""
        request, record = exchange.request, prepared.record
        conditions = parse_preconditions(request.fields)
        if conditions is None or how.judged or how.status is CacheStatus.BYPASS:
            return False  # the origin has judged them
        if place.rules.forwards_all:
            # These are for origins alone to judge (RFC 9111 section 4.3.2).
            conditions = replace(conditions, if_match=None, if_unmodified_since=None)
        etag = parse_etag(record.etag) if record.etag else None
        outcome = evaluate(conditions, etag, record.last_modified or None, request.method, prepared.date())
        if outcome is Outcome.PROCEED:
            return False
        failed = outcome is Outcome.FAILED
        exchange.context = Told(place, 412 if failed else 304, how)
        head = prepared.precondition_failed(now) if failed else prepared.not_modified(how, now)
        exchange.respond(head, b"", length=0)
        return True

    # -- asking keepers --------------------------------------------------------------------------

    def _miss(
        self,
        exchange: Exchange,
        place: Place,
        stale: Record | None,
        tries: int,
        body: bytes | None = None,
        *,
        mode: Mode = Mode.FILL,
        why: Forward | None = None,
    ) -> None:
        if not self.loops(exchange, place):
            Miss(self, exchange, place, stale, body, tries, mode, why).ask()

    def fetch_of(
        self,
        exchange: Exchange,
        place: Place,
        *,
        start: int = 0,
        end: int = UNKNOWN,
        suffix: int = 0,
        ranged: bool = False,
        pin: Pin | None = None,
        mode: Mode = Mode.FILL,
        conditions: bool = False,
    ) -> Fetch:
        """The fetch for a stretch of an object on behalf of a request; `conditions`: the origin is to judge them."""
        request = exchange.request
        body = request.body
        return Fetch(
            id=self.volumes[place.volume].asker.next_id(),
            mode=mode,
            site=place.rules.name,
            method=b"GET" if mode is Mode.REFRESH else request.method,
            target=place.target,
            key=place.key,
            path=place.path,
            kind=place.kind,
            fields=request_fields(
                request.fields,
                place.rules,
                node=self.settings.node.encode(),
                mark=self.settings.mark,
                conditions=conditions,
            ),
            start=start,
            end=end,
            suffix=suffix,
            ranged=ranged,
            pin=pin,
            authority=authority_of(request.target, request.host) if mode is Mode.PASS else b"",
            has_body=body is not None,
            body_length=UNKNOWN if body is None or body.length is None else body.length,
        )

    def _refresh(self, exchange: Exchange, place: Place, now: float) -> None:
        """Have a stale object renewed behind the answer; once per name and moment."""
        if now - self._refreshing.get(place.name, 0.0) < REFRESH_AGAIN:
            return
        self._refreshing[place.name] = now
        self.volumes[place.volume].asker.tell(self.fetch_of(exchange, place, mode=Mode.REFRESH))


def _decide(record: Record, now: float) -> Decision:
    flags = record.flags
    if flags & Flag.VARIES:
        return Decision.CHOOSE
    return decide(
        record.fresh_until,
        record.stale_while_revalidate,
        bool(flags & Flag.MUST_REVALIDATE),
        bool(flags & Flag.NO_CACHE),
        now,
    )
