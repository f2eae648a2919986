"""Content-Range and multipart/byteranges."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.content_range import (
    ContentRange,
    format_content_range,
    format_unsatisfied,
    parse_content_range,
    parse_unsatisfied,
)
from edge.http.multipart import plan


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes 0-9/10", ContentRange(0, 10, 10)),
        (b"bytes 5-5/10", ContentRange(5, 6, 10)),
        (b"bytes 0-9/*", ContentRange(0, 10, None)),
        (b"BYTES 0-9/10", ContentRange(0, 10, 10)),
        (b" bytes 0-9/10\t", ContentRange(0, 10, 10)),
    ],
)
def test_an_interval_is_read(value: bytes, expected: ContentRange) -> None:
    assert parse_content_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes 9-0/10",
        b"bytes 0-10/10",
        b"bytes 0-0/0",
        b"0-9/10",
        b"bytes 0-9",
        b"bytes=0-9/10",
        b"bytes  0-9/10",
        b"bytes 0 - 9/10",
        b"bytes */10",
        b"bytes */*",
        b"bytes a-b/c",
        b"bytes -1-9/10",
        b"bytes 0-9/10, bytes 10-19/20",
        b"items 0-9/10",
        b"bytes 0-" + b"9" * 19 + b"/*",
        "bytes \u0660-9/10".encode(),
    ],
)
def test_what_is_malformed_or_contradicts_itself_is_none(value: bytes) -> None:
    assert parse_content_range(value) is None


def test_the_length_in_a_416_is_read() -> None:
    assert parse_unsatisfied(b"bytes */10") == 10
    assert parse_unsatisfied(format_unsatisfied(0)) == 0
    assert parse_unsatisfied(b"bytes 0-9/10") is None
    assert parse_unsatisfied(b"bytes */*") is None
    assert parse_unsatisfied(b"bytes */-1") is None


@given(st.integers(0, 1 << 50), st.integers(1, 1 << 50), st.integers(0, 1 << 50))
def test_what_is_written_is_read_again(start: int, length: int, more: int) -> None:
    found = parse_content_range(format_content_range(start, start + length, start + length + more))
    assert found == ContentRange(start, start + length, start + length + more)


BODY = bytes(range(256)) * 4


def written(parts: list[tuple[int, int]]) -> tuple[int, bytes]:
    made = plan(parts, len(BODY), b"video/mp4", b"XX")
    body = b"".join(piece if isinstance(piece, bytes) else BODY[slice(*piece)] for piece in made.pieces)
    return made.content_length, body


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 24)).map(lambda p: (p[0], sum(p))), min_size=2))
def test_a_multipart_plan_knows_its_length(parts: list[tuple[int, int]]) -> None:
    length, body = written(parts)
    assert length == len(body)


def test_a_mail_reader_understands_the_parts() -> None:
    parts = [(0, 10), (60, 65), (1000, 1024)]
    _, body = written(parts)
    text = b'Content-Type: multipart/byteranges; boundary="XX"\r\n\r\n' + body
    message = email.message_from_bytes(text, policy=email.policy.HTTP)
    assert not message.defects
    for part, (start, end) in zip(message.iter_parts(), parts, strict=True):
        assert part.get_content_type() == "video/mp4"
        assert part["Content-Range"] == f"bytes {start}-{end - 1}/1024"
        assert part.get_payload(decode=True) == BODY[start:end]


def test_literal_bytes_and_stretches_alternate() -> None:
    made = plan([(0, 1), (5, 6)], 10, b"a/b", b"XX")
    assert [type(piece) for piece in made.pieces] == [bytes, tuple, bytes, tuple, bytes]
    assert made.boundary == b"XX"
