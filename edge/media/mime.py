"""Media types for what an origin sends without one (CONVENTIONS: the origin's type wins)."""

from typing import Final

_TYPES: Final = {
    b"m3u8": b"application/vnd.apple.mpegurl",
    b"mpd": b"application/dash+xml",
    b"ts": b"video/mp2t",
    b"m4s": b"video/mp4",
    b"cmfv": b"video/mp4",
    b"mp4": b"video/mp4",
    b"m4v": b"video/mp4",
    b"cmfa": b"audio/mp4",
    b"m4a": b"audio/mp4",
    b"aac": b"audio/aac",
    b"vtt": b"text/vtt",
    b"key": b"application/octet-stream",
}


def content_type_for(path: bytes) -> bytes | None:
    """The media type of a path's extension, None when it says nothing."""
    return _TYPES.get(path.rpartition(b"/")[2].rpartition(b".")[2].lower())
