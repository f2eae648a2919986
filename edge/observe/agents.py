"""Which family a player's User-Agent belongs to: a dozen words that a dashboard can group by."""

import re
from typing import Final

# In this order: what embeds another one's name comes first (every browser claims to be Mozilla, Chrome claims Safari).
_FAMILIES: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("bot", r"bot\b|crawl|spider|monitor"),
        ("exoplayer", r"exoplayer|media3|androidxmedia"),
        ("avplayer", r"applecoremedia|avfoundation"),
        ("tizen", r"tizen"),
        ("webos", r"web0s|webos"),
        ("hbbtv", r"hbbtv"),
        ("vlc", r"vlc|libvlc"),
        ("ffmpeg", r"lavf|ffmpeg|mpv"),
        ("gstreamer", r"gstreamer"),
        ("kodi", r"kodi|xbmc"),
        ("tool", r"curl|wget|python|aiohttp|okhttp|go-http|wrk"),
        ("edge_browser", r"edg[ae]?/"),
        ("opera", r"opr/|opera"),
        ("yandex", r"yabrowser"),
        ("firefox", r"firefox|fxios"),
        ("chrome", r"chrome|crios|chromium"),
        ("safari", r"safari"),
    )
)


def family_of(agent: str) -> str:
    """One of a fixed set of words; "other" for what nobody here has heard of."""
    for name, pattern in _FAMILIES:
        if pattern.search(agent):
            return name
    return "other"
