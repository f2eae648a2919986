"""Which bytes of an object a Range request gets (RFC 9110 section 14)."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from edge.http.conditionals import if_range_passes
from edge.http.etags import parse_etag
from edge.http.multipart import MultipartPlan, plan
from edge.http.ranges import Parts, Unsatisfiable, parse_range, select
from edge.store.record import Record

_PLAIN = re.compile(rb"bytes=([0-9]{1,15})-([0-9]{0,15})").fullmatch


@dataclass(frozen=True, slots=True)
class Selection:
    """The part [start, end), or several parts, or nothing that there is."""

    start: int = 0
    end: int = 0
    total: int = 0
    several: tuple[tuple[int, int], ...] = ()
    unsatisfied: bool = False

    def multipart(self, content_type: bytes) -> MultipartPlan:
        """The body of several parts, with a boundary that no content can hold by chance."""
        return plan(self.several, self.total, content_type, secrets.token_hex(16).encode())


def select_parts(
    asked: bytes, if_range: bytes | None, record: Record, date: Callable[[], int | None]
) -> Selection | None:
    """None = the whole: the field is not understood, not honoured, or If-Range names another version.

    `date` tells when the answer was made: so a Last-Modified may be as good as a strong entity tag.
    """
    plain = _PLAIN(asked) if if_range is None else None
    if plain is not None:  # what nearly all players send, without making objects of it
        first, last = int(plain[1]), int(plain[2]) if plain[2] else record.total
        if first < record.total and first <= last:
            return Selection(first, min(last + 1, record.total), record.total)
    specs = parse_range(asked)
    if specs is None:
        return None
    if if_range is not None:
        etag = parse_etag(record.etag) if record.etag else None
        if not if_range_passes(if_range, etag, record.last_modified or None, date()):
            return None
    chosen = select(specs, record.total)
    if isinstance(chosen, Unsatisfiable):
        return Selection(total=record.total, unsatisfied=True)
    if not isinstance(chosen, Parts):
        return None
    if len(chosen.parts) == 1:
        start, end = chosen.parts[0]
        return Selection(start, end, record.total)
    return Selection(total=record.total, several=chosen.parts)
