"""What happens to a request: the steps of its story, each a function.

handle -> look -> decide -> serve from the store -> head, body
                        \\-> ask a keeper (`miss`) -> serve when its head has come
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cachetools import LRUCache

from edge.clock import Clock
from edge.delivery.answer import HIT, How, Prepared, Wording, error, preflight
from edge.delivery.body import ObjectBody
from edge.delivery.memory import Memory
from edge.delivery.miss import Miss
from edge.delivery.places import Place, Places
from edge.delivery.selection import Selection, select_parts
from edge.errors import BadRequest
from edge.fill.asking import Asker, Asking
from edge.fill.messages import UNKNOWN, Fetch, Mode, Pin
from edge.http.conditionals import Outcome, evaluate, parse_preconditions
from edge.http.etags import parse_etag
from edge.policy.decide import Decision, decide
from edge.policy.upstream_fields import request_fields
from edge.server.exchange import Exchange, FileWindow
from edge.store.reader import Reader
from edge.store.record import Flag, Record
from edge.tasks import Tasks
from edge.words import KIB, MIB, CacheStatus

SMALL = 32 * KIB  # bodies up to here leave in one write with their head: cheaper than a sendfile of their own
AT_ONCE = MIB  # what is wholly in memory and no longer than one window needs no body of its own
AT_ONCE_TLS = 256 * KIB
REFRESHES = 10_000  # names whose refresh was asked for a moment ago
REFRESH_AGAIN = 2.0  # seconds after which it may be asked for once more


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What delivery needs to know beyond the sites' rules; times in seconds."""

    node: str = "edge"
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
        if request.method != b"GET" and request.method != b"HEAD":
            self._other_method(exchange, place)
            return
        if place.path == b"*":
            self.refuse(exchange, place, 400, "only OPTIONS may ask for *")
            return
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
        if now < record.fresh_until and not record.flags & Flag.NO_CACHE:  # what `decide` would say, without the call
            reader.touch(place.name)
            self.serve(exchange, place, record, HIT, now, body=body)
        elif _decide(record, now) is Decision.SERVE_STALE_AND_REFRESH:
            reader.touch(place.name)
            self._refresh(place, now)
            self.serve(exchange, place, record, How(CacheStatus.UPDATING), now, body=body)
        else:
            self._miss(exchange, place, record, tries, body)

    def _other_method(self, exchange: Exchange, place: Place) -> None:
        if exchange.request.method == b"OPTIONS":
            exchange.context = Told(place, 204, How(CacheStatus.BYPASS))
            exchange.respond(preflight(place.rules, self.clock.wall(), self.wording), b"", length=0)
        else:
            self.refuse(exchange, place, 405, "method not allowed", b"Allow: GET, HEAD, OPTIONS\r\n")

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
        prepared = self.prepared(place, record)
        request = exchange.request
        if record.status == 200 and request.conditional and self._precondition(exchange, place, prepared, how, now):
            if asking is not None:
                asking.cancel()
            return
        end = record.total
        selection: Selection | None = None
        if record.status == 200 and request.method == b"GET" and (asked := request.get(b"range")) is not None:
            selection = select_parts(asked, request.get(b"if-range"), record)
        if selection is None:
            head, start = prepared.whole(how, now), 0
            code = record.status
        elif selection.unsatisfied:
            if asking is not None:
                asking.cancel()
            exchange.context = Told(place, 416, how)
            exchange.respond(prepared.unsatisfied(now), b"", length=0)
            return
        elif selection.several:
            self._serve_parts(exchange, place, prepared, selection, how, now, body, asking)
            return
        else:
            start, end = selection.start, selection.end
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
        if conditions is None:
            return False
        etag = parse_etag(record.etag) if record.etag else None
        outcome = evaluate(conditions, etag, record.last_modified or None, request.method)
        if outcome is Outcome.PROCEED:
            return False
        failed = outcome is Outcome.FAILED
        exchange.context = Told(place, 412 if failed else 304, how)
        head = prepared.precondition_failed(now) if failed else prepared.not_modified(how, now)
        exchange.respond(head, b"", length=0)
        return True

    # -- asking keepers --------------------------------------------------------------------------

    def _miss(
        self, exchange: Exchange, place: Place, stale: Record | None, tries: int, body: bytes | None = None
    ) -> None:
        Miss(self, exchange, place, stale, body, tries).ask()

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
    ) -> Fetch:
        """The fetch for a stretch of an object on behalf of a request."""
        request = exchange.request
        return Fetch(
            id=self.volumes[place.volume].asker.next_id(),
            mode=mode,
            site=place.rules.name,
            method=b"HEAD" if request.method == b"HEAD" else b"GET",
            target=place.target,
            key=place.key,
            path=place.path,
            kind=place.kind,
            fields=tuple(request_fields(request.fields, place.rules)),
            start=start,
            end=end,
            suffix=suffix,
            ranged=ranged,
            pin=pin,
        )

    def _refresh(self, place: Place, now: float) -> None:
        """Have a stale object renewed behind the answer; once per name and moment."""
        if now - self._refreshing.get(place.name, 0.0) < REFRESH_AGAIN:
            return
        self._refreshing[place.name] = now
        asker = self.volumes[place.volume].asker
        asker.tell(
            Fetch(
                id=asker.next_id(),
                mode=Mode.REFRESH,
                site=place.rules.name,
                method=b"GET",
                target=place.target,
                key=place.key,
                path=place.path,
                kind=place.kind,
            )
        )


def _decide(record: Record, now: float) -> Decision:
    flags = record.flags
    return decide(
        record.fresh_until,
        record.stale_while_revalidate,
        bool(flags & Flag.MUST_REVALIDATE),
        bool(flags & Flag.NO_CACHE),
        now,
    )
