"""multipart/byteranges (RFC 9110 section 14.6): its length known before the first byte is sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.http.content_range import format_content_range


@dataclass(frozen=True, slots=True)
class MultipartPlan:
    """Literal bytes and half-open stretches of the object, in the order in which they are sent."""

    content_length: int
    boundary: bytes
    pieces: tuple[bytes | tuple[int, int], ...]


def plan(parts: Sequence[tuple[int, int]], total: int, content_type: bytes, boundary: bytes) -> MultipartPlan:
    """Lay out the parts of a multipart answer; `boundary` is in no content (RFC 2046 section 5.1.1)."""
    pieces: list[bytes | tuple[int, int]] = []
    length = 0
    for number, (start, end) in enumerate(parts):
        lead = b"%s--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n" % (
            b"\r\n" if number else b"",
            boundary,
            content_type,
            format_content_range(start, end, total),
        )
        pieces += [lead, (start, end)]
        length += len(lead) + end - start
    tail = b"\r\n--%s--\r\n" % boundary
    return MultipartPlan(length + len(tail), boundary, (*pieces, tail))
