"""Ranges against brute force: every byte position counted by hand."""

from hypothesis import given
from hypothesis import strategies as st

from edge.http.ranges import Parts, RangeSpec, Unsatisfiable, Whole, parse_range, resolve, select

SPECS = st.lists(
    st.one_of(
        st.integers(0, 50).map(lambda n: RangeSpec(None, n)),
        st.integers(0, 50).map(lambda n: RangeSpec(n, None)),
        st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda p: RangeSpec(min(p), max(p))),
    ),
    min_size=1,
    max_size=20,
)
TOTAL = st.integers(0, 45)


def positions(spec: RangeSpec, total: int) -> set[int]:
    """The model: the bytes that a spec asks for of an object of `total` bytes."""
    if spec.first is None:
        return {at for at in range(total) if at >= total - (spec.last or 0)}
    return {at for at in range(total) if at >= spec.first and (spec.last is None or at <= spec.last)}


def spelled(spec: RangeSpec) -> bytes:
    first = b"" if spec.first is None else b"%d" % spec.first
    return first + b"-" + (b"" if spec.last is None else b"%d" % spec.last)


@given(SPECS)
def test_what_is_spelled_is_read_again(asked: list[RangeSpec]) -> None:
    assert parse_range(b"bytes=" + b",".join(map(spelled, asked))) == tuple(asked)


@given(SPECS, TOTAL)
def test_resolved_parts_are_the_bytes_that_were_asked(asked: list[RangeSpec], total: int) -> None:
    wanted = [positions(spec, total) for spec in asked]
    assert [set(range(*part)) for part in resolve(asked, total)] == [found for found in wanted if found]


@given(SPECS, TOTAL)
def test_what_is_selected_is_what_was_asked_each_byte_once(asked: list[RangeSpec], total: int) -> None:
    wanted = [positions(spec, total) for spec in asked]
    everything = set().union(*wanted)
    too_much = len(asked) > 16 or sum(map(len, wanted)) > total
    match select(asked, total):
        case Unsatisfiable():
            assert not everything
            assert not too_much
        case Whole():
            assert too_much or total == 0
        case Parts(parts):
            assert not too_much
            assert set().union(*(range(*part) for part in parts)) == everything
            assert sum(end - start for start, end in parts) == len(everything)


@given(SPECS, TOTAL)
def test_selected_parts_neither_touch_nor_are_empty_and_stand_in_the_order_asked(
    asked: list[RangeSpec], total: int
) -> None:
    chosen = select(asked, total)
    if not isinstance(chosen, Parts):
        return
    assert chosen.parts
    for number, (start, end) in enumerate(chosen.parts):
        assert start < end
        assert all(end < low or high < start for low, high in chosen.parts[:number])
    first_asked = [
        min(place for place, spec in enumerate(asked) if positions(spec, total) & set(range(*part)))
        for part in chosen.parts
    ]
    assert first_asked == sorted(first_asked)
