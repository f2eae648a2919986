"""What follows a segment: by the player's word, by the list that names it, by its number; never out of the site."""

import pytest

from edge.media.upcoming import (
    SAID_MOST,
    Upcoming,
    after_in_playlist,
    after_number,
    at_site,
    directory,
    said,
    start_of,
)
from edge.media.upcoming_dash import after_in_manifest

BASE = b"/t/v1/list.m3u8"
HOSTS = frozenset({"films.example"})


def to(reference: str, base: bytes = BASE) -> bytes | None:
    return at_site(reference, base, HOSTS)


def mpd(reference: str) -> bytes | None:
    return at_site(reference, b"/t/film.mpd", HOSTS)


PLAYLIST = b"""#EXTM3U
#EXT-X-TARGETDURATION:6
#EXT-X-MAP:URI="init-a.mp4"
#EXTINF:5.5,a title, with commas
seg-1.m4s
#EXTINF:6,
seg-2.m4s?x=1\r
#EXT-X-GAP
#EXTINF:6,
seg-3.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="/ads/init-b.mp4",BYTERANGE="720@0"
#EXTINF:2,
http://films.example/ads/1.m4s
#EXTINF:6,
https://elsewhere.example/5.m4s
#EXTINF:4,
seg-6.m4s
#EXT-X-ENDLIST
"""


def test_a_playlist_tells_the_next_ones_their_durations_and_the_init_section_that_they_need() -> None:
    assert after_in_playlist(PLAYLIST, to, b"/t/v1/seg-1.m4s", 0, 2) == [
        Upcoming(b"/t/v1/init-a.mp4", 0, -1, 6.0, init=True),
        Upcoming(b"/t/v1/seg-2.m4s?x=1", 0, -1, 6.0),
        Upcoming(b"/ads/init-b.mp4", 0, 720, 2.0, init=True),
        Upcoming(b"/ads/1.m4s", 0, -1, 2.0),
    ]


def test_what_a_playlist_leads_elsewhere_for_is_left_out() -> None:
    assert after_in_playlist(PLAYLIST, to, b"/ads/1.m4s", 0, 2) == [
        Upcoming(b"/ads/init-b.mp4", 0, 720, 6.0, init=True),
        Upcoming(b"/t/v1/seg-6.m4s", 0, -1, 4.0),
    ]


def test_after_the_last_one_nothing_follows_and_what_is_not_named_is_not_known() -> None:
    assert after_in_playlist(PLAYLIST, to, b"/t/v1/seg-6.m4s", 0, 2) == []
    for target in (b"/t/v1/seg-7.m4s", b"/t/v2/seg-1.m4s", b"/t/v1/seg-2.m4s", b"/t/v1/list.m3u8", b"/", b"/t/v1/"):
        assert after_in_playlist(PLAYLIST, to, target, 0, 2) is None
    assert after_in_playlist(b"", to, b"/t/v1/seg-1.m4s", 0, 2) is None
    assert after_in_playlist(b"seg-1.m4s \xff\xfe junk", to, b"/t/v1/seg-1.m4s", 0, 2) is None


BYTE_RANGES = b"""#EXTM3U
#EXT-X-MAP:URI="film.mp4",BYTERANGE="900@0"
#EXTINF:6,
#EXT-X-BYTERANGE:1000@900
film.mp4
#EXTINF:6,
#EXT-X-BYTERANGE:2000
film.mp4
#EXTINF:6,
#EXT-X-BYTERANGE:500@8000
film.mp4
#EXTINF:6,
#EXT-X-BYTERANGE:1
film.mp4
"""


def test_stretches_of_one_file_follow_each_other_by_their_offsets_said_or_not() -> None:
    def after(start: int) -> list[tuple[int, int]] | None:
        found = after_in_playlist(BYTE_RANGES, to, b"/t/v1/film.mp4", start, 2)
        return None if found is None else [(next_.start, next_.end) for next_ in found]

    assert after(900) == [(0, 900), (1900, 3900), (8000, 8500)]
    assert after(1900) == [(0, 900), (8000, 8500), (8500, 8501)]
    assert after(8500) == []
    assert after(901) is None


def manifest(inner: str, more: str = 'mediaPresentationDuration="PT20S"') -> bytes:
    return (
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {more}><BaseURL>dash/</BaseURL><Period>{inner}</Period></MPD>'
    ).encode()


NUMBERS = manifest(
    '<AdaptationSet><SegmentTemplate timescale="10" duration="40" startNumber="5" media="$RepresentationID$/'
    '$Number%03d$.m4s" initialization="$RepresentationID$/init.mp4"/><Representation id="v1" bandwidth="1"/>'
    '<Representation id="v2"/></AdaptationSet>'
)


def test_a_template_by_number_goes_on_in_the_same_representation_up_to_its_end() -> None:
    assert after_in_manifest(NUMBERS, mpd, b"/t/dash/v2/006.m4s", 0, 2) == [
        Upcoming(b"/t/dash/v2/init.mp4", init=True),
        Upcoming(b"/t/dash/v2/007.m4s", seconds=4.0),
        Upcoming(b"/t/dash/v2/008.m4s", seconds=4.0),
    ]
    assert after_in_manifest(NUMBERS, mpd, b"/t/dash/v1/009.m4s", 0, 2) == []
    for target in (b"/t/dash/v1/010.m4s", b"/t/dash/v1/004.m4s", b"/t/dash/v3/006.m4s", b"/t/v1/006.m4s"):
        assert after_in_manifest(NUMBERS, mpd, target, 0, 2) is None


TIMES = manifest(
    '<AdaptationSet><Representation id="v" bandwidth="7"><SegmentTemplate media="$Bandwidth$-$Time$.m4s" timescale="2"'
    ' initialization="i.mp4"><SegmentTimeline><S t="10" d="2" r="1"/><S d="6"/><S t="30" d="2"/></SegmentTimeline>'
    "</SegmentTemplate></Representation></AdaptationSet>"
)


def test_a_timeline_tells_the_next_times() -> None:
    found = after_in_manifest(TIMES, mpd, b"/t/dash/7-12.m4s", 0, 3)
    assert found is not None
    assert [next_.target for next_ in found] == [
        b"/t/dash/i.mp4",
        b"/t/dash/7-14.m4s",
        b"/t/dash/7-30.m4s",
    ]
    assert after_in_manifest(TIMES, mpd, b"/t/dash/7-13.m4s", 0, 2) is None


def test_of_a_live_manifest_without_a_timeline_no_number_is_guessed() -> None:
    live = NUMBERS.replace(b'mediaPresentationDuration="PT20S"', b'type="dynamic"')
    assert after_in_manifest(live, mpd, b"/t/dash/v2/006.m4s", 0, 2) is None


def test_a_segment_list_names_files_or_stretches() -> None:
    body = manifest(
        '<AdaptationSet><Representation id="1"><SegmentList duration="8" timescale="2">'
        '<Initialization sourceURL="i.mp4"/><SegmentURL media="f.mp4" mediaRange="0-99"/>'
        '<SegmentURL media="f.mp4" mediaRange="100-299"/><SegmentURL media="2.m4s"/></SegmentList></Representation>'
        "</AdaptationSet>"
    )
    assert after_in_manifest(body, mpd, b"/t/dash/f.mp4", 0, 2) == [
        Upcoming(b"/t/dash/i.mp4", init=True),
        Upcoming(b"/t/dash/f.mp4", 100, 300, 4.0),
        Upcoming(b"/t/dash/2.m4s", 0, -1, 4.0),
    ]
    assert after_in_manifest(body, mpd, b"/t/dash/2.m4s", 0, 2) == []
    assert after_in_manifest(body, mpd, b"/t/dash/f.mp4", 50, 2) is None


@pytest.mark.parametrize("body", [b"", b"<MPD", b"\xff", b"<!DOCTYPE x><MPD/>", manifest("<AdaptationSet/>")])
def test_what_cannot_be_read_names_nothing(body: bytes) -> None:
    assert after_in_manifest(body, mpd, b"/t/dash/1.m4s", 0, 2) is None


def test_a_manifest_that_leads_to_another_server_names_nothing() -> None:
    body = NUMBERS.replace(b"dash/<", b"http://elsewhere.example/dash/<")
    assert after_in_manifest(body, mpd, b"/dash/v1/006.m4s", 0, 2) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('nor="seg-2.m4s"', [Upcoming(b"/t/v1/seg-2.m4s")]),
        ('bl=1,nor="seg%2d2.m4s",sf=h', [Upcoming(b"/t/v1/seg-2.m4s")]),
        ('nor="seg-2.m4s",nrr="100-199"', [Upcoming(b"/t/v1/seg-2.m4s", 100, 200)]),
        ('nrr="100-"', [Upcoming(b"/own", 100)]),
        ('nor=("a.m4s" "b.m4s";r="0-9"),v=2', [Upcoming(b"/t/v1/a.m4s"), Upcoming(b"/t/v1/b.m4s", 0, 10)]),
        ('nor="a%20b.m4s"', []),
        ("nor=seg-2.m4s", []),
        ("nor=", []),
        ('nrr="x-1"', []),
        ("bl=3000", []),
    ],
)
def test_a_player_announces_it_in_either_version(text: str, expected: list[Upcoming]) -> None:
    assert said(text, to, b"/own") == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/t/seg-9.ts", b"/t/seg-10.ts"),
        (b"/t/seg-0009.ts", b"/t/seg-0010.ts"),
        (b"/t/99.m4s", b"/t/100.m4s"),
        (b"/t2/v1080/999.aac", b"/t2/v1080/1000.aac"),
        (b"/t/seg-9-v1a.ts", None),
        (b"/t/seg-9.ts?x=1", None),
        (b"/t9/seg.ts", None),
        (b"/t/9", None),
    ],
)
def test_only_a_number_that_ends_the_name_has_a_neighbour(target: bytes, expected: bytes | None) -> None:
    found = after_number(target)
    assert (None if found is None else found.target) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a.ts", b"/t/v1/a.ts"),
        ("../v2/a.ts", b"/t/v2/a.ts"),
        ("/a.ts", b"/a.ts"),
        ("?x=1", b"/t/v1/list.m3u8?x=1"),
        ("//FILMS.example/a.ts", b"/a.ts"),
        ("http://films.example", b"/"),
        ("сегмент.ts", b"/t/v1/%D1%81%D0%B5%D0%B3%D0%BC%D0%B5%D0%BD%D1%82.ts"),
        ("//elsewhere.example/a.ts", None),
        ("http://films.example.evil/a.ts", None),
        ("http://u@films.example/a.ts", None),
        ("http://films.example:81/a.ts", None),
        ("http://[::1/a.ts", None),
        ("ftp://films.example/a.ts", None),
        ("data:text/plain,x", None),
        ("javascript:x", None),
        ("%2e%2e/a.ts", None),
        ("x/.%2e/a.ts", None),
        ("..%2fa.ts", None),
        ("..\\a.ts", None),
        ("a%00.ts", None),
        ("a b.ts", None),
        ("a.ts\r\nX: 1", None),
        ("a.ts#x", None),
        ("a" * 3000, None),
    ],
)
def test_a_reference_is_a_target_of_the_same_site_or_nothing(reference: str, expected: bytes | None) -> None:
    assert to(reference) == expected


def test_directories_and_starts() -> None:
    assert directory(b"/a/b.ts?x=/y/") == b"/a/"
    assert directory(b"/b.ts") == b"/"
    assert [start_of(said) for said in (None, b"bytes=5-9", b"bytes=5-", b"bytes=-5", b"x")] == [0, 5, 5, 0, 0]


def test_no_more_is_resolved_of_what_a_player_announces_than_is_ever_fetched_ahead() -> None:
    asked: list[str] = []

    def to(reference: str) -> bytes:
        asked.append(reference)
        return reference.encode()

    announced = " ".join(f'"{number}.m4s"' for number in range(2000))
    assert len(said(f"nor=({announced}),v=2", to, b"/t/0.m4s")) == SAID_MOST
    assert len(asked) == SAID_MOST


def test_of_a_long_segment_list_only_those_are_resolved_that_may_be_it() -> None:
    asked: list[str] = []

    def to(reference: str) -> bytes:
        asked.append(reference)
        return b"/t/" + reference.encode()

    urls = "".join(f'<SegmentURL media="{number}.m4s"/>' for number in range(1000))
    body = f"<MPD><Period><AdaptationSet><Representation><SegmentList>{urls}</SegmentList></Representation>"
    found = after_in_manifest(f"{body}</AdaptationSet></Period></MPD>".encode(), to, b"/t/990.m4s", 0, 2)
    assert found is not None
    assert [each.target for each in found] == [b"/t/991.m4s", b"/t/992.m4s"]
    assert len(asked) < 10
