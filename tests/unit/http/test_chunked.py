"""Chunked bodies, whole, byte by byte, and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadRequest
from edge.http.chunked import LINE_MOST, TRAILERS_MOST, ChunkedReader

GOOD = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\n", b"hello"),
    (b'A;ext="x" ; y\r\n0123456789\r\n0\r\nX: 1\r\nY:\r\n\r\n', b"0123456789"),
    (b"1\r\n\n\r\n0\r\n\r\n", b"\n"),
]
BAD = [
    b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b" 1\r\n", b"1 \r\n", b"5\nhello", b"5\r\nhelloX\r\n",
    b"5\r\nhello0\r\n", b"5\r\nhello\n", b"1" * 16 + b"\r\n", b"0\r\nbad trailer\r\n", b"0\r\n\n", b"1;\x00\r\n",
    b"1" + b";" + b"e" * LINE_MOST, b"0\r\nX: " + b"y" * TRAILERS_MOST + b"\r\n", b"0\r\n" + b"X: yyyyyyyy\r\n" * 1000,
]  # fmt: skip


@pytest.mark.parametrize(("raw", "content"), GOOD)
def test_a_body_is_read_whole_and_what_follows_is_left(raw: bytes, content: bytes) -> None:
    reader = ChunkedReader()
    assert reader.feed(raw + b"GET /") == (content, len(raw))
    assert reader.done
    assert reader.feed(b"more") == (b"", 0)


@given(st.sampled_from(GOOD), st.lists(st.integers(1, 7), min_size=60, max_size=60))
def test_how_it_is_cut_does_not_matter(case: tuple[bytes, bytes], cuts: list[int]) -> None:
    raw, content = case
    reader, got, at = ChunkedReader(), b"", 0
    for cut in cuts:
        piece, used = reader.feed(raw[at : at + cut])
        got += piece
        at += used
    assert (got, reader.done) == (content, True)


def feed_slowly(reader: ChunkedReader, raw: bytes) -> None:
    for at in range(len(raw)):
        reader.feed(raw[at : at + 1])


@pytest.mark.parametrize("raw", BAD)
def test_what_is_ambiguous_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        ChunkedReader().feed(raw)
    with pytest.raises(BadRequest):
        feed_slowly(ChunkedReader(), raw)


def test_half_a_body_is_not_done() -> None:
    for raw, _ in GOOD:
        reader = ChunkedReader()
        reader.feed(raw[:-1])
        assert not reader.done
