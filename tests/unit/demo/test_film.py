"""The film as it is shipped: complete, small, and described rightly by all its manifests."""

import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.demo.make_film import FILM, MOST_BYTES, RENDITIONS, SECONDS, SEGMENT_SECONDS, settled

SEGMENTS = SECONDS // SEGMENT_SECONDS
DASH = "{urn:mpeg:dash:schema:mpd:2011}"


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size of the top-level boxes of an ISO file."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        yield kind, at, size
        at += size
    assert at == len(data)


def playlist(name: str) -> list[str]:
    return (FILM / name).read_text().splitlines()


def test_the_package_stays_small() -> None:
    assert sum(path.stat().st_size for path in FILM.iterdir()) <= MOST_BYTES


def test_there_are_eight_segments_in_each_of_three_renditions_and_the_sound() -> None:
    for level in range(len(RENDITIONS) + 1):
        assert len(list(FILM.glob(f"seg-{level}-*.m4s"))) == SEGMENTS == 8
        assert (FILM / f"init-{level}.mp4").is_file()


def test_every_manifest_names_files_that_are_there_and_every_file_is_named() -> None:
    named = {"master.m3u8", "film.mpd", "film.mp4"}
    for path in FILM.glob("*.m3u8"):
        text = path.read_text()
        named.update(line for line in text.splitlines() if line and not line.startswith("#"))
        named.update(re.findall(r'URI="([^"]+)"', text))
    assert named == {path.name for path in FILM.iterdir()}


def test_the_master_playlist_tells_each_rendition_with_its_codecs() -> None:
    streams = [line for line in playlist("master.m3u8") if line.startswith("#EXT-X-STREAM-INF")]
    assert len(streams) == len(RENDITIONS)
    for line, rendition in zip(streams, RENDITIONS, strict=True):
        assert f"RESOLUTION={rendition.width}x{rendition.height}" in line
        assert re.search(r'CODECS="avc1\.4d40[0-9a-f]{2},mp4a\.40\.2"', line)  # H.264 Main, AAC-LC


@pytest.mark.parametrize("level", range(4))
def test_a_media_playlist_is_finished_and_as_long_as_the_film(level: int) -> None:
    lines = playlist(f"media_{level}.m3u8")
    durations = [float(line.removeprefix("#EXTINF:").rstrip(",")) for line in lines if line.startswith("#EXTINF")]
    assert sum(durations) == pytest.approx(SECONDS, abs=0.2)
    assert all(round(duration) <= SEGMENT_SECONDS for duration in durations)  # RFC 8216 section 4.3.3.1
    assert lines[-1] == "#EXT-X-ENDLIST"
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert not any("DATE-TIME" in line for line in lines)


def test_the_dash_manifest_names_the_same_segments() -> None:
    root = ET.parse(FILM / "film.mpd").getroot()
    assert root.get("type") == "static"
    assert root.get("mediaPresentationDuration") == f"PT{SECONDS}.0S"
    seen = set()
    for one in root.iter(DASH + "Representation"):
        template = one.find(DASH + "SegmentTemplate")
        assert template is not None
        assert int(template.get("duration", "0")) == SEGMENT_SECONDS * int(template.get("timescale", "1"))
        name = (template.get("media") or "").replace("$RepresentationID$", one.get("id") or "")
        files = {name.replace("$Number%03d$", f"{number:03d}") for number in range(1, SEGMENTS + 1)}
        assert all((FILM / file).is_file() for file in files), files
        seen |= files
    assert seen == {path.name for path in FILM.glob("*.m4s")}


def test_segments_are_whole_boxes_and_the_films_index_stands_in_front() -> None:
    for path in FILM.glob("*.m4s"):
        kinds = [kind for kind, _, _ in boxes(path.read_bytes())]
        assert kinds[-2:] == [b"moof", b"mdat"], path.name
    kinds = [kind for kind, _, _ in boxes((FILM / "film.mp4").read_bytes())]
    assert kinds.index(b"moov") < kinds.index(b"mdat")


def test_a_playlist_keeps_no_date_of_the_day_when_it_was_made(tmp_path: Path) -> None:
    made = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:4.0,\n#EXT-X-PROGRAM-DATE-TIME:2026\na.m4s\n"
    assert settled(made) == (
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:1\n"
        "#EXTINF:4.0,\na.m4s\n"
    )
