"""Which trace a request belongs to."""

import pytest

from edge.http.trace import Trace, parse_traceparent
from edge.policy.rules import RFC9111, SiteRules
from edge.policy.upstream_fields import request_fields

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def test_the_example_of_the_standard_is_read() -> None:
    found = parse_traceparent(GOOD)
    assert found == Trace(TRACE, SPAN, "", 1)
    assert found.sampled
    assert found.field == GOOD


def test_a_child_belongs_to_the_same_trace_and_knows_only_the_sampled_flag() -> None:
    parent = parse_traceparent(GOOD[:-2] + b"ff")
    assert parent is not None
    child = parent.child("00f067aa0ba902b7")
    assert child == Trace(TRACE, "00f067aa0ba902b7", SPAN, 1)
    assert child.field == f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-",  # version 00 has nothing more
        GOOD.upper(),
        b"ff" + GOOD[2:],
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-0g".encode(),
        f"00_{TRACE}_{SPAN}_01".encode(),
        GOOD + b"\n",
        b"01" + GOOD[2:] + b"x",
        b"01" + GOOD[2:] + b"-" + b"x" * 300,
    ],
)
def test_what_is_malformed_is_as_good_as_none(value: bytes | None) -> None:
    assert parse_traceparent(value) is None


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent(b"01" + GOOD[2:] + b"-what-the-future-will-be") == Trace(TRACE, SPAN, "", 1)
    assert parse_traceparent(b"cc" + GOOD[2:]) == Trace(TRACE, SPAN, "", 1)


def passed(rules: SiteRules, *fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in request_fields(fields, rules) if name.lower().startswith(b"trace")]


@pytest.mark.parametrize("rules", [SiteRules(), RFC9111, SiteRules(forward_fields=("TraceParent",))])
def test_every_site_passes_a_trace_on_once(rules: SiteRules) -> None:
    parent, state = (b"traceparent", GOOD), (b"tracestate", b"a=1")
    assert passed(rules, (b"TraceParent", GOOD + b" "), (b"TraceState", b"a=1")) == [parent, state]
    assert passed(rules, parent) == [parent]
    assert passed(rules, parent, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")) == [
        parent,
        (b"tracestate", b"a=1,b=2"),
    ]
    assert passed(rules, parent, (b"tracestate", b"a" * 600)) == [parent]
    assert passed(rules, (b"traceparent", b"junk"), state) == []
    assert passed(rules, state) == []
    assert passed(rules, parent, parent) == []
