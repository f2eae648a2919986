"""The page: nothing from outside, every name that it uses exists, and its readers agree with the film."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.demo.files import FILM, PAGE, type_of

NODE = shutil.which("node")
SCRIPTS = sorted(PAGE.glob("*.js"))


def test_the_page_refers_to_nothing_outside() -> None:
    for path in PAGE.iterdir():
        text = re.sub(r"^\s*//.*|\s// .*", "", path.read_text(), flags=re.M)  # without comments
        assert not re.search(r"(?:https?:)?//[a-z]|@import", text), path
        assert path.suffix != ".css" or "url(" not in text


def test_what_the_page_loads_is_there() -> None:
    names = re.findall(r'(?:src|href)="([^"#:]+)"', (PAGE / "index.html").read_text())
    assert {"style.css", "app.js"} <= set(names)
    for script in SCRIPTS:
        names += re.findall(r'from "\./([^"]+)"', script.read_text())
    assert {path.name for path in PAGE.iterdir()} - {"index.html"} == set(names)


def test_scripts_ask_only_for_elements_that_the_page_has() -> None:
    ids = set(re.findall(r' id="([^"]+)"', (PAGE / "index.html").read_text()))
    assert len(ids) > 20
    for script in SCRIPTS:
        asked = set(re.findall(r'\$\("([^"]+)"\)', script.read_text()))
        assert asked <= ids, script.name


def test_every_field_has_a_label_and_every_section_a_name() -> None:
    html = (PAGE / "index.html").read_text()
    for field in re.findall(r"<(?:select|input)[^>]*>", html):
        before = html[: html.index(field)]
        assert before.rfind("<label") > before.rfind("</label>"), field
    assert all("aria-label" in section for section in re.findall(r"<section[^>]*>", html))
    assert '<html lang="en">' in html
    assert 'name="viewport"' in html


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("a.m3u8", "application/vnd.apple.mpegurl"),
        ("a.mpd", "application/dash+xml"),
        ("a.m4s", "video/mp4"),
        ("a.unknown-kind", "application/octet-stream"),
    ],
)
def test_files_have_the_types_that_browsers_and_players_ask_for(name: str, kind: str) -> None:
    assert type_of(Path(name)) == kind


def run_script(module: str, code: str) -> object:
    """The JSON that `code` returns, with the module's functions in its reach."""
    if NODE is None:
        pytest.skip("Node.js is not installed: the page's scripts were not run")
    source = re.sub(r"^import .*$", "const scaled = (n, u) => n + u;", (PAGE / module).read_text(), flags=re.M)
    script = f"{source}\nconsole.log(JSON.stringify(await (async () => {{ {code} }})()));"
    done = subprocess.run([NODE, "--input-type=module", "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_hls_reader_finds_all_segments_of_the_film() -> None:
    files = json.dumps({path.name: path.read_text() for path in FILM.glob("*.m3u8")})
    found = run_script(
        "playlists.js", f"const files = {files}; return hlsPresentation(async (n) => files[n], 'master.m3u8')"
    )
    assert isinstance(found, dict)
    assert found["duration"] == pytest.approx(32)
    levels = [*found["video"], found["audio"]]
    assert [level["label"].split(",")[0] for level in levels] == ["144p", "240p", "360p", "audio"]
    assert found["video"][0]["mime"] == 'video/mp4; codecs="avc1.4d400c"'
    assert found["audio"]["mime"] == 'audio/mp4; codecs="mp4a.40.2"'
    for level in levels:
        assert (FILM / level["init"]).is_file()
        assert [segment["number"] for segment in level["segments"]] == list(range(1, 9))
        assert all((FILM / segment["uri"]).is_file() for segment in level["segments"])
        assert all(a["end"] == b["start"] for a, b in zip(level["segments"], level["segments"][1:], strict=False))


def test_what_is_no_playlist_is_refused() -> None:
    assert (
        run_script("playlists.js", "try { readMaster('<html>'); } catch (e) { return e.message; }") == "no HLS playlist"
    )


def test_dash_names_and_durations_are_filled_in_and_read() -> None:
    code = """return [fillTemplate("seg-$RepresentationID$-$Number%03d$.m4s", { RepresentationID: 2, Number: 7 }),
        fillTemplate("$Number$.m4s", { Number: 12 }), seconds("PT32.0S"), seconds("PT1H2M3.5S")]"""
    assert run_script("playlists.js", code) == ["seg-2-007.m4s", "12.m4s", 32, 3723.5]


Case = tuple[str, int, str | None, int, int, bool]
CASES: list[Case] = [  # asked, status, Content-Range, where the body begins and how long it is, whether that is right
    ("bytes=10-19", 206, "bytes 10-19/100", 10, 10, True),
    ("bytes=-5", 206, "bytes 95-99/100", 95, 5, True),
    ("bytes=90-200", 206, "bytes 90-99/100", 90, 10, True),
    ("bytes=0-9,20-29", 206, None, 0, 90, True),  # several parts are not proved
    ("bytes=10-19", 206, "bytes 10-19/100", 11, 10, False),  # other bytes than told
    ("bytes=10-19", 206, "bytes 11-20/100", 11, 10, False),  # not the range that was asked for
    ("bytes=10-19", 206, "bytes 10-19/101", 10, 10, False),  # another total
    ("bytes=10-19", 206, "bytes 10-19/100", 10, 9, False),  # a byte is missing
    ("bytes=10-19", 206, None, 10, 10, False),  # one part has no excuse
    ("bytes=10-19", 200, None, 0, 100, True),
    ("bytes=10-19", 200, None, 0, 99, False),
    ("bytes=100-", 416, "bytes */100", 0, 0, True),
    ("bytes=100-", 416, "bytes */99", 0, 0, False),
    ("bytes=10-19", 416, "bytes */100", 0, 0, False),
    ("bytes=10-19", 502, None, 0, 0, False),
]


@pytest.fixture(scope="module")
def verdicts() -> dict[str, object]:
    """What the page says of each case; one run of Node.js for all."""
    code = f"""const whole = Uint8Array.from({{ length: 100 }}, (_, at) => at * 7 % 251);
        return {json.dumps(CASES)}.map(([asked, status, told, start, length]) =>
            verdict(asked, status, told, whole.slice(start, start + length), whole))"""
    found = run_script("ranger.js", code)
    assert isinstance(found, list)
    return {str(case): one for case, one in zip(CASES, found, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_range_tester_passes_only_what_is_right(verdicts: dict[str, dict[str, object]], case: Case) -> None:
    assert verdicts[str(case)]["good"] is case[-1], verdicts[str(case)]
