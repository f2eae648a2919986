"""Makes the demo's film with ffmpeg: 32 s, three renditions in 4 s CMAF segments for HLS and DASH alike, and one MP4.

    python -m edge.demo.make_film [DIRECTORY]

The result is shipped as package data; run this only to change the film. It needs ffmpeg with libx264 and drawtext, and
some sans-serif font. The picture tells what a viewer of the demo wants to see: the time, the segment, and the rendition
(so that a switch shows); a second hand crosses the frame once in four seconds, as long as a segment is. A soft note
sounds each second, a higher one where a segment begins. H.264 Main and AAC-LC: every browser's Media Source plays them.
The same ffmpeg makes the same bytes again: one thread, no dates, no version strings.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS: Final = 32
SEGMENT_SECONDS: Final = 4
RATE: Final = 24  # pictures a second
AUDIO_SECONDS: Final = 31.9  # what AAC adds in front must not begin a ninth segment
FILM: Final = Path(__file__).parent / "film"
MOST_BYTES: Final = 3_000_000  # of the package
COLOURS: Final = "c0=0x0b1730:c1=0x14506b:c2=0x5b2a6e:c3=0x0b1730:nb_colors=4"
NOTES: Final = "0.3*sin(2*PI*(330+330*lt(mod(t,4),1))*t)*exp(-7*mod(t,1))"


@dataclass(frozen=True, slots=True)
class Rendition:
    """Picture size and video bit rate (kbit/s)."""

    width: int
    height: int
    kbit: int


RENDITIONS: Final = (Rendition(640, 360, 260), Rendition(426, 240, 130), Rendition(256, 144, 65))
PROGRESSIVE: Final = Rendition(426, 240, 110)

QUIET: Final = ("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-filter_complex_threads", "1")
INPUTS: Final = (
    "-f", "lavfi", "-i", f"gradients=size=640x360:rate={RATE}:duration={SECONDS}:{COLOURS}:speed=0.006:seed=7",
    "-f", "lavfi", "-i", f"color=c=0xffd166:size=4x360:rate={RATE}:duration={SECONDS}",
    "-f", "lavfi", "-i", f"aevalsrc='{NOTES}':sample_rate=48000:duration={AUDIO_SECONDS}",
)  # fmt: skip
ENCODE: Final = (
    "-c:v", "libx264", "-preset", "veryslow", "-profile:v", "main", "-pix_fmt", "yuv420p", "-threads", "1",
    # Each segment begins with a key frame, and no other picture is one.
    "-g", str(SEGMENT_SECONDS * RATE), "-keyint_min", str(SEGMENT_SECONDS * RATE), "-sc_threshold", "0",
    "-c:a", "aac", "-b:a", "40k", "-ac", "1",
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1",
)  # fmt: skip
PACKAGING: Final = (
    "-f", "dash", "-seg_duration", str(SEGMENT_SECONDS), "-use_timeline", "0", "-use_template", "1",
    "-hls_playlist", "1", "-hls_master_name", "master.m3u8",
    "-init_seg_name", "init-$RepresentationID$.mp4",
    "-media_seg_name", "seg-$RepresentationID$-$Number%03d$.m4s",
    "-adaptation_sets", "id=0,streams=v id=1,streams=a",
)  # fmt: skip


def main(directory: Path = FILM) -> int:
    """Make the film anew in `directory`; the exit code."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    _run(*_pictures(RENDITIONS), *_maps(RENDITIONS), *ENCODE, *PACKAGING, str(directory / "film.mpd"))
    one = directory / "film.mp4"
    _run(*_pictures((PROGRESSIVE,)), *_maps((PROGRESSIVE,)), *ENCODE, "-movflags", "+faststart", str(one))
    for playlist in directory.glob("*.m3u8"):
        playlist.write_text(settled(playlist.read_text()))
    sizes = [path.stat().st_size for path in directory.iterdir()]
    print(f"{sum(sizes)} bytes in {len(sizes)} files")
    return 0 if sum(sizes) <= MOST_BYTES else 1


def settled(playlist: str) -> str:
    """A playlist without the hour in which it was made, and with what a finished film may promise (RFC 8216)."""
    text = re.sub(r"#EXT-X-PROGRAM-DATE-TIME:.*\n", "", playlist)
    if "#EXTINF" in text:
        text = text.replace("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE", 1)
    return re.sub(r"(#EXT-X-VERSION:\d+\n)", r"\1#EXT-X-INDEPENDENT-SEGMENTS\n", text, count=1)


def _run(*arguments: str) -> None:
    subprocess.run([*QUIET, *INPUTS, *arguments], check=True)


def _pictures(renditions: tuple[Rendition, ...]) -> tuple[str, str]:
    """The filter graph: the background with its second hand, scaled and lettered for each rendition."""
    count = len(renditions)
    hand = f"[0:v][1:v]overlay=x='(W-w)*mod(t,{SEGMENT_SECONDS})/{SEGMENT_SECONDS}':y=0,split={count}"
    graph = [hand + "".join(f"[b{n}]" for n in range(count))]
    graph += [f"[b{n}]scale={it.width}:{it.height},{_letters(it)}[v{n}]" for n, it in enumerate(renditions)]
    return "-filter_complex", ";".join(graph)


def _letters(it: Rendition) -> str:
    """drawtext: the time in the middle, the rendition above, the segment below."""
    size = it.height
    segments = SECONDS // SEGMENT_SECONDS
    segment = rf"segment %{{eif\:floor(t/{SEGMENT_SECONDS})+1\:d}} of {segments}"
    rows = (
        (r"%{eif\:floor(t)\:d\:2}.%{eif\:floor(mod(t,1)*10)\:d}", size // 3, "(h-text_h)/2", "white"),
        (f"{it.width} x {it.height}", size // 9, "h*0.14", "0xffd166"),
        (segment, size // 11, "h*0.77", "0xd8e6f0"),
    )
    return ",".join(
        f"drawtext=font=Sans:text='{text}':fontsize={points}:fontcolor={colour}:x=(w-text_w)/2:y={y}"
        f":shadowcolor=black@0.6:shadowx=1:shadowy=1"
        for text, points, y, colour in rows
    )


def _maps(renditions: tuple[Rendition, ...]) -> list[str]:
    maps: list[str] = []
    for number, it in enumerate(renditions):
        rate = f"{it.kbit}k"
        maps += ["-map", f"[v{number}]", f"-b:v:{number}", rate, f"-maxrate:v:{number}", rate]
        maps += [f"-bufsize:v:{number}", f"{2 * it.kbit}k"]
    return [*maps, "-map", "2:a"]


if __name__ == "__main__":
    sys.exit(main(*(Path(text) for text in sys.argv[1:2])))
