"""Entity tags, one by one and in lists."""

import pytest

from edge.http.etags import ANY, ETag, parse_etag, parse_etag_list, strong_equal, weak_equal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"a"', ETag(b'"a"')),
        (b'""', ETag(b'""')),
        (b'"a,b"', ETag(b'"a,b"')),
        (b'"a\\"', ETag(b'"a\\"')),
        (b'W/"\xff"', ETag(b'"\xff"', True)),
        (b' \t"a" ', ETag(b'"a"')),
        (b'w/"a"', None),
        (b'W"a"', None),
        (b'W/ "a"', None),
        (b"a", None),
        (b"'a'", None),
        (b'"a', None),
        (b'a"', None),
        (b'"a b"', None),
        (b'"a\x7f"', None),
        (b'"a"b"', None),
        (b'"a", "b"', None),
        (b'"a"\n', None),
        (b"*", None),
        (b"", None),
    ],
)
def test_one_tag_is_read_by_the_grammar(text: bytes, expected: ETag | None) -> None:
    assert parse_etag(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b'"a"'], (ETag(b'"a"'),)),
        ([b'"a",W/"b,c"', b'\t"d" '], (ETag(b'"a"'), ETag(b'"b,c"', True), ETag(b'"d"'))),
        ([b',, "a" ,,', b""], (ETag(b'"a"'),)),
        ([b'w/"a", "b"'], (ETag(b'"b"'),)),
        ([b'junk, "b", more"c", "d"e'], (ETag(b'"b"'),)),
        ([b'"a" "b", "c"'], (ETag(b'"c"'),)),
        ([b'"a, "b"'], (ETag(b'"b"'),)),
        ([b'"a ,b"'], ()),
        ([b'"unclosed, and more'], ()),
        ([b'*, "a"'], (ETag(b'"a"'),)),
        ([b"*", b"*"], ()),
        ([b"a"], ()),
        ([b""], ()),
        ([], ()),
    ],
)
def test_a_list_gives_its_tags_and_skips_what_is_none(lines: list[bytes], expected: tuple[ETag, ...]) -> None:
    assert parse_etag_list(lines) == expected


def test_a_lone_asterisk_means_any() -> None:
    assert parse_etag_list([b" * "]) is ANY


ONE, WEAK_ONE, OTHER = ETag(b'"1"'), ETag(b'"1"', True), ETag(b'"2"')


@pytest.mark.parametrize(
    ("left", "right", "strong", "weak"),
    [  # the table of RFC 9110 section 8.8.3.2
        (WEAK_ONE, WEAK_ONE, False, True),
        (WEAK_ONE, ETag(b'"2"', True), False, False),
        (WEAK_ONE, ONE, False, True),
        (ONE, WEAK_ONE, False, True),
        (ONE, ONE, True, True),
        (ONE, OTHER, False, False),
    ],
)
def test_tags_compare_strongly_and_weakly(left: ETag, right: ETag, strong: bool, weak: bool) -> None:
    assert strong_equal(left, right) is strong
    assert weak_equal(left, right) is weak
