"""The ways in which an origin can break the wire, as the table of faults in the design has them, and more. Pure.

A fault turns a right answer into a script: steps that the faulty origin carries out on its socket.
`at` counts bytes of the body; without it the middle is meant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge.demo.answers import Answer


class Fault(StrEnum):
    """What goes wrong; the word that a query says."""

    REFUSE = "refuse"  # the connection closes without an answer
    SHORT = "short"  # closes cleanly after `at` bytes, less than promised
    RESET = "reset"  # the same with a TCP reset
    STALL = "stall"  # after `at` bytes nothing more, the connection stays
    SURPLUS = "surplus"  # bytes after the body, with it
    SURPLUS_LATE = "surplus-late"  # the same a moment later
    UNASKED = "unasked"  # a whole second answer that nobody asked for
    FLIP = "flip"  # one bit of the byte at `at` is wrong: only the content tells
    RANGE_START = "range-start"  # Content-Range names a start one byte later
    RANGE_END = "range-end"  # ... an end one byte later
    RANGE_TOTAL = "range-total"  # ... a total one byte longer
    RANGE_UNIT = "range-unit"  # ... another unit
    RANGE_MISSING = "range-missing"  # 206 without Content-Range
    PART_UNASKED = "part-unasked"  # 206 with the first half for a request without Range
    PART_LENGTH = "part-length"  # Content-Length one byte less than Content-Range says
    PART_ENCODED = "part-encoded"  # Content-Encoding on a 206
    MULTIPART = "multipart"  # multipart/byteranges for one range
    TWO_LENGTHS = "two-lengths"  # two Content-Lengths that differ
    LENGTH_AND_CHUNKED = "length-and-chunked"  # both framings at once
    BAD_HEAD = "bad-head"  # a status line that is none
    BAD_FIELD = "bad-field"  # a field without a colon
    HUGE_HEAD = "huge-head"  # a field of a mebibyte
    SLOW_HEAD = "slow-head"  # one byte of the head at a time
    BAD_CHUNK = "bad-chunk"  # chunked, with a size that is no number at `at`
    CHUNK_SHORT = "chunk-short"  # chunked, closed at `at` before the last chunk
    NO_LENGTH = "no-length"  # the body ends with the connection
    NO_LENGTH_SHORT = "no-length-short"  # the same, broken at `at`: nobody can tell
    ETAG_CHANGES = "etag-changes"  # another ETag in each answer
    ETAG_TWICE = "etag-twice"  # two ETags that differ
    ETAG_BAD = "etag-bad"  # an ETag without quotes
    NOT_MODIFIED = "not-modified"  # 304 to whatever was asked
    INFORMATIONAL = "informational"  # 103 and 100 before a right answer
    TRAILERS = "trailers"  # chunked, right, with trailers


class End(StrEnum):
    """How a script ends the connection; KEEP = it does not."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes [start, end) of the answer's body, `framing` as chunks; `flip` names a byte whose lowest bit is wrong."""

    start: int
    end: int
    chunked: bool = False
    flip: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A moment, so that what follows comes in another packet; `seconds`."""

    seconds: float


Step = Send | Body | Pause
PAUSE: Final = 0.05
EXTRA: Final = b"bytes that nobody asked for\r\n"


@dataclass(frozen=True, slots=True)
class Script:
    """What goes onto the wire, and how it ends."""

    steps: tuple[Step, ...]
    end: End = End.KEEP


def right(answer: "Answer", method: str, *, chunked: bool = False) -> Script:
    """The script of a correct answer."""
    framing = [("Transfer-Encoding", "chunked")] if chunked else [("Content-Length", str(answer.length))]
    if answer.status in (204, 304):
        framing = []
    head = Send(head_of(answer.status, [*answer.fields, *framing]))
    if method == "HEAD" or not framing:
        return Script((head,))
    if not chunked:
        return Script((head, Body(0, answer.length)))
    return Script((head, Body(0, answer.length, chunked=True), Send(b"0\r\n\r\n")))


def broken(answer: "Answer", method: str, fault: Fault, at: int | None, number: int) -> Script:
    """The script of an answer with a fault; `number` counts the path's requests.

    A fault that the answer has no place for (of a body in a HEAD, of a part in a whole) leaves it right.
    """
    length = answer.length
    bodiless = method == "HEAD" or length == 0
    if (
        (bodiless and fault not in _HEAD_FAULTS)
        or (answer.status != 206 and fault in _PART_FAULTS)
        or (answer.status != 200 and fault is Fault.PART_UNASKED)
    ):
        return right(answer, method)
    return _SCRIPTS[fault](Broken(answer, length // 2 if at is None else min(at, length), number))


def head_of(status: int, fields: list[tuple[str, str]]) -> bytes:
    """A response head; the phrase is left to the status."""
    lines = [f"HTTP/1.1 {status} As-Decided", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True, slots=True)
class Broken:
    """One answer to be broken: `at` is within the body."""

    answer: "Answer"
    at: int
    number: int

    @property
    def length(self) -> int:
        return self.answer.length

    def head(self, *more: tuple[str, str], status: int | None = None, without: str = "", length: int = -1) -> Send:
        """The head with Content-Length, less the field `without` (lower case), and `more`; length -2 = none."""
        fields = [field for field in self.answer.fields if field[0].lower() != without]
        if length != NONE:
            fields.append(("Content-Length", str(self.length if length == -1 else length)))
        return Send(head_of(self.answer.status if status is None else status, [*fields, *more]))

    def whole(self, head: Send, end: End = End.KEEP) -> Script:
        return Script((head, Body(0, self.length)), end)

    def until(self, end: End) -> Script:
        return Script((self.head(), Body(0, self.at)), end)

    def chunked(self, upto: int, last: bytes, end: End) -> Script:
        head = self.head(("Transfer-Encoding", "chunked"), length=NONE)
        return Script((head, Body(0, upto, chunked=True), Send(last)), end)

    def ranged(self, text: str) -> Script:
        """The right part with another Content-Range."""
        return self.whole(self.head(("Content-Range", text), without="content-range"))


NONE: Final = -2


def _multipart(it: Broken) -> Script:
    edge = b"--THE_BOUNDARY"
    lead = edge + f"\r\nContent-Range: bytes {it.answer.start}-{it.answer.end - 1}/{it.answer.size}\r\n\r\n".encode()
    tail = b"\r\n" + edge + b"--\r\n"
    kind = ("Content-Type", "multipart/byteranges; boundary=THE_BOUNDARY")
    fields = [field for field in it.answer.fields if field[0].lower() not in ("content-range", "content-type")]
    fields += [kind, ("Content-Length", str(len(lead) + it.length + len(tail)))]
    return Script((Send(head_of(206, fields)), Send(lead), Body(0, it.length), Send(tail)))


def _part_unasked(it: Broken) -> Script:
    half = max(1, it.length // 2)
    field = ("Content-Range", f"bytes 0-{half - 1}/{it.length}")
    return Script((it.head(field, status=206, without="content-range", length=half), Body(0, half)))


def _slow_head(it: Broken) -> Script:
    steps: list[Step] = []
    for byte in it.head().data:
        steps += [Send(bytes((byte,))), Pause(0.002)]
    return Script((*steps, Body(0, it.length)))


def _two_tags(it: Broken) -> Script:
    return it.whole(it.head(("ETag", '"first"'), ("ETag", '"second"'), without="etag"))


def _unasked(it: Broken) -> Script:
    second = head_of(200, [("Content-Type", "text/plain"), ("Content-Length", str(len(EXTRA)))]) + EXTRA
    return Script((it.head(), Body(0, it.length), Send(second)))


def _informational(it: Broken) -> Script:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + b"HTTP/1.1 100 Continue\r\n\r\n"
    return Script((Send(early), it.head(), Body(0, it.length)))


_SCRIPTS: Final[dict[Fault, Callable[[Broken], Script]]] = {
    Fault.REFUSE: lambda it: Script((), End.CLOSE),
    Fault.SHORT: lambda it: it.until(End.CLOSE),
    Fault.RESET: lambda it: it.until(End.RESET),
    Fault.STALL: lambda it: it.until(End.STALL),
    Fault.SURPLUS: lambda it: Script((it.head(), Body(0, it.length), Send(EXTRA))),
    Fault.SURPLUS_LATE: lambda it: Script((it.head(), Body(0, it.length), Pause(PAUSE), Send(EXTRA))),
    Fault.UNASKED: _unasked,
    Fault.FLIP: lambda it: Script((it.head(), Body(0, it.length, flip=min(it.at, it.length - 1)))),
    Fault.RANGE_START: lambda it: it.ranged(f"bytes {it.answer.start + 1}-{it.answer.end}/{it.answer.size}"),
    Fault.RANGE_END: lambda it: it.ranged(f"bytes {it.answer.start}-{it.answer.end}/{it.answer.size}"),
    Fault.RANGE_TOTAL: lambda it: it.ranged(f"bytes {it.answer.start}-{it.answer.end - 1}/{it.answer.size + 1}"),
    Fault.RANGE_UNIT: lambda it: it.ranged(f"lines {it.answer.start}-{it.answer.end - 1}/{it.answer.size}"),
    Fault.RANGE_MISSING: lambda it: it.whole(it.head(without="content-range")),
    Fault.PART_UNASKED: _part_unasked,
    Fault.PART_LENGTH: lambda it: Script((it.head(length=it.length - 1), Body(0, it.length - 1))),
    Fault.PART_ENCODED: lambda it: it.whole(it.head(("Content-Encoding", "gzip"))),
    Fault.MULTIPART: _multipart,
    Fault.TWO_LENGTHS: lambda it: it.whole(it.head(("Content-Length", str(it.length + 1)))),
    Fault.LENGTH_AND_CHUNKED: lambda it: Script(
        (it.head(("Transfer-Encoding", "chunked")), Body(0, it.length, chunked=True), Send(b"0\r\n\r\n"))
    ),
    Fault.BAD_HEAD: lambda it: Script((Send(b"HTTP/1.1 two hundred\r\n\r\n"),), End.CLOSE),
    Fault.BAD_FIELD: lambda it: Script(
        (Send(it.head().data.replace(b"\r\n", b"\r\nno colon here\r\n", 1)), Body(0, it.length))
    ),
    Fault.HUGE_HEAD: lambda it: it.whole(it.head(("X-Huge", "x" * 1024 * 1024))),
    Fault.SLOW_HEAD: _slow_head,
    Fault.BAD_CHUNK: lambda it: it.chunked(it.at, b"ZZ\r\nnot a chunk\r\n", End.CLOSE),
    Fault.CHUNK_SHORT: lambda it: it.chunked(it.at, b"", End.CLOSE),
    Fault.NO_LENGTH: lambda it: it.whole(it.head(("Connection", "close"), length=NONE), End.CLOSE),
    Fault.NO_LENGTH_SHORT: lambda it: Script(
        (it.head(("Connection", "close"), length=NONE), Body(0, it.at)), End.CLOSE
    ),
    Fault.ETAG_CHANGES: lambda it: it.whole(it.head(("ETag", f'"{it.number}-of-many"'), without="etag")),
    Fault.ETAG_TWICE: _two_tags,
    Fault.ETAG_BAD: lambda it: it.whole(it.head(("ETag", "no-quotes"), without="etag")),
    Fault.NOT_MODIFIED: lambda it: Script((it.head(status=304, length=NONE),)),
    Fault.INFORMATIONAL: _informational,
    Fault.TRAILERS: lambda it: it.chunked(it.length, b"0\r\nX-Checksum: none\r\nX-More: 1\r\n\r\n", End.KEEP),
}
_HEAD_FAULTS: Final = frozenset({Fault.REFUSE, Fault.BAD_HEAD, Fault.NOT_MODIFIED})  # without any body
_PART_FAULTS: Final = frozenset(
    {
        Fault.RANGE_START,
        Fault.RANGE_END,
        Fault.RANGE_TOTAL,
        Fault.RANGE_UNIT,
        Fault.RANGE_MISSING,
        Fault.PART_LENGTH,
        Fault.PART_ENCODED,
        Fault.MULTIPART,
    }
)
