"""What an object is, by its name and its type."""

import pytest

from edge.media.kinds import kind_of
from edge.media.mime import content_type_for, extension_of
from edge.words import Kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/a/master.m3u8", Kind.PLAYLIST),
        (b"/a/MASTER.M3U8", Kind.PLAYLIST),
        (b"/a/x.m3u", Kind.PLAYLIST),
        (b"/a/x.mpd", Kind.MANIFEST),
        (b"/a/1.ts", Kind.SEGMENT),
        (b"/a/seg1.m4s", Kind.SEGMENT),
        (b"/a/seg1.cmfv", Kind.SEGMENT),
        (b"/a/seg1.cmfa", Kind.SEGMENT),
        (b"/a/1.aac", Kind.SEGMENT),
        (b"/a/init.mp4", Kind.INIT),
        (b"/a/init-0.mp4", Kind.INIT),
        (b"/a/init0.m4s", Kind.INIT),
        (b"/a/video_init.cmfv", Kind.INIT),
        (b"/a/video-init-1.m4s", Kind.INIT),
        (b"/a/initial.mp4", Kind.MP4),
        (b"/init/film.mp4", Kind.MP4),
        (b"/a/init.vtt", Kind.SUBTITLE),
        (b"/a/seg.part3.m4s", Kind.PART),
        (b"/a/seg_part3.ts", Kind.PART),
        (b"/a/fileSequence1.part12.ts", Kind.PART),
        (b"/a/parts1.m4s", Kind.SEGMENT),
        (b"/a/film.part2.mp4", Kind.MP4),
        (b"/a/film.MP4", Kind.MP4),
        (b"/a/film.webm", Kind.MP4),
        (b"/a/k.key", Kind.KEY),
        (b"/a/s.vtt", Kind.SUBTITLE),
        (b"/a/s.webvtt", Kind.SUBTITLE),
        (b"/a.ts/b", Kind.OTHER),
        (b"/ts", Kind.OTHER),
        (b"/a.", Kind.OTHER),
        (b"/.ts", Kind.SEGMENT),
        (b"/a", Kind.OTHER),
        (b"/", Kind.OTHER),
        (b"*", Kind.OTHER),
        (b"", Kind.OTHER),
        (b"/a.jpg", Kind.OTHER),
    ],
)
def test_kinds_are_known_by_their_names(path: bytes, kind: Kind) -> None:
    assert kind_of(path) is kind


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"application/vnd.apple.mpegurl", Kind.PLAYLIST),
        (b"Application/X-MpegURL", Kind.PLAYLIST),
        (b"application/dash+xml ; charset=utf-8", Kind.MANIFEST),
        (b"video/mp2t", Kind.SEGMENT),
        (b"video/mp4", Kind.MP4),
        (b"text/vtt;charset=utf-8", Kind.SUBTITLE),
        (b"text/html", Kind.OTHER),
        (b"", Kind.OTHER),
        (None, Kind.OTHER),
    ],
)
def test_a_type_helps_where_the_name_says_nothing(content_type: bytes | None, kind: Kind) -> None:
    assert kind_of(b"/play", content_type) is kind


def test_a_name_is_stronger_than_a_type() -> None:
    assert kind_of(b"/a.ts", b"text/html") is Kind.SEGMENT
    assert kind_of(b"/a.m3u8", b"text/plain") is Kind.PLAYLIST


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a.m3u8", b"application/vnd.apple.mpegurl"),
        (b"/a.mpd", b"application/dash+xml"),
        (b"/a.TS", b"video/mp2t"),
        (b"/a.m4s", b"video/mp4"),
        (b"/a.cmfv", b"video/mp4"),
        (b"/a.mp4", b"video/mp4"),
        (b"/a.cmfa", b"audio/mp4"),
        (b"/a.m4a", b"audio/mp4"),
        (b"/a.aac", b"audio/aac"),
        (b"/a.vtt", b"text/vtt"),
        (b"/a.key", b"application/octet-stream"),
        (b"/a.b/ts", None),
        (b"/ts", None),
        (b"/a", None),
        (b"/a.", None),
        (b"", None),
    ],
)
def test_media_types_go_by_the_extension(path: bytes, expected: bytes | None) -> None:
    assert content_type_for(path) == expected


def test_an_extension_is_what_follows_the_last_dot_of_the_last_segment() -> None:
    assert extension_of(b"/a.b/c.D.EF") == b"ef"
    assert extension_of(b"/a.b/c") == b""
