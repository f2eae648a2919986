"""How a request is answered from a record: conditions, ranges, the whole; and what keepers are asked on its behalf."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from edge.access.passes import FIELD_LOW, Context, asks_as_sibling
from edge.clock import Clock
from edge.delivery.answer import How, Prepared, Wording, error
from edge.delivery.body import ObjectBody
from edge.delivery.memory import Memory
from edge.delivery.places import Place
from edge.delivery.reading_ahead import ReadingAhead
from edge.delivery.selection import Selection, select_parts
from edge.fill.asking import Asker, Asking
from edge.fill.messages import UNKNOWN, Fetch, Mode, Pin
from edge.http.conditionals import Outcome, evaluate, parse_preconditions
from edge.http.etags import parse_etag
from edge.http.target import authority_of
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import HOPS_MOST, request_fields
from edge.server.exchange import Exchange, FileWindow
from edge.server.request import Request
from edge.store.reader import Reader
from edge.store.record import Flag, Record
from edge.tasks import Tasks
from edge.words import KIB, MIB, CacheStatus, Forward, Kind

MP4, SEGMENT = Kind.MP4, Kind.SEGMENT
SMALL = 32 * KIB  # bodies up to here leave in one write with their head: cheaper than a sendfile of their own
AT_ONCE = MIB  # what is wholly in memory and no longer than one window needs no body of its own
CUT = (b"GET", b"HEAD")  # answers to others are not cut here: ranges of theirs are the origin's affair
AT_ONCE_TLS = 256 * KIB


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What delivery needs to know beyond the sites' rules; times in seconds."""

    node: str = "edge"
    mark: bytes = b"edge"  # our member of CDN-Loop: unlike that of any other node
    hops_most: int = HOPS_MOST  # caches that a request may have passed; more are a loop
    first_byte_budget: float = 10.0  # a keeper answers by 9.5 s; this guards against one that is gone
    prepared: int = 20_000  # heads kept ready
    read_ahead: int = 64 * MIB  # bytes fetched before a player that reads a film in ranges; 0 = none


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume as a worker sees it: its reader here, its keeper behind the link."""

    reader: Reader
    asker: Asker
    tasks: Tasks


class Told:
    """What has been answered, for metrics and log at the exchange's end."""

    __slots__ = ("how", "place", "prepared", "status")

    def __init__(self, place: Place | None, status: int, how: How, prepared: Prepared | None = None) -> None:
        self.prepared = prepared  # may remember where such answers are counted
        self.place = place
        self.status = status
        self.how = how


class Serving(ABC):
    """The part of the handler that words answers and hands out their bodies."""

    def __init__(
        self, default: SiteRules, volumes: Mapping[int, Volume], clock: Clock, settings: DeliverySettings
    ) -> None:
        self.volumes = volumes  # by number; one that has left stays for what is under way
        self.clock = clock
        self.settings = settings
        self.wording = Wording(settings.node)
        self._default = default
        self._prepared: Memory[bytes, Prepared] = Memory(settings.prepared)
        self._ahead = ReadingAhead(self, settings.read_ahead)

    def refuse(
        self,
        exchange: Exchange,
        place: Place | None,
        status: int,
        detail: str,
        more: bytes = b"",
        fwd: Forward | None = None,
    ) -> None:
        """An answer of our own making: an error, with CORS and a clear body. `fwd`: it went on, for that reason."""
        exchange.context = Told(place, status, How(CacheStatus.BYPASS, detail=detail))
        rules = place.rules if place is not None else self._default
        head, body = error(status, detail, rules, self.clock.wall(), self.wording, more, fwd)
        exchange.respond(head, body, length=len(body))

    def prepared(self, place: Place, record: Record) -> Prepared:
        """The ready-made head of a record; a record that was renewed is another object."""
        known = self._prepared.get(place.name)
        if known is not None and known.record is record:
            return known
        found = Prepared(record, place.rules, place.mime, self.wording)
        if known is None:
            self._prepared.offer(place.name, found)
        else:
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
        if (
            not request.plain
            and record.status == 200
            and request.conditional
            and self._precondition(exchange, place, prepared, how, now)
        ):
            if asking is not None:
                asking.cancel()
            return
        end = record.total
        chosen: Selection | None = None
        if not request.plain and record.status == 200 and request.method == b"GET":
            asked = request.get(b"range")
            if asked is not None:
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
            if (place.kind is MP4 or place.kind is SEGMENT) and record.generation and not _whole(record):
                self._ahead.began(exchange, place, record, start, end)
        exchange.context = Told(place, code, how, prepared)
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
                    exchange.on_unreadable = self._elsewhere
                    exchange.respond(head, window, length=length)
                    return
        if asking is None and not self._may_begin(place, record, start, end):
            self.complete(exchange, place)
            return
        source = self._body(exchange, place, record, [(start, end)], asking)
        exchange.respond(head, source, length=length)

    def _elsewhere(self, exchange: Exchange, window: FileWindow) -> ObjectBody:
        """What could not be read after all of what was to be sent at once: from the disk again, or from a fill."""
        told: Told = exchange.context
        assert told.place is not None
        assert told.prepared is not None
        record = told.prepared.record
        first = record.first
        assert first is not None
        start = first.start + window.offset - first.offset
        body = self._body(exchange, told.place, record, [(start, start + window.count)], None)
        body.begin_in_pool(first)
        return body

    def _may_begin(self, place: Place, record: Record, start: int, end: int) -> bool:
        """May an answer be promised from what is stored?

        On a video site what is missing comes while the rest is sent. A plain cache has it first, since the origin may
        have another version by now; and of what has no strong validator nothing can be added later.
        """
        if record.flags & Flag.STRONG and not place.rules.exact_ranges:
            return True
        reader = self.volumes[place.volume].reader
        while start < end:
            extent = reader.extent_at(record, start)
            if extent is None:
                return False
            start = extent.end
        return True

    @abstractmethod
    def complete(self, exchange: Exchange, place: Place) -> None:
        """What is stored is not all that is asked for: a keeper brings the rest, or all of it."""

    def _body(
        self,
        exchange: Exchange,
        place: Place,
        record: Record,
        parts: list[bytes | tuple[int, int]],
        asking: Asking | None,
    ) -> ObjectBody:
        def fetch(start: int, end: int, pin: Pin | None, mode: Mode) -> Fetch:
            return self.fetch_of(exchange.request, place, start=start, end=end, ranged=True, pin=pin, mode=mode)

        def fetched(member: str, count: int) -> None:
            told = exchange.context
            told.how = replace(told.how, member=told.how.member or member, fetched=count)

        mode = asking.fetch.mode if asking is not None else Mode.FILL
        leads = asking is not None and mode is Mode.FILL and record.status == 200 and exchange.request.method == b"GET"
        return ObjectBody(
            self.volumes[place.volume],
            exchange,
            record,
            parts,
            fetch,
            name=place.name,
            asking=asking,
            mode=mode,
            on_fetched=fetched,
            on_brought=partial(self.brought, exchange.request, place) if leads else None,
        )

    @abstractmethod
    def brought(self, request: Request, place: Place) -> None:
        """A fill for a request has ended."""

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
        record, several = prepared.record, selection.several
        if body is None and asking is None and not all(self._may_begin(place, record, *part) for part in several):
            self.complete(exchange, place)
            return
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

    def fetch_of(
        self,
        request: Request,
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
                ranges=request.method not in CUT,
            ),
            start=start,
            end=end,
            suffix=suffix,
            ranged=ranged,
            pin=pin,
            authority=authority_of(request.target, request.host) if mode is Mode.PASS else b"",
            has_body=body is not None,
            body_length=UNKNOWN if body is None or body.length is None else body.length,
            context=context_of(request),
            by_sibling=asks_as_sibling(request.get(FIELD_LOW)),
        )


def _whole(record: Record) -> bool:
    """Is all of it stored, in one piece?"""
    return record.first is not None and record.first.length >= record.total


def context_of(request: Request) -> Context:
    """What the next node of ours is told of the request behind the one that it gets."""
    vouched = getattr(request, "vouched", None)  # only set where edges are admitted
    if not isinstance(vouched, Context):
        return Context(request.peer, request.host or b"", 1)
    return Context(vouched.client or request.peer, vouched.host or request.host or b"", vouched.hops + 1)
