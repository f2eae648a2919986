"""What is told of each exchange at its end: metrics, and a line in the access log."""

from typing import Final

from edge.access.passes import Context
from edge.clock import Clock
from edge.delivery.answer import HIT
from edge.delivery.serving import Told
from edge.http.trace import parse_traceparent
from edge.media.cmcd import FIELDS, PARAMETER, Value, experience, told_by
from edge.observe.access_log import AccessLog
from edge.observe.catalogue import Tier
from edge.observe.experience import ExperienceMeters
from edge.observe.lines import Behind, Line
from edge.observe.meters import MEASURED_FROM, Meters
from edge.observe.tiers import Tiers
from edge.runtime.spanning import Spanning
from edge.server.exchange import Exchange, Outcome
from edge.server.observer import Event
from edge.server.request import Request
from edge.words import CacheStatus, Kind

_DONE: Final = Outcome.DONE  # an enum's member costs four times as much to name
_VOLUME: Final = Tier.VOLUME
_noted: Final = tuple.__new__  # a named tuple's own constructor takes three times as long


def trace_id_of(value: bytes | None) -> str | None:
    """For a log: the trace that a request belongs to."""
    if value is None:
        return None
    trace = parse_traceparent(value)
    return None if trace is None else trace.trace_id


def behind_of(request: Request) -> Behind | None:
    """For a log: what an edge that was admitted has told of its own request."""
    vouched = getattr(request, "vouched", None)
    return Behind(vouched.client, vouched.host, vouched.hops) if isinstance(vouched, Context) else None


class Teller:
    """Called synchronously on the hit path: keep it short."""

    def __init__(
        self,
        meters: Meters,
        experience: ExperienceMeters,
        log: AccessLog | None,
        clock: Clock,
        tiers: Tiers,
        spans: Spanning | None = None,
    ) -> None:
        self._meters = meters
        self._tiers = tiers
        self._experience = experience
        self._log = log
        self._clock = clock
        self._spans = spans
        self.last: Told | None = None  # what was answered last: sampled for the busiest objects

    def on_closed(self, exchange: Exchange) -> None:
        """An exchange is over: answered to its end, broken off, or never answered."""
        told: Told | None = exchange.context
        request = exchange.request
        if told is None:  # the client left before there was an answer
            self._meters.count("edge_client_aborts_total", str(exchange.outcome))
            return
        self.last = told
        place = told.place
        site, kind = (place.rules.name, place.kind) if place is not None else ("default", Kind.OTHER)
        ttfb = exchange.head_sent_at - request.received_at
        sent = exchange.body_bytes_sent
        prepared = told.prepared if told.how is HIT else None
        if prepared is not None and (known := prepared.counted) is not None and known[0] == told.status:
            tier = _VOLUME
            self._meters.answered(known[1], request.method, sent, ttfb)
        elif told.how is HIT:
            tier = _VOLUME
            cells = self._meters.cells_of(site, told.status, kind, CacheStatus.HIT, tier)
            if prepared is not None:
                prepared.counted = told.status, cells
            self._meters.answered(cells, request.method, sent, ttfb)
        else:
            tier = self._count(site, kind, told, request.method, sent, ttfb)
        if exchange.outcome is not _DONE:
            self._meters.count("edge_client_aborts_total", str(exchange.outcome))
        elif sent >= MEASURED_FROM:
            self._meters.throughput(kind, sent, self._clock.monotonic() - exchange.head_sent_at)
        said = self._heard(request, site) if PARAMETER in request.target or request.telling else None
        if self._spans is not None and told.how is not HIT:
            self._spans.ended(exchange, told)
        if self._log is not None:
            self._record(self._log, exchange, told, site, kind, ttfb, said, tier)

    def _count(self, site: str, kind: Kind, told: Told, method: bytes, sent: int, ttfb: float) -> Tier:
        """An answer that was no plain hit. The bytes that were missing in what was stored came from elsewhere."""
        how = told.how
        tier = self._tiers.of(how.status, how.member)
        fetched = min(how.fetched, sent) if tier is _VOLUME else 0
        if fetched:
            elsewhere = self._tiers.of_member(how.member)
            tier = elsewhere if fetched == sent else tier
            self._meters.more_bytes(site, kind, how.status, elsewhere, fetched)
        cells = self._meters.cells_of(site, told.status, kind, how.status, tier)
        self._meters.answered(cells, method, sent - fetched, ttfb)
        return tier

    def _heard(self, request: Request, site: str) -> dict[str, Value] | None:
        """What the player tells of itself, counted; None if that is nothing."""
        said = told_by(request.target, filter(None, map(request.get, FIELDS)))
        if said:
            self._experience.told(site, experience(said))
        return said or None

    def _record(
        self,
        log: AccessLog,
        exchange: Exchange,
        told: Told,
        site: str,
        kind: Kind,
        ttfb: float,
        said: dict[str, Value] | None,
        tier: Tier,
    ) -> None:
        request, how, place = exchange.request, told.how, told.place
        noted = (
            self._clock.wall(),
            site,
            request.peer,
            request.method,
            request.target,
            request.minor,
            told.status,
            exchange.body_bytes_sent,
            self._clock.monotonic() - request.received_at,
            ttfb,
            how.status.value,
            kind.value,
            request.secure,
            exchange.outcome is not _DONE,
            request.get(b"range"),
            request.get(b"user-agent"),
            request.get(b"referer"),
            how.detail,
            None if place is None else place.name,
            how.member,
            how.fwd_status or 0,
            how.upstream_seconds,
            said,
            trace_id_of(request.get(b"traceparent")),
            behind_of(request),
            tier,
        )
        log.record(_noted(Line, noted))

    def refused(self, site: str, status: int) -> None:
        """The server itself refused a request that was not HTTP, or too much of it."""
        self._meters.request(site, status, Kind.OTHER, b"-", CacheStatus.BYPASS, 0, 0.0)

    def count(self, event: Event) -> None:
        """`server`'s observer: connections ended for slowness, and failures of our own."""
        if event in _SLOW:
            self._meters.count("edge_slow_client_disconnects_total", event.value)
        elif event in _CONNECTIONS:
            self._meters.count("edge_http_connection_events_total", event.value)


_SLOW = frozenset({Event.SLOW_READER, Event.HEAD_TIMEOUT})
_CONNECTIONS = frozenset(Event) - _SLOW - {Event.CLIENT_LEFT}
