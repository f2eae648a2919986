"""Sizes and durations are read as they are written, and written as they are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.units import (
    DURATION_MOST,
    SIZE_MOST,
    parse_duration,
    parse_listen,
    parse_size,
    write_duration,
    write_size,
)


@given(st.integers(0, SIZE_MOST))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(write_size(size)) == size


@given(st.integers(0, int(DURATION_MOST) * 1000))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(write_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (10**10, "10GB"),
        (2**20, "1MiB"),
        (3 * 2**29, "1536MiB"),
        (4096, "4KiB"),
        (1000, "1KB"),
        (1001, "1001"),
        (0, "0"),
    ],
)
def test_sizes_are_written_in_the_largest_exact_unit(size: int, text: str) -> None:
    assert write_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1209600.0, "14d"), (3600.0, "1h"), (300.0, "5m"), (75.0, "75s"), (9.5, "9.5s"), (0.25, "250ms"), (0.0, "0s")],
)
def test_durations_are_written_in_the_largest_exact_unit(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


def test_decimal_fractions_are_exact() -> None:
    assert parse_size("0.1GB") == 100_000_000
    assert parse_size("1.1KiB") == 1126  # whole bytes, cut
    assert parse_duration("0.3s") == 0.3


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, DURATION_MOST + 1, "4000d", 10**400], ids=lambda value: repr(value)[:20]
)
def test_a_duration_without_end_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"ten years|write a duration"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["2000000TB", SIZE_MOST + 1, "9" * 400 + "GB"])
def test_a_size_beyond_all_disks_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="exbibyte"):
        parse_size(value)


@pytest.mark.parametrize("value", [1.5, b"1GB", [1], "1 GB extra", "1e9", "٣GB", "-1GB", "GB"])
def test_what_only_looks_like_a_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="write a size"):
        parse_size(value)


@pytest.mark.parametrize("value", ["5S", "5 sec", "1h30m", "5", "", "٣s"])
def test_a_duration_in_text_needs_one_known_unit(value: str) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    "value",
    ["[::1]:65536", "[::1]", "[localhost]:80", "a b:80", "http://a:80", "a:+80", "a:٣", ":", 8080, None, "a/b:1"],
)
def test_what_only_looks_like_an_address_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"write HOST:PORT|brackets"):
        parse_listen(value)


def test_addresses_of_every_form_are_read() -> None:
    assert parse_listen("[fe80::1%eth0]:80") == ("fe80::1%eth0", 80)
    assert parse_listen(" localhost:0 ") == ("localhost", 0)
    assert parse_listen(":65535") == ("::", 65535)
