"""What a playlist or manifest says of itself: live or not, how often it changes."""

import re
from dataclasses import dataclass
from typing import Final

_TARGET: Final = re.compile(rb"^#EXT-X-TARGETDURATION:\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.MULTILINE)
_ROOT: Final = re.compile(rb"<(?:[A-Za-z0-9]+:)?MPD\b([^>]*)>", re.DOTALL)
_TYPE: Final = re.compile(rb"\btype\s*=\s*[\"']([a-z]+)[\"']")
_PERIOD: Final = re.compile(
    rb"\bminimumUpdatePeriod\s*=\s*[\"']PT(?:(\d{1,4})M)?(?:(\d{1,6}(?:\.\d{1,6})?)S)?[\"']"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """`period` = seconds after which a live list has changed, if it says so; `master` = it lists renditions."""

    live: bool
    period: float | None = None
    master: bool = False


def read_playlist(body: bytes) -> Facts:
    """An HLS playlist (RFC 8216): a media playlist without EXT-X-ENDLIST is live."""
    if b"#EXT-X-STREAM-INF" in body:
        return Facts(live=False, master=True)
    target = _TARGET.search(body)
    ended = b"#EXT-X-ENDLIST" in body or b"#EXT-X-PLAYLIST-TYPE:VOD" in body
    return Facts(live=not ended, period=float(target[1]) if target else None)


def read_manifest(body: bytes) -> Facts:
    """A DASH MPD: `type="dynamic"` is live. Only the root tag is looked at; nothing is expanded."""
    root = _ROOT.search(body)
    if root is None:
        return Facts(live=True)
    kind = _TYPE.search(root[1])
    live = kind is not None and kind[1] == b"dynamic"
    period = _PERIOD.search(root[1])
    seconds = float(period[1] or 0) * 60 + float(period[2] or 0) if period else None
    return Facts(live=live, period=seconds)
