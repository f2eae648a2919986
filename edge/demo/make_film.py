"""Makes the test film with ffmpeg: 32 s, three renditions in 4 s CMAF segments (HLS and DASH), and one MP4.

Run `python -m edge.demo.make_film` where ffmpeg is installed; the result is shipped as package data.
"""

import shutil
import subprocess
import sys
from pathlib import Path

SECONDS = 32
RATE = 24
RENDITIONS = ((640, 360, 230), (426, 240, 120), (256, 144, 60))  # width, height, kbit/s
FILM = Path(__file__).parent / "film"
MOST_BYTES = 3_000_000


def main() -> int:
    shutil.rmtree(FILM, ignore_errors=True)
    FILM.mkdir()
    picture = f"testsrc2=size=640x360:rate={RATE}:duration={SECONDS}"
    tone = f"sine=frequency=330:beep_factor=4:sample_rate=44100:duration={SECONDS}"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
    quiet = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y"]
    encode = ["-c:v", "libx264", "-preset", "veryslow", "-profile:v", "main", "-pix_fmt", "yuv420p"]
    encode += [
        "-g",
        str(4 * RATE),
        "-keyint_min",
        str(4 * RATE),
        "-sc_threshold",
        "0",
        "-c:a",
        "aac",
        "-b:a",
        "40k",
        "-ac",
        "1",
    ]
    many: list[str] = []
    for number, (width, height, kbit) in enumerate(RENDITIONS):
        many += ["-map", "0:v", f"-filter:v:{number}", f"scale={width}:{height}"]
        many += [
            f"-b:v:{number}",
            f"{kbit}k",
            f"-maxrate:v:{number}",
            f"{kbit}k",
            f"-bufsize:v:{number}",
            f"{2 * kbit}k",
        ]
    many += ["-map", "1:a"]
    packaging = ["-f", "dash", "-seg_duration", "4", "-hls_playlist", "1", "-hls_master_name", "master.m3u8"]
    packaging += [
        "-init_seg_name",
        "init-$RepresentationID$.mp4",
        "-media_seg_name",
        "seg-$RepresentationID$-$Number%03d$.m4s",
    ]
    packaging += [
        "-adaptation_sets",
        "id=0,streams=v id=1,streams=a",
        "-use_timeline",
        "0",
        "-use_template",
        "1",
        str(FILM / "film.mpd"),
    ]
    subprocess.run([*quiet, *inputs, *many, *encode, *packaging], check=True)
    one = [
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-vf",
        "scale=426:240",
        "-b:v",
        "100k",
        "-maxrate",
        "100k",
        "-bufsize",
        "200k",
    ]
    subprocess.run([*quiet, *inputs, *one, *encode, "-movflags", "+faststart", str(FILM / "film.mp4")], check=True)
    total = sum(path.stat().st_size for path in FILM.iterdir())
    print(f"{total} bytes in {len(list(FILM.iterdir()))} files")
    return 0 if total <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
