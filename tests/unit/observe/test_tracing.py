"""Spans of misses and errors: whose trace they belong to, which are exported, what they say."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from edge.observe.tracing import Parent, Spans

PARENT = Parent("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", False)
SAMPLED = Parent("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True)


def spans_of(sample: float = 1.0, drawn: float = 0.5) -> tuple[Spans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return Spans(SimpleSpanProcessor(exporter), "msk1", sample, lambda: drawn), exporter


def end(spans: Spans, parent: Parent | None = None, *, failed: bool = False) -> None:
    told = {"edge.cache_status": "miss", "edge.detail": None}
    spans.ended(parent, began=1_700_000_000.5, seconds=0.25, failed=failed, name="GET", told=told)


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_a_span_has_the_times_that_were_measured_and_says_who_made_it() -> None:
    spans, exporter = spans_of()
    end(spans)
    span = only(exporter)
    assert (span.start_time, span.end_time) == (1_700_000_000_500_000_000, 1_700_000_000_750_000_000)
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {"edge.cache_status": "miss"}
    assert span.resource.attributes["service.instance.id"] == "msk1"
    assert span.parent is None


def test_it_is_the_child_of_the_players_own_trace() -> None:
    spans, exporter = spans_of()
    end(spans, PARENT)
    span = only(exporter)
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == PARENT.trace_id
    assert f"{span.parent.span_id:016x}" == PARENT.span_id
    assert span.parent.is_remote


@pytest.mark.parametrize(
    ("sample", "drawn", "parent", "failed", "exported"),
    [
        (0.1, 0.05, None, False, 1),
        (0.1, 0.15, None, False, 0),
        (0.0, 0.0, None, False, 0),
        (0.0, 0.5, None, True, 1),
        (0.0, 0.5, SAMPLED, False, 1),
        (0.0, 0.5, PARENT, False, 0),
    ],
)
def test_errors_and_sampled_traces_are_always_exported_and_misses_by_their_share(
    sample: float, drawn: float, parent: Parent | None, failed: bool, exported: int
) -> None:
    spans, exporter = spans_of(sample, drawn)
    end(spans, parent, failed=failed)
    found = exporter.get_finished_spans()
    assert len(found) == exported
    assert all((span.status.status_code is StatusCode.ERROR) is failed for span in found)
