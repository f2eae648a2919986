"""What playlists and manifests refer to."""

import pytest

from edge.media.references import in_manifest, in_playlist
from edge.media.upcoming_dash import after_in_manifest

BASE = "http://films.example/t/list.m3u8?x=1"


def test_a_playlist_names_segments_maps_keys_and_renditions_once_each() -> None:
    body = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="audio/ru.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1,mp4a"
low/list.m3u8
#EXT-X-KEY:METHOD=AES-128,URI="https://keys.example/k1",IV=0x1
#EXT-X-KEY:METHOD=AES-128,URI="data:text/plain;base64,AAAA"
#EXT-X-MAP:URI="init.mp4",BYTERANGE="100@0"
#EXTINF:4,a title, with, commas URI
/abs/seg-1.m4s?t=1\r
seg-2.m4s
seg-2.m4s
#EXT-X-PART:DURATION=1,URI="part-3.1.m4s"
# a comment
"""
    assert in_playlist(body, BASE) == [
        "http://films.example/t/audio/ru.m3u8",
        "http://films.example/t/low/list.m3u8",
        "https://keys.example/k1",
        "http://films.example/t/init.mp4",
        "http://films.example/abs/seg-1.m4s?t=1",
        "http://films.example/t/seg-2.m4s",
        "http://films.example/t/part-3.1.m4s",
    ]


def mpd(inner: str, more: str = 'mediaPresentationDuration="PT10S"') -> bytes:
    return f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {more}><Period>{inner}</Period></MPD>'.encode()


def test_a_template_by_number_is_expanded_to_the_presentation_s_end() -> None:
    body = mpd(
        '<AdaptationSet><SegmentTemplate timescale="10" duration="40" startNumber="5" media="$RepresentationID$/'
        '$Number%03d$.m4s" initialization="$RepresentationID$/init$$.mp4"/><Representation id="v1" bandwidth="1"/>'
        '<Representation id="v2"><BaseURL>other/</BaseURL></Representation></AdaptationSet>'
    )
    assert in_manifest(body, "http://a/b/m.mpd") == [
        "http://a/b/v1/init$.mp4",
        *[f"http://a/b/v1/00{n}.m4s" for n in (5, 6, 7)],
        "http://a/b/other/v2/init$.mp4",
        *[f"http://a/b/other/v2/00{n}.m4s" for n in (5, 6, 7)],
    ]


def test_a_timeline_gives_times_and_repeats_until_the_next_entry_or_the_end() -> None:
    body = mpd(
        '<AdaptationSet><Representation id="v" bandwidth="7"><SegmentTemplate media="$Bandwidth$-$Time$.m4s">'
        "<SegmentTimeline>"
        '<S t="0" d="2" r="1"/><S d="1"/><S t="6" d="2" r="-1"/></SegmentTimeline></SegmentTemplate></Representation>'
        "</AdaptationSet>"
    )
    assert in_manifest(body, "http://a/m.mpd") == [f"http://a/7-{time}.m4s" for time in (0, 2, 4, 6, 8)]


def test_lists_and_whole_files_are_named() -> None:
    body = mpd(
        '<AdaptationSet><Representation id="1"><SegmentList><Initialization sourceURL="i.mp4"/>'
        '<SegmentURL media="1.m4s"/>'
        '</SegmentList></Representation><Representation id="2">'
        "<BaseURL>film.mp4</BaseURL><SegmentBase/></Representation>"
        "</AdaptationSet>"
    )
    assert in_manifest(body, "http://a/m.mpd") == ["http://a/i.mp4", "http://a/1.m4s", "http://a/film.mp4"]


def test_what_could_be_expanded_or_cannot_be_read_names_nothing() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><MPD><BaseURL>&a;</BaseURL></MPD>'
    for body in (bomb, b"", b"<MPD", b"\xff\xfe", mpd("<AdaptationSet/>", 'mediaPresentationDuration="nonsense"')):
        assert in_manifest(body, "http://a/m.mpd") == []


def test_an_endless_timeline_is_bounded() -> None:
    body = mpd(
        '<AdaptationSet><Representation id="v"><SegmentTemplate media="$Time$.m4s"><SegmentTimeline>'
        '<S t="0" d="1" r="999999999"/></SegmentTimeline></SegmentTemplate></Representation></AdaptationSet>'
    )
    assert len(in_manifest(body, "http://a/m.mpd")) == 200_000


def manifest(attributes: str = 'duration="1"', inner: str = "", duration: str = "PT3S") -> bytes:
    return (
        f'<MPD mediaPresentationDuration="{duration}"><Period><AdaptationSet>'
        f'<SegmentTemplate media="s$Number$.m4s" {attributes}>{inner}</SegmentTemplate>'
        '<Representation id="1"/></AdaptationSet></Period></MPD>'
    ).encode()


HUGE = "9" * 400


@pytest.mark.parametrize(
    "body",
    [
        manifest(f'duration="1" timescale="{HUGE}"'),
        manifest(f'duration="{HUGE}"'),
        manifest(f'duration="1" startNumber="{HUGE}"'),
        manifest("", f'<SegmentTimeline><S t="0" d="{HUGE}"/><S d="1"/></SegmentTimeline>'),
        manifest("", '<SegmentTimeline><S t="0,5" d="1;2" r=","/><S d="1"/></SegmentTimeline>'),
        b"<MPD>" + b"<Period>" * 3000 + b"</Period>" * 3000 + b"</MPD>",
        b'<?xml version="1.0" encoding="nobody-knows"?><MPD/>',
        b'<?xml version="1.0" encoding="utf-7"?><MPD/>',
        b"<MPD>",
    ],
)
def test_no_manifest_raises_whatever_it_says(body: bytes) -> None:
    in_manifest(body, "http://h/f/m.mpd")
    for number in range(3):
        after_in_manifest(body, lambda said: f"/f/{said}".encode(), b"/f/s%d.m4s" % number, 0, 2)


def test_a_document_type_is_not_read_in_any_encoding() -> None:
    text = (
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE MPD [<!ENTITY a "b">]><MPD><Period><AdaptationSet>'
        '<Representation id="1"><BaseURL>&a;.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
    )
    assert in_manifest(text.encode("utf-16"), "http://h/m.mpd") == []
    assert in_manifest(text.replace("utf-16", "utf-8").encode(), "http://h/m.mpd") == []
