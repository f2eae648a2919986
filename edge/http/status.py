"""Status lines (RFC 9112 section 4), ready made, with the reasons of RFC 9110 section 15."""

from http import HTTPStatus
from typing import Final

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}
_LINES: Final = {code: b"HTTP/1.1 %d %s\r\n" % (code, text) for code, text in _REASONS.items()}


def reason(code: int) -> bytes:
    """The reason phrase, empty for codes that nobody has named."""
    return _REASONS.get(code, b"")


def status_line(code: int) -> bytes:
    """The whole line; the space before an empty reason belongs to the grammar."""
    return _LINES.get(code) or b"HTTP/1.1 %d \r\n" % code
