"""W3C Trace Context: which trace a request belongs to (https://www.w3.org/TR/trace-context/)."""

import re
from dataclasses import dataclass
from typing import Final, Self

NAME: Final = b"traceparent"
STATE: Final = b"tracestate"
STATE_MOST: Final = 512  # bytes that every participant should carry on (section 3.3.1.5)
SAMPLED: Final = 1
# Version 00 ends here; a later one may go on after a further dash (section 3.2.4). ff is no version.
_PARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands: its trace, the span that it belongs to, and what that one's parent was ("" = none)."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: int = 0

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    @property
    def field(self) -> bytes:
        """`traceparent` towards who is asked next."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}".encode()

    def child(self, span_id: str) -> Self:
        """The next step of the same trace."""
        return type(self)(self.trace_id, span_id, self.span_id, self.flags & SAMPLED)


def parse_traceparent(value: bytes | None) -> Trace | None:
    """What a client's `traceparent` says; None where it is malformed, which is as good as none (section 3.2.2)."""
    if value is None or not 55 <= len(value) <= 256:
        return None
    found = _PARENT.fullmatch(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    if found[2] == _NO_TRACE or found[3] == _NO_SPAN:
        return None
    return Trace(found[2].decode(), found[3].decode(), "", int(found[4], 16))
