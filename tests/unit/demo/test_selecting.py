"""Ranges and conditions of the demo's origin, by the letter of RFC 9110."""

import pytest

from edge.demo.selecting import Part, Resource, select

THING = Resource(1000, '"1"', "Thu, 01 Jan 2026 00:00:00 GMT")
WHOLE = Part(200, 0, 1000)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", Part(206, 0, 1)),
        ("bytes=0-", Part(206, 0, 1000)),
        ("bytes=100-199", Part(206, 100, 200)),
        ("bytes=999-999", Part(206, 999, 1000)),
        ("bytes=990-5000", Part(206, 990, 1000)),
        ("bytes=-1", Part(206, 999, 1000)),
        ("bytes=-5000", Part(206, 0, 1000)),
        ("BYTES= 5-6 ", Part(206, 5, 7)),
        ("bytes=1000-", Part(416)),
        ("bytes=5000-6000", Part(416)),
        ("bytes=-0", Part(416)),
        ("bytes=5-4", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=0-1,5-6", WHOLE),
        ("lines=0-1", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes 0-1", WHOLE),
        ("", WHOLE),
    ],
)
def test_a_range_selects_or_is_ignored(text: str, part: Part) -> None:
    assert select({"range": text}, THING) == part


def test_nothing_can_be_cut_out_of_an_empty_resource() -> None:
    empty = Resource(0, '"1"')
    assert select({}, empty) == Part(200, 0, 0)
    assert select({"range": "bytes=0-"}, empty) == Part(416)
    assert select({"range": "bytes=-5"}, empty) == Part(416)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('"1"', True),
        ('"2"', False),
        ('W/"1"', False),
        ("Thu, 01 Jan 2026 00:00:00 GMT", True),
        ("Thu, 01 Jan 2026 00:00:01 GMT", False),
        ("", False),
    ],
)
def test_if_range_gives_the_part_only_of_the_same_version(condition: str, holds: bool) -> None:
    part = select({"range": "bytes=5-9", "if-range": condition}, THING)
    assert part == (Part(206, 5, 10) if holds else WHOLE)


def test_if_range_with_a_weak_tag_never_holds() -> None:
    weak = Resource(1000, 'W/"1"')
    assert select({"range": "bytes=5-9", "if-range": 'W/"1"'}, weak).status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if-none-match": '"1"'}, 304),
        ({"if-none-match": 'W/"1"'}, 304),
        ({"if-none-match": '"0", "1"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"2"'}, 200),
        ({"if-none-match": '"2"', "if-modified-since": THING.last_modified}, 200),
        ({"if-modified-since": THING.last_modified}, 304),
        ({"if-modified-since": "Fri, 01 Jan 2021 00:00:00 GMT"}, 200),
        ({"if-none-match": '"1"', "range": "bytes=0-1"}, 304),
        ({"if-match": '"1"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"2"'}, 412),
        ({"if-match": 'W/"1"'}, 412),
        ({"if-match": '"2"', "if-none-match": '"1"'}, 412),
    ],
)
def test_conditions_decide_in_the_order_of_the_rfc(fields: dict[str, str], status: int) -> None:
    assert select(fields, THING).status == status


def test_a_resource_without_validators_is_never_unchanged() -> None:
    bare = Resource(10)
    assert select({"if-none-match": '""'}, bare).status == 200
    assert select({"if-modified-since": "x"}, bare).status == 200
    assert select({"if-range": '""', "range": "bytes=0-1"}, bare).status == 200


def test_an_origin_without_ranges_sends_the_whole() -> None:
    assert select({"range": "bytes=0-1"}, THING, ranges=False) == WHOLE
    assert select({"range": "bytes=5000-"}, THING, ranges=False) == WHOLE
