"""Dictionaries of RFC 9651."""

import pytest

from edge.http.structured import Item, parse_dictionary


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", {}),
        (b"   ", {}),
        (b"a", {b"a": True}),
        (b"a=1, b=-2, c=0", {b"a": 1, b"b": -2, b"c": 0}),
        (b"a=1.5, b=-0.125", {b"a": 1.5, b"b": -0.125}),
        (b'a="x \\"y\\" \\\\"', {b"a": b'x "y" \\'}),
        (b'a=""', {b"a": b""}),
        (b"a=tok/en:1, b=*x", {b"a": b"tok/en:1", b"b": b"*x"}),
        (b"a=?1, b=?0", {b"a": True, b"b": False}),
        (b"a=:cHJldGVuZA==:", {b"a": b"cHJldGVuZA=="}),
        (b"a=@1659578233", {b"a": 1659578233}),
        (b"a=()", {b"a": ()}),
        (b'a=(  1  "x";p=1 y );q', {b"a": (1, b"x", b"y")}),
        (b"a;p;q=1;  r=2.5, b", {b"a": True, b"b": True}),
        (b"a=1,b=2 \t,\tc=3", {b"a": 1, b"b": 2, b"c": 3}),
        (b"a=1, b=2, a=3", {b"a": 3, b"b": 2}),
        (b"*a.b-c_1=1", {b"*a.b-c_1": 1}),
        (b"a=999999999999999", {b"a": 999999999999999}),
        (b'a=%"f%c3%bc ok", b=%""', {b"a": "fü ok".encode(), b"b": b""}),
    ],
)
def test_a_dictionary_is_read_by_the_grammar(text: bytes, expected: dict[bytes, Item]) -> None:
    assert parse_dictionary([text]) == expected


def test_lines_are_one_dictionary() -> None:
    assert parse_dictionary([b"a=1", b"b=2"]) == {b"a": 1, b"b": 2}


@pytest.mark.parametrize(
    "text",
    [
        b"A=1",
        b"1=1",
        b"=1",
        b"a=",
        b"a =1",
        b"a= 1",
        b"a=1,",
        b"a=1,,b=2",
        b"a=1 b=2",
        b"a=1;",
        b"a=1;P=1",
        b"a=1;p=",
        b"a=1234567890123456",
        b"a=1.2345",
        b"a=1.",
        b"a=1234567890123.1",
        b"a=--1",
        b'a="x',
        b'a="\\x"',
        b'a="\x7f"',
        'a="é"'.encode(),
        b"a=?2",
        b"a=:x",
        b"a=:*:",
        b"a=(1",
        b"a=(1,2)",
        b'a=("x""y")',
        b"a=((1))",
        b"a={}",
        b'a=%"f%C3%BC"',
        b'a=%"%c3"',
        b'a=%"x',
        b'a=%"%"',
    ],
)
def test_one_mistake_spoils_the_whole_field(text: bytes) -> None:
    assert parse_dictionary([text]) is None
    assert parse_dictionary([b"ok=1, " + text]) is None


def test_a_tab_may_stand_between_members_but_not_before_the_first() -> None:
    assert parse_dictionary([b"a\t,\tb"]) == {b"a": True, b"b": True}
    assert parse_dictionary([b"\ta"]) is None
