"""Spans against a model: a set of byte numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.fill.spans import Spans

stretch = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(stretch, max_size=12), st.integers(0, 61), stretch)
def test_spans_answer_as_a_set_of_bytes_would(added: list[tuple[int, int]], at: int, asked: tuple[int, int]) -> None:
    spans = Spans(*added)
    there = {byte for start, end in added for byte in range(start, end)}
    reach = at
    while reach in there:
        reach += 1
    assert spans.reach(at) == reach
    assert spans.has(*asked) == all(byte in there for byte in range(*asked))
    missing = [byte for byte in range(*asked) if byte not in there]
    gap = spans.gap(*asked)
    if not missing:
        assert gap is None
    else:
        end = missing[0]
        while end < asked[1] and end not in there:
            end += 1
        assert gap == (missing[0], end)


@given(st.lists(stretch, max_size=12))
def test_spans_are_kept_in_order_apart_and_not_empty(added: list[tuple[int, int]]) -> None:
    kept = list(Spans(*added))
    assert all(start < end for start, end in kept)
    assert all(one[1] < two[0] for one, two in pairwise(kept))
