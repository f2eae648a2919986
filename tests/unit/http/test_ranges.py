"""Ranges against brute force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.ranges import MOST, Parts, RangeSpec, Unsatisfiable, Whole, parse_range, resolve, select


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-99", (RangeSpec(0, 99),)),
        (b"bytes=5-", (RangeSpec(5, None),)),
        (b"bytes=-7", (RangeSpec(None, 7),)),
        (b"Bytes = 0-0 , 5-6,-1", (RangeSpec(0, 0), RangeSpec(5, 6), RangeSpec(None, 1))),
        (b"bytes=0-99999999999999999999999999", (RangeSpec(0, MOST),)),
        (b"bytes=, 1-2 ,", (RangeSpec(1, 2),)),
        (b"bytes=", None),
        (b"bytes=a-b", None),
        (b"bytes=5-4", None),
        (b"bytes=-", None),
        (b"bytes=--1", None),
        (b"bytes=+1-2", None),
        (b"bytes=1_0-20", None),
        ("bytes=١-٢".encode(), None),
        (b"bytes=0x1-2", None),
        (b"items=0-1", None),
        (b"0-1", None),
        (b"bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(101)), None),
    ],
)
def test_a_range_field_is_read_as_the_rfc_says_or_ignored(value: bytes, expected: object) -> None:
    assert parse_range(value) == expected


@given(st.binary(max_size=60))
def test_no_bytes_make_the_parser_raise(junk: bytes) -> None:
    parse_range(b"bytes=" + junk)
    parse_range(junk)


specs = st.lists(
    st.one_of(
        st.integers(0, 50).map(lambda n: RangeSpec(None, n)),
        st.integers(0, 50).map(lambda n: RangeSpec(n, None)),
        st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda p: RangeSpec(min(p), max(p))),
    ),
    min_size=1,
    max_size=6,
)


def wanted(spec: RangeSpec, total: int) -> set[int]:
    if spec.first is None:
        return set(range(max(0, total - (spec.last or 0)), total))
    last = total - 1 if spec.last is None else min(spec.last, total - 1)
    return set(range(spec.first, last + 1))


@given(specs, st.integers(0, 45))
def test_resolved_parts_are_the_bytes_that_were_asked(asked: list[RangeSpec], total: int) -> None:
    parts = resolve(asked, total)
    assert [set(range(*part)) for part in parts] == [
        found for spec in asked if (found := wanted(spec, total))
    ]


@given(specs, st.integers(0, 45))
def test_what_is_selected_covers_what_was_asked_and_never_more_than_the_whole(
    asked: list[RangeSpec], total: int
) -> None:
    everything = set().union(*(wanted(spec, total) for spec in asked))
    match select(asked, total):
        case Unsatisfiable():
            assert not everything
        case Whole():
            assert sum(end - start for start, end in resolve(asked, total)) > total
        case Parts(parts):
            assert set().union(*(range(*part) for part in parts)) == everything
            assert sum(end - start for start, end in parts) == len(everything)
            assert not any(a[0] <= b[1] and b[0] <= a[1] for i, a in enumerate(parts) for b in parts[:i])


def test_more_than_sixteen_parts_get_the_whole() -> None:
    many = [RangeSpec(2 * n, 2 * n) for n in range(17)]
    assert isinstance(select(many, 1000), Whole)
    assert isinstance(select(many[:16], 1000), Parts)
