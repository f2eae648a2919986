"""Conditional requests: precedence, comparison, and what is ignored."""

import pytest

from edge.http.conditionals import Outcome, Preconditions, evaluate, if_range_passes, parse_preconditions
from edge.http.dates import format_date
from edge.http.etags import ETag

NOON = 784111777
AT, BEFORE, AFTER = format_date(NOON), format_date(NOON - 1), format_date(NOON + 1)
TAG, WEAK = ETag(b'"v1"'), ETag(b'"v1"', True)
Lines = list[tuple[bytes, bytes]]


def outcome(
    lines: Lines,
    etag: ETag | None = TAG,
    modified: int | None = NOON,
    method: bytes = b"GET",
    date: int | None = None,
) -> Outcome:
    conditions = parse_preconditions(lines)
    assert conditions is not None
    return evaluate(conditions, etag, modified, method, date)


def test_a_request_without_conditions_has_none() -> None:
    assert parse_preconditions([(b"Accept", b"*/*"), (b"If-Range", b'"v1"')]) is None


def test_conditions_are_read_from_all_their_lines() -> None:
    lines = [(b"If-Match", b"*"), (b"IF-NONE-MATCH", b'"a"'), (b"if-none-match", b'W/"b"')]
    found = parse_preconditions([*lines, (b"If-Modified-Since", AT), (b"If-Unmodified-Since", BEFORE)])
    assert found is not None
    assert found.if_none_match == (ETag(b'"a"'), ETag(b'"b"', True))
    assert (found.if_modified_since, found.if_unmodified_since) == (NOON, NOON - 1)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([(b"If-None-Match", b'"v1"')], Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'W/"v1"')], Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'"v0", "v1"')], Outcome.NOT_MODIFIED),
        ([(b"If-None-Match", b'"v2"')], Outcome.PROCEED),
        ([(b"If-None-Match", b"*")], Outcome.NOT_MODIFIED),
        ([(b"If-Match", b'"v1"')], Outcome.PROCEED),
        ([(b"If-Match", b"*")], Outcome.PROCEED),
        ([(b"If-Match", b'W/"v1"')], Outcome.FAILED),
        ([(b"If-Match", b'"v2"')], Outcome.FAILED),
        ([(b"If-Match", b"junk")], Outcome.FAILED),
        ([(b"If-Modified-Since", AFTER)], Outcome.NOT_MODIFIED),
        ([(b"If-Modified-Since", AT)], Outcome.NOT_MODIFIED),
        ([(b"If-Modified-Since", BEFORE)], Outcome.PROCEED),
        ([(b"If-Unmodified-Since", AFTER)], Outcome.PROCEED),
        ([(b"If-Unmodified-Since", AT)], Outcome.PROCEED),
        ([(b"If-Unmodified-Since", BEFORE)], Outcome.FAILED),
    ],
)
def test_each_condition_alone(lines: Lines, expected: Outcome) -> None:
    assert outcome(lines) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [  # RFC 9110 section 13.2.2, step by step
        ([(b"If-Match", b'"v1"'), (b"If-Unmodified-Since", BEFORE)], Outcome.PROCEED),
        ([(b"If-Match", b'"v2"'), (b"If-None-Match", b'"v1"')], Outcome.FAILED),
        ([(b"If-Match", b'"v1"'), (b"If-None-Match", b'"v1"')], Outcome.NOT_MODIFIED),
        ([(b"If-Unmodified-Since", BEFORE), (b"If-Modified-Since", AT)], Outcome.FAILED),
        ([(b"If-None-Match", b'"v2"'), (b"If-Modified-Since", AT)], Outcome.PROCEED),
        ([(b"If-None-Match", b"junk"), (b"If-Modified-Since", AT)], Outcome.PROCEED),
        ([(b"If-None-Match", b'"v1"'), (b"If-Modified-Since", BEFORE)], Outcome.NOT_MODIFIED),
    ],
)
def test_conditions_have_their_precedence(lines: Lines, expected: Outcome) -> None:
    assert outcome(lines) is expected


def test_only_reading_methods_are_told_not_modified() -> None:
    assert outcome([(b"If-None-Match", b'"v1"')], method=b"HEAD") is Outcome.NOT_MODIFIED
    assert outcome([(b"If-None-Match", b'"v1"')], method=b"PUT") is Outcome.FAILED
    assert outcome([(b"If-Modified-Since", AT)], method=b"HEAD") is Outcome.NOT_MODIFIED
    assert outcome([(b"If-Modified-Since", AT)], method=b"PUT") is Outcome.PROCEED


def test_without_a_validator_tags_do_not_match_and_dates_do_not_count() -> None:
    assert outcome([(b"If-None-Match", b'"v1"')], etag=None) is Outcome.PROCEED
    assert outcome([(b"If-Match", b'"v1"')], etag=None) is Outcome.FAILED
    assert outcome([(b"If-Modified-Since", AT)], modified=None) is Outcome.PROCEED
    assert outcome([(b"If-Unmodified-Since", BEFORE)], modified=None) is Outcome.PROCEED


def test_if_match_needs_a_strong_validator() -> None:
    assert outcome([(b"If-Match", b'"v1"')], etag=WEAK) is Outcome.FAILED


def test_a_cache_takes_date_where_there_is_no_last_modified() -> None:
    assert outcome([(b"If-Modified-Since", AT)], modified=None, date=NOON) is Outcome.NOT_MODIFIED
    assert outcome([(b"If-Modified-Since", BEFORE)], modified=None, date=NOON) is Outcome.PROCEED
    assert outcome([(b"If-Modified-Since", AT)], modified=NOON, date=NOON + 9) is Outcome.NOT_MODIFIED


@pytest.mark.parametrize("name", [b"If-Modified-Since", b"If-Unmodified-Since"])
def test_a_date_condition_that_is_not_one_date_is_ignored(name: bytes) -> None:
    assert parse_preconditions([(name, b"yesterday")]) == Preconditions()
    assert outcome([(name, b"yesterday")]) is Outcome.PROCEED
    assert outcome([(name, AT), (name, BEFORE)]) is Outcome.PROCEED


@pytest.mark.parametrize(
    ("value", "etag", "modified", "date", "passes"),
    [
        (b'"v1"', TAG, None, None, True),
        (b'"v2"', TAG, None, None, False),
        (b'W/"v1"', TAG, None, None, False),
        (b'"v1"', WEAK, None, None, False),
        (b'W/"v1"', WEAK, None, None, False),
        (b'"v1"', None, NOON, NOON + 60, False),
        (AT, None, NOON, NOON + 1, True),
        (AT, TAG, NOON, NOON + 60, True),
        (AT, None, NOON, NOON, False),
        (AT, None, NOON, NOON - 60, False),
        (AT, None, NOON, None, False),
        (AT, None, None, NOON + 60, False),
        (AFTER, None, NOON, NOON + 60, False),
        (BEFORE, None, NOON, NOON + 60, False),
        (b"junk", TAG, NOON, NOON + 60, False),
        (b"*", TAG, NOON, NOON + 60, False),
        (b"", TAG, NOON, NOON + 60, False),
    ],
)
def test_if_range_passes_by_a_strong_and_exact_match_only(
    value: bytes, etag: ETag | None, modified: int | None, date: int | None, passes: bool
) -> None:
    assert if_range_passes(value, etag, modified, date) is passes
