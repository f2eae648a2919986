"""What playlists and manifests tell of themselves."""

import pytest

from edge.media.playlists import HEAD_MOST, read_manifest, read_playlist
from edge.policy.facts import Facts

LIVE = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (LIVE, Facts(live=True, period=6.0)),
        (LIVE.replace(b"\n", b"\r\n"), Facts(live=True, period=6.0)),
        (LIVE.replace(b":6\n", b": 5.5\n"), Facts(live=True, period=5.5)),
        (LIVE + b"#EXT-X-ENDLIST", Facts(live=False, period=6.0)),
        (LIVE + b"#EXT-X-ENDLIST \r\n", Facts(live=False, period=6.0)),
        (LIVE + b"#EXT-X-PLAYLIST-TYPE:VOD\n", Facts(live=False, period=6.0)),
        (LIVE + b"#EXT-X-PLAYLIST-TYPE:EVENT\n", Facts(live=True, period=6.0)),
        (LIVE + b"#EXT-X-PART-INF:PART-TARGET=0.5\n", Facts(live=True, period=6.0, low_latency=True)),
        (LIVE + b"# not the #EXT-X-ENDLIST\n", Facts(live=True, period=6.0)),
        (LIVE + b"#EXT-X-ENDLISTED\n", Facts(live=True, period=6.0)),
        (LIVE + b"#EXT-X-MEDIA-SEQUENCE:7\n", Facts(live=True, period=6.0)),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:x\n", Facts(live=True)),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:\n6\n", Facts(live=True)),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", Facts(live=False, master=True)),
        (b'#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:URI="a"\n', Facts(live=False, master=True)),
        (b"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", Facts(live=False, master=True)),
        (b"<html>not found</html>", Facts(live=True)),
        (b"", Facts(live=True)),
    ],
)
def test_a_playlist_is_live_until_it_says_that_it_has_ended(body: bytes, facts: Facts) -> None:
    assert read_playlist(body) == facts


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (b'<MPD type="static">', Facts(live=False)),
        (b"<MPD>", Facts(live=False)),
        (b"<MPD/>", Facts(live=False)),
        (b'<MPD type="dynamic">', Facts(live=True)),
        (b"<MPD\n\ttype = 'dynamic'\n>", Facts(live=True)),
        (b'<MPD type=" dynamic ">', Facts(live=True)),
        (b'<MPD type="&#115;tatic">', Facts(live=True)),
        (b'<mpd:MPD xmlns:mpd="urn:x" type="static">', Facts(live=False)),
        (b'<?xml version="1.0"?>\n<!-- <MPD type="static"> -->\n<MPD type="dynamic">', Facts(live=True)),
        (b'\xef\xbb\xbf  <?xml version="1.0"?><MPD type="static">', Facts(live=False)),
        (b'<!DOCTYPE MPD SYSTEM "x"><MPD type="static">', Facts(live=False)),
        (b'\xef\xbb\xbf<MPD type="static">', Facts(live=False)),
        (b'\n<MPD type="static">', Facts(live=False)),
        (b'<MPD id="a>b" type="static">', Facts(live=False)),
        (b'<MPD xsi:type="dynamic" my-type="dynamic">', Facts(live=False)),
        (b"<MPD note=\"type='dynamic'\" type='static'>", Facts(live=False)),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><MPD type="static">', Facts(live=True)),
        (b'<MPDX type="static">', Facts(live=True)),
        (b'<x><MPD type="static">', Facts(live=True)),
        (b'<MPD type="static"', Facts(live=True)),
        (b'<MPD type="static>', Facts(live=True)),
        (b'<!-- never closed <MPD type="static">', Facts(live=True)),
        (b" " * HEAD_MOST + b'<MPD type="static">', Facts(live=True)),
        ('<MPD type="static">'.encode("utf-16"), Facts(live=True)),
        (b"junk", Facts(live=True)),
        (b"", Facts(live=True)),
    ],
)
def test_a_manifest_is_live_unless_its_root_says_static(body: bytes, facts: Facts) -> None:
    assert read_manifest(body) == facts


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (b"PT2S", 2.0),
        (b"PT0.5S", 0.5),
        (b"PT1M2S", 62.0),
        (b"PT1H", 3600.0),
        (b"P0Y0M0DT0H0M3.000S", 3.0),
        (b"P1DT1S", 86401.0),
        (b"P1Y", 365.25 * 86400),
        (b"P12M", 365.25 * 86400),
        (b"PT0S", 0.0),
        (b" PT2S ", 2.0),
        (b"PT", None),
        (b"P", None),
        (b"P1DT", None),
        (b"2S", None),
        (b"PT2", None),
        (b"PT-2S", None),
        (b"PT2S1M", None),
        (b"PT.5S", None),
        (b"", None),
    ],
)
def test_the_update_period_is_a_duration(duration: bytes, seconds: float | None) -> None:
    body = b'<MPD type="dynamic" minimumUpdatePeriod="%s">' % duration
    assert read_manifest(body) == Facts(live=True, period=seconds)


def test_a_part_of_a_manifest_is_never_mistaken_for_a_finished_one() -> None:
    body = b'<?xml version="1.0"?><MPD minimumUpdatePeriod="PT2S" type="dynamic"><Period/></MPD>'
    assert all(read_manifest(body[:length]).live for length in range(len(body)))
