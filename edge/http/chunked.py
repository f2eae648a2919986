"""Chunked transfer coding (RFC 9112 section 7.1), read strictly: what is ambiguous smuggles requests.

Line ends are CR LF, sizes at most 15 hexadecimal digits. Extensions and trailers are read past: nobody here knows
any, and both are bounded.
"""

import re
from enum import Enum
from typing import Final

from edge.errors import BadRequest

LINE_MOST: Final = 256  # bytes of a chunk's size and its extensions
TRAILERS_MOST: Final = 8192
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*")


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    DATA_END = "data_end"
    TRAILER = "trailer"
    DONE = "done"


class ChunkedReader:
    """Fed with what comes, in pieces of any size; `done` when the last chunk and its trailers have been read."""

    __slots__ = ("_left", "_line", "_state", "_trailers")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._left = 0
        self._line = b""
        self._trailers = 0

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """(content, how many bytes of `data` belong to this body); BadRequest for what is no chunked body."""
        content = []
        at = 0
        while at < len(data) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = data[at : at + self._left]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _State.DATA_END
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or len(data)]
            at = end or len(data)
            if len(self._line) > (TRAILERS_MOST if self._state is _State.TRAILER else LINE_MOST):
                raise BadRequest("malformed chunk")
            if end:
                self._take_line()
        return b"".join(content), at

    def _take_line(self) -> None:
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise BadRequest("malformed chunk")
        line = line[:-2]
        match self._state:
            case _State.SIZE:
                match = _SIZE.fullmatch(line)
                if match is None:
                    raise BadRequest("malformed chunk")
                self._left = int(match[1], 16)
                self._state = _State.DATA if self._left else _State.TRAILER
            case _State.DATA_END:
                if line:
                    raise BadRequest("malformed chunk")
                self._state = _State.SIZE
            case _:
                self._trailers += len(line)
                if line and (_TRAILER.fullmatch(line) is None or self._trailers > TRAILERS_MOST):
                    raise BadRequest("malformed trailer")
                if not line:
                    self._state = _State.DONE
