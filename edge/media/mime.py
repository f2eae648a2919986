"""Media types for what an origin sends without one; a type that the origin does send wins."""

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
    b"webvtt": b"text/vtt",
    b"webm": b"video/webm",
    b"key": b"application/octet-stream",
}


def extension_of(path: bytes) -> bytes:
    """What follows the last dot of the last segment, in lower case; b"" where there is none."""
    _, dot, extension = path.rpartition(b"/")[2].rpartition(b".")
    return extension.lower() if dot else b""


def content_type_for(path: bytes) -> bytes | None:
    """The media type of a path's extension, None when it says nothing."""
    return _TYPES.get(extension_of(path))
