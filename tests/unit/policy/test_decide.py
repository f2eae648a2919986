"""What to do with what is kept, at every moment of its life."""

import pytest

from edge.policy.decide import Decision, decide, may_serve_on_error


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0.0, Decision.SERVE_FRESH),
        (9.999, Decision.SERVE_FRESH),
        (10.0, Decision.SERVE_STALE_AND_REFRESH),
        (14.999, Decision.SERVE_STALE_AND_REFRESH),
        (15.0, Decision.REVALIDATE),
        (1e9, Decision.REVALIDATE),
    ],
)
def test_what_is_kept_is_served_fresh_then_stale_then_renewed(now: float, expected: Decision) -> None:
    assert decide(10, 5, False, False, now) is expected


def test_without_a_window_what_is_stale_is_renewed_first() -> None:
    assert decide(10, 0, False, False, 10) is Decision.REVALIDATE


def test_a_strict_answer_is_served_while_fresh_and_never_stale() -> None:
    assert decide(10, 5, True, False, 9) is Decision.SERVE_FRESH
    assert decide(10, 5, True, False, 10) is Decision.REVALIDATE


def test_an_answer_that_must_be_asked_about_is_never_served_unasked() -> None:
    assert decide(10, 5, False, True, 1) is Decision.REVALIDATE
    assert decide(10, 5, False, True, 11) is Decision.REVALIDATE


@pytest.mark.parametrize(("now", "expected"), [(9, True), (10, True), (14.999, True), (15, False)])
def test_an_error_is_covered_within_the_window(now: float, expected: bool) -> None:
    assert may_serve_on_error(10, 5, False, now) is expected


def test_a_strict_answer_covers_no_error() -> None:
    assert not may_serve_on_error(10, 5, True, 11)
