"""What a playlist or manifest says of itself: live or not, how often it changes."""

import re
from typing import Final

from edge.policy.facts import Facts

__all__ = ["Facts", "read_manifest", "read_playlist"]

_TAGS: Final = re.compile(
    rb"^#EXT-X-(?:(?P<master>STREAM-INF:)|(?P<vod>ENDLIST|PLAYLIST-TYPE:[ \t]*VOD)[ \t]*\r?$|(?P<parts>PART-INF:)"
    rb"|TARGETDURATION:[ \t]*(?P<target>[0-9]{1,6}(?:\.[0-9]{1,6})?))",
    re.MULTILINE,
)
_LEAST_PART: Final = b"#EXTM3U"

ROOT_WITHIN: Final = 64 * 1024  # bytes; a prolog of comments may be long, but not longer
_PROLOG: Final = re.compile(rb"<!--.*?-->|<\?.*?\?>", re.DOTALL)
_ROOT: Final = re.compile(rb"""<(?:[A-Za-z_][\w.-]{0,40}:)?MPD(?=[\s/>])((?:[^<>"']|"[^"]*"|'[^']*')*+)""")
_ATTRIBUTE: Final = r"""(?<![\w:.-]){}\s*=\s*["']\s*([^"']*?)\s*["']"""
_TYPE: Final = re.compile(_ATTRIBUTE.format("type").encode())
_PERIOD: Final = re.compile(_ATTRIBUTE.format("minimumUpdatePeriod").encode())
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_DURATION: Final = re.compile(
    r"P(?=.)(?:{0}Y)?(?:{0}M)?(?:{0}D)?(?:T(?=.)(?:{0}H)?(?:{0}M)?(?:{0}S)?)?".format(_NUMBER).encode()
)
_UNITS: Final = (365.25 * 86400, 30.4375 * 86400, 86400.0, 3600.0, 60.0, 1.0)  # seconds; nobody names months


def read_playlist(body: bytes) -> Facts:
    """An HLS playlist (RFC 8216): a media playlist without EXT-X-ENDLIST is live.

    What is no playlist at all is called live too: a mistake that is soon asked about again.
    """
    seen = {match.lastgroup or "": match for match in _TAGS.finditer(body)}
    if "master" in seen:
        return Facts(live=False, master=True)
    period = float(seen["target"]["target"]) if "target" in seen else None
    return Facts(live="vod" not in seen, period=period, low_latency="parts" in seen)


def read_manifest(body: bytes) -> Facts:
    """A DASH MPD: `type="dynamic"` is live. Only the root's tag is looked at; nothing is expanded."""
    root = _ROOT.search(_PROLOG.sub(b"", body[:ROOT_WITHIN]))
    if root is None:
        return Facts(live=True)
    kind, period = _TYPE.search(root[1]), _PERIOD.search(root[1])
    return Facts(
        live=kind is not None and kind[1] == b"dynamic",
        period=_seconds(period[1]) if period is not None else None,
    )


def _seconds(duration: bytes) -> float | None:
    """An xs:duration (ISO 8601) in seconds, None for what is none."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        return None
    return sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
