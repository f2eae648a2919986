"""Range fields as they are written, and the choices that a server has."""

import pytest

from edge.http.ranges import MOST, Parts, RangeSpec, Unsatisfiable, Whole, parse_range, select


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-99", (RangeSpec(0, 99),)),
        (b"bytes=5-", (RangeSpec(5, None),)),
        (b"bytes=-7", (RangeSpec(None, 7),)),
        (b"bytes=-0", (RangeSpec(None, 0),)),
        (b"bytes=007-009", (RangeSpec(7, 9),)),
        (b"BYTES=0-0 ,\t5-6,-1", (RangeSpec(0, 0), RangeSpec(5, 6), RangeSpec(None, 1))),
        (b"bytes=, 1-2 ,", (RangeSpec(1, 2),)),
        (b"bytes=0-99999999999999999999999999", (RangeSpec(0, MOST),)),
        (b"bytes=" + b"9" * 5000 + b"-", (RangeSpec(MOST, None),)),
        (b"bytes=-" + b"9" * 5000, (RangeSpec(None, MOST),)),
        (b"bytes=" + b"0" * 5000 + b"1-2", (RangeSpec(1, 2),)),
    ],
)
def test_a_range_field_is_read_as_the_rfc_says(value: bytes, expected: object) -> None:
    assert parse_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes= , ,",
        b"bytes =0-1",
        b"bytes:0-1",
        b"bytes=a-b",
        b"bytes=5-4",
        b"bytes=0-1,5-4",
        b"bytes=99999999999999999999-99999999999999999998",
        b"bytes=100000000000000000000-99999999999999999999",
        b"bytes=-",
        b"bytes=1",
        b"bytes=--1",
        b"bytes=1-2-3",
        b"bytes=+1-2",
        b"bytes=1_0-20",
        b"bytes=1 -2",
        b"bytes=0-1;2-3",
        "bytes=\u0661-\u0662".encode(),
        b"bytes=0x1-2",
        b"bytes=0.5-2",
        b"items=0-1",
        b"seconds=0-1",
        b"0-1",
        b"bytes=" + b",".join(b"%d-%d" % (i, i) for i in range(101)),
    ],
)
def test_a_field_that_is_malformed_or_of_another_unit_is_ignored(value: bytes) -> None:
    assert parse_range(value) is None


def chosen(value: bytes, total: int) -> Whole | Parts | Unsatisfiable:
    specs = parse_range(value)
    assert specs is not None
    return select(specs, total)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-", ((0, 100),)),
        (b"bytes=0-0", ((0, 1),)),
        (b"bytes=99-", ((99, 100),)),
        (b"bytes=90-999", ((90, 100),)),
        (b"bytes=-10", ((90, 100),)),
        (b"bytes=-999", ((0, 100),)),
        (b"bytes=0-9,200-", ((0, 10),)),
        (b"bytes=-0,5-6", ((5, 7),)),
        (b"bytes=0-9,20-29", ((0, 10), (20, 30))),
        (b"bytes=20-29,0-9", ((20, 30), (0, 10))),
        (b"bytes=0-9,10-19", ((0, 20),)),
        (b"bytes=10-19,0-9", ((0, 20),)),
        (b"bytes=0-9,5-14", ((0, 15),)),
        (b"bytes=50-59,0-9,5-14", ((50, 60), (0, 15))),
        (b"bytes=0-9,20-29,10-19", ((0, 30),)),
        (b"bytes=0-9,0-9", ((0, 10),)),
    ],
)
def test_parts_keep_the_order_asked_and_are_merged_where_they_touch(
    value: bytes, expected: tuple[tuple[int, int], ...]
) -> None:
    assert chosen(value, 100) == Parts(expected)


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=100-200", b"bytes=-0", b"bytes=-0,100-", b"bytes=%d-" % MOST])
def test_what_the_object_does_not_have_is_unsatisfiable(value: bytes) -> None:
    assert chosen(value, 100) == Unsatisfiable()


@pytest.mark.parametrize("value", [b"bytes=0-,0-", b"bytes=0-,-1", b"bytes=-60,-60", b"bytes=0-99,0-0"])
def test_more_bytes_than_there_are_get_the_whole(value: bytes) -> None:
    assert chosen(value, 100) == Whole()


def test_more_than_sixteen_specs_get_the_whole() -> None:
    many = [RangeSpec(2 * n, 2 * n) for n in range(17)]
    assert select(many, 1000) == Whole()
    assert isinstance(select(many[:16], 1000), Parts)
    assert select(many[:3], 1000, max_parts=2) == Whole()


def test_an_empty_object_has_no_first_byte_but_satisfies_a_suffix() -> None:
    assert chosen(b"bytes=0-", 0) == Unsatisfiable()
    assert chosen(b"bytes=0-0", 0) == Unsatisfiable()
    assert chosen(b"bytes=-0", 0) == Unsatisfiable()
    assert chosen(b"bytes=-5", 0) == Whole()
    assert chosen(b"bytes=0-,-5", 0) == Whole()
