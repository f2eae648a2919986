"""Reading header fields by name; what goes from hop to hop."""

import pytest

from edge.http import fields

GIVEN = [(b"Vary", b"Accept"), (b"ETag", b'"a"'), (b"vary", b"Origin, ,\tCookie"), (b"VARY", b"")]


def test_names_are_compared_without_case_and_values_keep_their_order() -> None:
    assert fields.values(GIVEN, b"vary") == [b"Accept", b"Origin, ,\tCookie", b""]
    assert fields.values(GIVEN, b"age") == []


def test_the_first_value_is_found_or_none() -> None:
    assert fields.first(GIVEN, b"etag") == b'"a"'
    assert fields.first(GIVEN, b"vary") == b"Accept"
    assert fields.first(GIVEN, b"age") is None


def test_an_empty_value_is_not_an_absent_field() -> None:
    assert fields.first([(b"Age", b"")], b"age") == b""
    assert fields.combined([(b"Age", b"")], b"age") == b""
    assert fields.combined([], b"age") is None


def test_lines_of_one_field_are_one_list() -> None:
    assert fields.combined([(b"A", b"1"), (b"B", b"x"), (b"a", b"2")], b"a") == b"1, 2"


def test_empty_members_of_a_list_do_not_count() -> None:
    assert fields.list_members(fields.values(GIVEN, b"vary")) == [b"Accept", b"Origin", b"Cookie"]


def test_fields_that_connection_nominates_go_no_further() -> None:
    given = [
        (b"X-Kept", b"1"),
        (b"Connection", b"close, X-One"),
        (b"x-one", b"1"),
        (b"CONNECTION", b"X-TWO"),
        (b"X-Two", b"2"),
        (b"X-Kept", b"2"),
    ]
    assert fields.end_to_end(given) == [(b"X-Kept", b"1"), (b"X-Kept", b"2")]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"Proxy-Authentication-Info",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
    ],
)
def test_fields_of_one_connection_go_no_further_even_unnominated(name: bytes) -> None:
    assert fields.end_to_end([(name, b"x"), (b"Age", b"1")]) == [(b"Age", b"1")]
