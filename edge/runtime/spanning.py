"""Which exchanges have a span (misses and errors), and what it says of them."""

from edge.clock import Clock
from edge.config.schema import Settings
from edge.delivery.serving import Told
from edge.http.trace import NAME, parse_traceparent
from edge.observe.privacy import Redactor
from edge.observe.tracing import Parent, Spans
from edge.runtime import convert
from edge.server.exchange import Exchange, Outcome
from edge.words import CacheStatus

_FROM_CACHE = frozenset({CacheStatus.HIT, CacheStatus.UPDATING})
FAILED_FROM = 500


class Spanning:
    """Told of each exchange that was no plain hit."""

    def __init__(self, spans: Spans, redact: Redactor, clock: Clock) -> None:
        self._spans, self._redact, self._clock = spans, redact, clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> "Spanning | None":
        """None: spans are not exported. ConfigError: they cannot be."""
        said = settings.trace
        if not said.endpoint:
            return None
        spans = Spans.to(said.endpoint, settings.server.node, said.sample)
        return cls(spans, Redactor(convert.secret_names(settings)), clock)

    def ended(self, exchange: Exchange, told: Told) -> None:
        """An answer is over."""
        request, how, place = exchange.request, told.how, told.place
        failed = told.status >= FAILED_FROM or exchange.outcome is Outcome.BROKEN
        if how.status in _FROM_CACHE and not failed:
            return
        seconds = self._clock.monotonic() - request.received_at
        path = request.target.partition(b"?")[0].decode("latin-1")
        self._spans.ended(
            _parent(request.get(NAME)),
            began=self._clock.wall() - seconds,
            seconds=seconds,
            failed=failed,
            name=request.method.decode("latin-1"),
            told={
                "http.request.method": request.method.decode("latin-1"),
                "http.response.status_code": told.status,
                "http.response.body.size": exchange.body_bytes_sent,
                "url.path": self._redact(path),
                "edge.site": place.rules.name if place is not None else None,
                "edge.kind": place.kind.value if place is not None else None,
                "edge.cache_status": how.status.value,
                "edge.collapsed": how.collapsed,
                "edge.stored": how.stored,
                "edge.detail": how.detail,
                "edge.upstream": how.member or None,
                "edge.upstream_status": how.fwd_status,
                "edge.upstream_seconds": how.upstream_seconds or None,
                "edge.ttfb_seconds": exchange.head_sent_at - request.received_at if exchange.head_sent_at else None,
                "error.type": (how.detail or str(told.status)) if failed else None,
            },
        )

    async def close(self) -> None:
        await self._spans.close()


def _parent(field: bytes | None) -> Parent | None:
    trace = parse_traceparent(field)
    return None if trace is None else Parent(trace.trace_id, trace.span_id, trace.sampled)
