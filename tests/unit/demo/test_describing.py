"""Self-describing content: right at every offset, and no wrong byte passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo.describing import BLOCK, LINE, MOST_OFFSET, body_slice, check, version_of

PATH = "/s/4000000/a.ts"
SIZE = 3 * BLOCK + 777
WHOLE = body_slice(PATH, 3, 0, SIZE)


def test_every_line_names_object_version_and_its_own_offset() -> None:
    lines = WHOLE.splitlines(keepends=True)
    assert len(WHOLE) == SIZE
    tag = lines[0][:16]
    for number, line in enumerate(lines[:-1]):
        assert len(line) == LINE
        assert line == b"%b version 00000003 offset %015d.......\n" % (tag, number * LINE)


@given(start=st.integers(0, SIZE), length=st.one_of(st.integers(0, 300), st.integers(0, SIZE)))
def test_any_stretch_is_cut_from_the_same_bytes_and_passes(start: int, length: int) -> None:
    end = min(SIZE, start + length)
    part = body_slice(PATH, 3, start, end)
    assert part == WHOLE[start:end]
    assert check(PATH, 3, start, part) is None
    assert check(PATH, None, start, part) is None


@given(data=st.data())
def test_a_single_flipped_bit_is_found_where_it_is(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, SIZE - 1), "start")
    length = data.draw(st.one_of(st.integers(1, 300), st.integers(1, SIZE - start)), "length")
    part = bytearray(body_slice(PATH, 3, start, min(SIZE, start + length)))
    at = data.draw(st.integers(0, len(part) - 1), "at")
    part[at] ^= 1 << data.draw(st.integers(0, 7), "bit")
    wrong = check(PATH, 3, start, bytes(part))
    assert wrong is not None
    assert wrong.offset == start + at
    assert wrong.found[:1] == part[at : at + 1] != wrong.expected[:1]


@pytest.mark.parametrize("at", [0, 30, 700, BLOCK - 1, BLOCK, 2 * BLOCK + 5])
def test_a_version_that_changes_in_the_middle_is_told_as_another_version(at: int) -> None:
    line = at - at % LINE
    mixed = body_slice(PATH, 3, 0, line) + body_slice(PATH, 4, line, line + 5000)
    wrong = check(PATH, 3, 0, mixed)
    assert wrong is not None
    assert wrong.looks == "another version: 4"
    assert (check(PATH, None, 0, mixed) is None) == (line == 0)


def test_bytes_of_another_place_are_told_with_their_offset() -> None:
    wrong = check(PATH, 3, 6400, WHOLE[128:1000])
    assert wrong is not None
    assert wrong.looks == "another place: offset 128"
    assert check(PATH, None, 6401, WHOLE[129:1000]) is not None


def test_bytes_of_another_object_are_told_as_such() -> None:
    wrong = check("/s/4000000/b.ts", None, 0, WHOLE[:640])
    assert wrong is not None
    assert wrong.looks.startswith("another object: ")
    assert str(wrong.offset) in str(wrong)


def test_zeros_from_a_hole_are_damaged_content() -> None:
    holed = WHOLE[:1000] + bytes(4096) + WHOLE[5096:9000]
    wrong = check(PATH, None, 0, holed)
    assert wrong is not None
    assert (wrong.offset, wrong.looks) == (1000, "damaged")


def test_a_stretch_too_short_to_tell_its_version_is_checked_in_all_other_columns() -> None:
    assert check(PATH, None, 0, WHOLE[:20]) is None
    assert check(PATH, None, 27, WHOLE[27:40]) is None
    assert check(PATH, None, 27, b"x" + WHOLE[28:40]) is not None
    assert check(PATH, None, 0, b"x" + WHOLE[1:20]) is not None
    assert check(PATH, None, 5, b"") is None


def test_a_version_is_learnt_from_the_first_whole_field_wherever_the_stretch_begins() -> None:
    for start in range(2 * LINE):
        assert version_of(WHOLE[start : start + 72], start) == 3
    assert version_of(WHOLE[26:80], 26) is None
    assert version_of(b"\0" * 200, 0) is None


def test_a_wrong_version_field_is_found_although_no_version_was_given() -> None:
    damaged = WHOLE[:26] + b"x" + WHOLE[27:5000]
    wrong = check(PATH, None, 0, damaged)
    assert wrong is not None
    assert wrong.offset == 26


@pytest.mark.parametrize(("version", "start", "end"), [(1, -1, 5), (1, 0, MOST_OFFSET + 1), (10**8, 0, 1), (-1, 0, 1)])
def test_what_a_line_cannot_hold_is_refused(version: int, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no such stretch"):
        body_slice(PATH, version, start, end)


def test_offsets_far_beyond_memory_have_content() -> None:
    far = MOST_OFFSET - 1000
    part = body_slice(PATH, 1, far, far + 1000)
    assert check(PATH, None, far, part) is None
    assert len(part) == 1000
