"""What happens to a request: the steps of its story, each a function.

handle -> look -> decide -> serve from the store -> head, body
                        \\-> ask a keeper (`miss`) -> serve when its head has come
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from cachetools import LRUCache

from edge.clock import Clock
from edge.delivery.answer import HIT, How, preflight
from edge.delivery.look_up import LookUp
from edge.delivery.miss import Miss
from edge.delivery.passing import Passing
from edge.delivery.places import Place, Places
from edge.delivery.prefetch import Prefetch
from edge.delivery.serving import DeliverySettings, Serving, Told, Volume
from edge.errors import BadRequest
from edge.fill.messages import Mode
from edge.policy.decide import Decision, decide
from edge.policy.demands import parse_demands
from edge.policy.rules import ALL, READS
from edge.policy.upstream_fields import in_a_loop, request_fields
from edge.policy.variants import selection
from edge.server.exchange import Exchange
from edge.server.request import Request
from edge.store.record import Flag, Record
from edge.store.variants import lists_of, variant_name
from edge.words import CacheStatus, Forward

NOT_AT_ONCE = Flag.NO_CACHE | Flag.VARIES | Flag.STALE
REFRESHES = 10_000  # names whose refresh was asked for a moment ago
REFRESH_AGAIN = 2.0  # seconds after which it may be asked for once more


def _all_is_well() -> None:
    pass


class Delivery(Serving):
    """The handler that `server` calls, synchronously, for each request."""

    def __init__(
        self,
        places: Places,
        volumes: Mapping[int, Volume],
        clock: Clock,
        settings: DeliverySettings,
        on_closed: Callable[[Exchange], None],
        resettle: Callable[[], None] = _all_is_well,
    ) -> None:
        super().__init__(places.default, volumes, clock, settings)
        self.places = places
        self.resettle = resettle  # has `places` know of volumes that have gone bad just now
        self._refreshing: LRUCache[bytes, float] = LRUCache(REFRESHES)
        self._prefetch = Prefetch(self)
        self._on_closed = on_closed

    # -- the story -------------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, now or when a keeper has brought what is missing."""
        request = exchange.request
        exchange.on_closed = self._on_closed
        try:
            place = self.places.find(request.host, request.target)
        except BadRequest as refused:
            self.refuse(exchange, None, refused.status, refused.detail)
            return
        if (request.method != b"GET" and request.method != b"HEAD") or request.body is not None:
            self._other_method(exchange, place)
        elif place.path == b"*":
            self.refuse(exchange, place, 400, "only OPTIONS may ask for *")
        elif self.volumes[place.volume].reader.would_wait(place.name):
            LookUp(self, exchange, place).begin()
        else:
            self.look_again(exchange, place, 0)

    def turn_away(self, exchange: Exchange, status: int, detail: str, more: bytes) -> None:
        """Refuse a request that may not ask: nothing is looked up for it."""
        exchange.on_closed = self._on_closed
        self.refuse(exchange, None, status, detail, more)

    def look(self, exchange: Exchange, place: Place, tries: int = 0) -> None:
        """Look in the cache and decide; also after a keeper said that the index has it by now."""
        reader = self.volumes[place.volume].reader
        body: bytes | None = None
        record = reader.lookup(place.name)
        if record is None and (live := reader.lookup_live(place.name)) is not None:
            record, body = live  # an object is in one of the two tables
        if record is None:
            if reader.unreadable and (other := self.elsewhere(exchange, place)) is not None:
                self.look(exchange, other, tries)
                return
            self.fetch(exchange, place, tries)
            return
        now = self.clock.wall()
        if now < record.fresh_until and not record.flags & NOT_AT_ONCE:  # what `decide` would say, without the call
            if reader.touch(place.name):
                self.brought(exchange.request, place)
            self.serve(exchange, place, record, HIT, now, body=body)
            return
        match _decide(record, now):
            case Decision.SERVE_STALE_AND_REFRESH:
                if reader.touch(place.name):
                    self.brought(exchange.request, place)
                self._refresh(exchange, place, now)
                self.serve(exchange, place, record, How(CacheStatus.UPDATING), now, body=body)
            case Decision.CHOOSE:
                self._choose(exchange, place, record, tries)
            case _:
                self._miss(exchange, place, record, tries, body)

    def elsewhere(self, exchange: Exchange, place: Place) -> Place | None:
        """Where a request's object lives now, if its volume has gone bad since it was looked for there."""
        self.resettle()
        other = self.places.find(exchange.request.host, exchange.request.target)
        return other if other.volume != place.volume else None

    def look_again(self, exchange: Exchange, place: Place, tries: int) -> None:
        """The index may be asked now, or again: a keeper has said that it has it by now."""
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
        for name in self.variants(exchange.request, place, index):
            variant = replace(place, name=name)
            record = reader.lookup(variant.name)
            if record is not None:
                if reader.touch(variant.name):
                    self.brought(exchange.request, place)
                return variant, record, None
            if (live := reader.lookup_live(variant.name)) is not None:
                return (variant, *live)
        return place, None, None

    def variants(self, request: Request, place: Place, index: Record) -> Iterator[bytes]:
        """The names under which what suits the request may be stored, by the newest list of fields first."""
        told, secret = request_fields(request.fields, place.rules), self.volumes[place.volume].reader.hello.secret
        for names in lists_of(index):
            yield variant_name(index, selection(names, told), secret)

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
        if demands is None or demands.only_on_error:
            self.look(exchange, place, tries)
            return
        variant, record, body = self.find(exchange, place)
        now = self.clock.wall()
        if record is not None and not record.flags & (Flag.NO_CACHE | Flag.STALE):
            left = record.fresh_until - now
            strict = bool(record.flags & Flag.MUST_REVALIDATE)
            if demands.accepts(now - record.base_time, left, strict=strict):
                how = HIT if left > 0 else How(CacheStatus.STALE)
                self.serve(exchange, variant, record, how, now, body=body)
                return
        if demands.only_if_cached and (tries or not self.volumes[place.volume].asker.up):
            self.refuse(exchange, place, 504, "not in the cache, and that is what was asked")
            return
        if demands.only_if_cached:  # what was brought a moment ago may be on its way into the index still
            self._miss(exchange, place, None, tries, mode=Mode.ONLY)
            return
        mode = Mode.PASS if demands.no_store else Mode.SOLO
        if record is None and mode is Mode.SOLO and not demands.no_cache:
            mode = Mode.FILL  # what comes is as new as can be; it may even be here by now
        why = None if record is None or record.fresh_until <= now else Forward.REQUEST
        self._miss(exchange, variant, record, tries, body, mode=mode, why=why)

    def complete(self, exchange: Exchange, place: Place) -> None:
        """Bring what is missing of a stored answer, before anything of it is promised."""
        demands = parse_demands(exchange.request.fields) if place.heeds and exchange.request.demanding else None
        if demands is not None and demands.only_if_cached:
            self.refuse(exchange, place, 504, "only a part is in the cache, and that is what was asked")
            return
        self._miss(exchange, place, None, 0, why=Forward.PARTIAL)

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
        if request.get(b"cdn-loop") is None or not in_a_loop(
            request.fields, self.settings.mark, self.settings.hops_most
        ):
            return False
        self.refuse(exchange, place, 508, "the request has been here before")
        return True

    # -- asking keepers --------------------------------------------------------------------------

    def brought(self, request: Request, place: Place) -> None:
        """A fill has ended, or what was fetched ahead has been asked for: go on with what follows."""
        if self._prefetch.leads(request, place):
            self._prefetch.go_on(request, place)

    def fetch(self, exchange: Exchange, place: Place, tries: int = 0) -> None:
        """Nothing is known of it here."""
        self._miss(exchange, place, None, tries)

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

    def _refresh(self, exchange: Exchange, place: Place, now: float) -> None:
        """Have a stale object renewed behind the answer; once per name and moment."""
        if now - self._refreshing.get(place.name, 0.0) < REFRESH_AGAIN:
            return
        self._refreshing[place.name] = now
        self.volumes[place.volume].asker.tell(self.fetch_of(exchange.request, place, mode=Mode.REFRESH))


def _decide(record: Record, now: float) -> Decision:
    flags = record.flags
    if flags & Flag.VARIES:
        return Decision.CHOOSE
    return decide(
        record.fresh_until,
        record.stale_while_revalidate,
        bool(flags & Flag.MUST_REVALIDATE),
        bool(flags & (Flag.NO_CACHE | Flag.STALE)),
        now,
    )
