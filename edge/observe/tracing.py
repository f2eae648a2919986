"""Spans of misses and errors, exported by OpenTelemetry (the extra `otel`); hits have none, and pay nothing.

A span is made when its answer is over, with the times that were measured anyway: nothing is carried through the
program. It is the child of the player's own `traceparent`, else it begins a trace. Errors are always exported, misses
as many as the configuration says, or as the player's trace is sampled. The exporter has a thread and a bounded queue;
what does not fit is dropped. A span has neither the client's address nor a query.
"""

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edge import __version__
from edge.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

QUEUE_MOST: Final = 2048  # spans
FLUSH_SECONDS: Final = 2.0  # at the end of a worker: what is not out by then is lost
LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose child a span is: ids in hex, as `traceparent` has them."""

    trace_id: str
    span_id: str
    sampled: bool


class Spans:
    """`processor` is where ended spans go; `sample` = share of the misses, 0 to 1."""

    def __init__(
        self, processor: "SpanProcessor", node: str, sample: float, draw: Callable[[], float] = random.random
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        resource = Resource({"service.name": "edge", "service.version": __version__, "service.instance.id": node})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("edge", __version__)
        self._api = trace
        self._sample, self._draw = sample, draw

    def __repr__(self) -> str:
        return f"<Spans sample={self._sample}>"

    @classmethod
    def to(cls, endpoint: str, node: str, sample: float) -> "Spans":
        """Exported by OTLP over HTTP; ConfigError: the packages are not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ConfigError("trace.endpoint", endpoint, "needs OpenTelemetry: install video-edge[otel]") from error
        return cls(BatchSpanProcessor(OTLPSpanExporter(endpoint), max_queue_size=QUEUE_MOST), node, sample)

    def ended(
        self, parent: Parent | None, *, began: float, seconds: float, failed: bool, name: str, told: dict[str, Any]
    ) -> None:
        """An answer is over. `began` in seconds since 1970; attributes that are None are left out."""
        chosen = failed or (parent is not None and parent.sampled) or self._draw() < self._sample
        if not chosen:
            return
        api = self._api
        start = int(began * 1e9)
        span = self._tracer.start_span(
            name,
            context=self._context(parent),
            kind=api.SpanKind.SERVER,
            attributes={key: value for key, value in told.items() if value is not None},
            start_time=start,
        )
        if failed:
            span.set_status(api.StatusCode.ERROR)
        span.end(start + int(seconds * 1e9))

    def _context(self, parent: Parent | None) -> Any:
        api = self._api
        if parent is None:
            return None
        flags = api.TraceFlags(int(parent.sampled))
        remote = api.SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
        return api.set_span_in_context(api.NonRecordingSpan(remote))

    async def close(self) -> None:
        """Send what waits, for a moment: a collector that does not answer holds up nobody's end."""
        going = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        going.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FLUSH_SECONDS
        while going.is_alive() and loop.time() < deadline:  # noqa: ASYNC110 - a thread tells nobody that it ends
            await asyncio.sleep(LOOK_SECONDS)
