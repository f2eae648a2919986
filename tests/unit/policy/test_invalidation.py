"""What an unsafe request makes invalid."""

import pytest

from edge.http.target import Target, parse_target
from edge.policy.invalidation import answers_get, invalidated, is_unsafe

ASKED = parse_target(b"/a/b?c", b"h.example")


def others(*lines: tuple[bytes, bytes], asked: Target = ASKED) -> list[bytes]:
    found = invalidated(b"POST", 200, asked, lines)
    assert found[0] == asked
    return [target.path + (b"" if target.query is None else b"?" + target.query) for target in found[1:]]


@pytest.mark.parametrize(
    ("method", "unsafe"), [(b"GET", False), (b"TRACE", False), (b"SEARCH", False), (b"PUT", True), (b"FOO", True)]
)
def test_what_nobody_knows_is_supposed_to_be_unsafe(method: bytes, unsafe: bool) -> None:
    assert is_unsafe(method) is unsafe
    assert bool(invalidated(method, 200, ASKED, [])) is unsafe


@pytest.mark.parametrize(("status", "any_"), [(200, True), (303, True), (399, True), (400, False), (500, False)])
def test_only_success_invalidates(status: int, any_: bool) -> None:
    assert bool(invalidated(b"POST", status, ASKED, [(b"Location", b"/x")])) is any_


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (b"/x", b"/x"),
        (b"x?y", b"/a/x?y"),
        (b"?y", b"/a/b?y"),
        (b"../x", b"/x"),
        (b"../../../x", b"/x"),
        (b"./x/..", b"/a/"),
        (b"x/.", b"/a/x/"),
        (b"http://H.EXAMPLE/x", b"/x"),
        (b"http://h.example:80/x", b"/x"),
        (b"https://h.example:443/x", b"/x"),
        (b"//h.example/x", b"/x"),
        (b"/x#part", b"/x"),
        (b"/x?to=http://other", b"/x?to=http://other"),
    ],
)
@pytest.mark.parametrize("name", [b"Location", b"content-location"])
def test_references_of_the_same_origin_are_resolved(name: bytes, reference: bytes, target: bytes) -> None:
    assert others((name, reference)) == [target]


@pytest.mark.parametrize(
    "reference",
    [
        b"http://other.example/x",
        b"//other.example/x",
        b"http://h.example:81/x",
        b"http://[/x",
        b"/a b",
        b"ftp://h.example/x",
    ],
)
def test_others_are_left_alone(reference: bytes) -> None:
    assert others((b"Location", reference)) == []


def test_nothing_is_named_twice() -> None:
    assert others((b"Location", b""), (b"Content-Location", b"/a/b?c"), (b"Location", b"/x"), (b"Location", b"/x")) == [
        b"/x"
    ]
    bare = parse_target(b"/a", b"h.example")
    assert others((b"Location", b""), asked=bare) == []


def test_a_port_of_ones_own_is_the_same_origin() -> None:
    asked = parse_target(b"/a", b"h.example:8080")
    assert others((b"Location", b"http://h.example:8080/x"), asked=asked) == [b"/x"]
    assert others((b"Location", b"http://h.example/x"), asked=asked) == []


@pytest.mark.parametrize(
    ("method", "status", "named", "is_one"),
    [
        (b"POST", 200, [b"/a/b?c"], True),
        (b"POST", 200, [b"http://h.example/a/b?c"], True),
        (b"POST", 200, [b"?c"], True),
        (b"POST", 200, [b"/a/b"], False),
        (b"POST", 200, [b"http://other.example/a/b?c"], False),
        (b"POST", 200, [b"http://[/"], False),
        (b"POST", 200, [], False),
        (b"POST", 200, [b"/a/b?c", b"/a/b?c"], False),
        (b"POST", 201, [b"/a/b?c"], False),
        (b"PUT", 200, [b"/a/b?c"], False),
    ],
)
def test_an_answer_to_post_is_one_to_get_only_if_it_says_so(
    method: bytes, status: int, named: list[bytes], is_one: bool
) -> None:
    assert answers_get(method, status, ASKED, [(b"Content-Location", value) for value in named]) is is_one
