"""What requests want of a cache."""

import pytest

from edge.policy.demands import Demands, parse_demands

Lines = list[tuple[bytes, bytes]]
CC = b"Cache-Control"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([(CC, b"foo")], None),
        ([(b"Pragma", b"foo")], None),
        ([(b"pragma", b"x, No-Cache")], Demands(no_cache=True)),
        ([(b"Pragma", b"no-cache"), (CC, b"foo")], None),
        ([(CC, b"no-cache"), (CC, b"no-store")], Demands(no_cache=True, no_store=True)),
        ([(CC, b"max-age=5, min-fresh=6, max-stale=7")], Demands(max_age=5, min_fresh=6, max_stale=7)),
        ([(CC, b"max-stale")], Demands(max_stale=2**31)),
        ([(CC, b'no-cache="x"')], Demands(no_cache=True)),
        ([(CC, b"only-if-cached")], Demands(only_if_cached=True)),
        ([(CC, b"stale-if-error=9")], Demands(stale_if_error=9)),
    ],
)
def test_demands_are_read_from_all_lines(lines: Lines, expected: Demands | None) -> None:
    assert parse_demands(lines) == expected


@pytest.mark.parametrize(
    ("demands", "age", "left", "accepted"),
    [
        (Demands(), 5, 1, True),
        (Demands(), 5, 0, False),
        (Demands(no_cache=True), 0, 100, False),
        (Demands(max_age=5), 5, 100, True),
        (Demands(max_age=5), 6, 100, False),
        (Demands(min_fresh=10), 0, 10, True),
        (Demands(min_fresh=10), 0, 9, False),
        (Demands(max_stale=10), 0, -10, True),
        (Demands(max_stale=10), 0, -11, False),
        (Demands(max_stale=10, min_fresh=1), 0, -5, False),
        (Demands(max_stale=10, max_age=5), 6, -1, False),
    ],
)
def test_an_answer_has_to_be_as_fresh_as_is_wanted(demands: Demands, age: float, left: float, accepted: bool) -> None:
    assert demands.accepts(age, left, strict=False) is accepted


def test_nobody_gets_stale_what_the_origin_forbids_to_serve_so() -> None:
    assert not Demands(max_stale=10).accepts(0, -5, strict=True)
    assert Demands(max_stale=10).accepts(0, 5, strict=True)


@pytest.mark.parametrize(
    ("demands", "only"),
    [
        (Demands(stale_if_error=9), True),
        (Demands(stale_if_error=0), True),
        (Demands(stale_if_error=9, max_age=0), False),
        (Demands(max_age=0), False),
        (Demands(), False),
    ],
)
def test_who_takes_a_stale_answer_in_place_of_an_error_asks_for_nothing_else_by_that(
    demands: Demands, only: bool
) -> None:
    assert demands.only_on_error is only
