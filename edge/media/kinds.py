"""Recognising what an object is to a player."""

import re
from typing import Final

from edge.media.mime import extension_of
from edge.words import Kind

_BY_EXTENSION: Final = {
    b"m3u8": Kind.PLAYLIST,
    b"m3u": Kind.PLAYLIST,
    b"mpd": Kind.MANIFEST,
    b"ts": Kind.SEGMENT,
    b"m4s": Kind.SEGMENT,
    b"cmfv": Kind.SEGMENT,
    b"cmfa": Kind.SEGMENT,
    b"cmft": Kind.SEGMENT,
    b"aac": Kind.SEGMENT,
    b"mp4": Kind.MP4,
    b"m4v": Kind.MP4,
    b"m4a": Kind.MP4,
    b"mov": Kind.MP4,
    b"webm": Kind.MP4,
    b"mkv": Kind.MP4,
    b"key": Kind.KEY,
    b"vtt": Kind.SUBTITLE,
    b"webvtt": Kind.SUBTITLE,
    b"srt": Kind.SUBTITLE,
    b"ttml": Kind.SUBTITLE,
}
_BY_TYPE: Final = {
    b"application/vnd.apple.mpegurl": Kind.PLAYLIST,
    b"application/x-mpegurl": Kind.PLAYLIST,
    b"audio/mpegurl": Kind.PLAYLIST,
    b"audio/x-mpegurl": Kind.PLAYLIST,
    b"application/dash+xml": Kind.MANIFEST,
    b"video/mp2t": Kind.SEGMENT,
    b"video/iso.segment": Kind.SEGMENT,
    b"video/mp4": Kind.MP4,
    b"audio/mp4": Kind.MP4,
    b"video/webm": Kind.MP4,
    b"text/vtt": Kind.SUBTITLE,
}
_INIT: Final = re.compile(rb"(?:^|[/._-])init(?:[._-]|$|\d)", re.IGNORECASE)
_PART: Final = re.compile(rb"\.part\d*\.|[._-]part[._-]?\d+\.", re.IGNORECASE)


def kind_of(path: bytes, content_type: bytes | None = None) -> Kind:
    """By the path's extension first, by the media type where the path says nothing.

    Parts are told apart by name among segments only: `film.part2.mp4` is half a film, not a fraction of a
    second.
    """
    file = path.rpartition(b"/")[2]
    found = _BY_EXTENSION.get(extension_of(path))
    if found in (Kind.SEGMENT, Kind.MP4) and _INIT.search(file):
        return Kind.INIT
    if found is Kind.SEGMENT and _PART.search(file):
        return Kind.PART
    if found is None and content_type is not None:
        found = _BY_TYPE.get(content_type.partition(b";")[0].strip(b" \t").lower())
    return found or Kind.OTHER
