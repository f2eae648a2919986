"""What a playlist or manifest says of itself: live or not, how often it changes."""

import re
from typing import Final

from edge.policy.facts import Facts
from edge.words import DAYS, HOURS, MINUTES, SECONDS

__all__ = ["Facts", "read_manifest", "read_playlist"]

_TAGS: Final = re.compile(
    rb"^#EXT-X-(?:(?P<master>(?:I-FRAME-)?STREAM-INF:|MEDIA:)"
    rb"|(?P<ended>ENDLIST|PLAYLIST-TYPE:[ \t]*VOD)[ \t]*\r?$|(?P<parts>PART-INF:)"
    rb"|TARGETDURATION:[ \t]*(?P<target>[0-9]{1,6}(?:\.[0-9]{1,6})?))",
    re.MULTILINE,
)

HEAD_MOST: Final = 64 * 1024  # bytes in which a manifest's root has to begin and its tag to end
_BEFORE_ROOT: Final = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!", b">"))
_ROOT: Final = re.compile(rb"""<(?:[A-Za-z_][\w.-]{0,40}:)?MPD(?=[\s/>])((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE: Final = re.compile(rb"""(?<![\w:.-])([\w:.-]++)\s*+=\s*+(?:"([^"]*)"|'([^']*)')""")
_NUMBER: Final = rb"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_DATE, _TIME = (b"".join(b"(?:%s%c)?" % (_NUMBER, unit) for unit in units) for units in (b"YMD", b"HMS"))
_DURATION: Final = re.compile(b"P(?=.)%s(?:T(?=.)%s)?" % (_DATE, _TIME))
_YEAR: Final = 365.25 * DAYS
_UNITS: Final = (_YEAR, _YEAR / 12, DAYS, HOURS, MINUTES, SECONDS)  # of a duration's numbers, in their order


def read_playlist(body: bytes) -> Facts:
    """An HLS playlist (RFC 8216): a media playlist without EXT-X-ENDLIST is live.

    What is no playlist at all is called live too: a mistake about which the origin is soon asked again.
    """
    seen = {str(match.lastgroup): match for match in _TAGS.finditer(body)}
    if "master" in seen:
        return Facts(live=False, master=True)
    period = float(seen["target"]["target"]) if "target" in seen else None
    return Facts(live="ended" not in seen, period=period, low_latency="parts" in seen)


def read_manifest(body: bytes) -> Facts:
    """A DASH MPD: live unless its type is static, which it also is unsaid (ISO/IEC 23009-1 section 5.3.1.2).

    Only the root's tag is looked at; nothing is expanded. What has no such root is called live, as above.
    """
    head = body[:HEAD_MOST]
    root = _ROOT.match(head, _root_at(head))
    if root is None:
        return Facts(live=True)
    said = {name: double or single for name, double, single in _ATTRIBUTE.findall(root[1])}
    return Facts(
        live=said.get(b"type", b"static").strip() != b"static",
        period=duration_seconds(said.get(b"minimumUpdatePeriod", b"").strip()),
    )


def _root_at(head: bytes) -> int:
    """Where the first element begins: behind byte order mark, declarations and comments (XML section 2.8)."""
    at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while True:
        while head[at : at + 1].isspace():
            at += 1
        for opening, closing in _BEFORE_ROOT:
            if head.startswith(opening, at):
                end = head.find(closing, at + len(opening))
                at = len(head) if end < 0 else end + len(closing)
                break
        else:
            return at


def duration_seconds(duration: bytes) -> float | None:
    """An xs:duration (ISO 8601) in seconds, None for what is none."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        return None
    return sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
