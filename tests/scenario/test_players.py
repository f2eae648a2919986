"""Real players through a real edge: ffmpeg decodes the same frames, Chromium plays the page and hls.js."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browser import needs_chromium, page
from tests.support.edgeproc import describing_origin, running_edge

FILM = Path(__file__).parents[2] / "edge/demo/film"


async def frames(source: str, *options: str) -> set[str]:
    """Hashes of the decoded pictures (a set: ffmpeg's DASH reader repeats some around its start, also from a disk)."""
    command = ["ffmpeg", "-v", "error", *options, "-i", source, "-map", "0:v:0", "-f", "framemd5", "-"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = {line.rpartition(",")[2].strip() for line in out.decode().splitlines() if line and line[0] != "#"}
    assert len(found) > 50, err.decode()
    return found


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", ["master.m3u8", "film.mpd", "film.mp4"])
async def test_ffmpeg_decodes_the_same_frames_from_a_disk_a_cold_and_a_warm_edge(tmp_path: Path, name: str) -> None:
    expected = await frames(str(FILM / name))
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url) as edge:
        for _ in range(2):
            assert await frames(f"{edge.url}/film/{name}") == expected
        assert await edge.metric('status="hit"') > 0
        if name == "film.mp4":
            seek = ("-ss", "20")
            assert await frames(f"{edge.url}/film/{name}", *seek) == await frames(str(FILM / name), *seek)


@needs_chromium
async def test_the_demo_plays_its_page_and_ends_without_a_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge", "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    cache = url = ""
    async with asyncio.timeout(40):
        while not url:
            line = (await process.stdout.readline()).decode()
            assert line, "the demo has ended"
            if "edge-demo-" in line:
                cache = line.split()[1].removesuffix(":")
            if line.startswith("play the film"):
                url = line.split()[-1]
    assert Path(cache).is_dir()
    async with page(url, tmp_path / "profile") as tab:
        await tab.until("document.getElementById('video').currentTime > 1.5")
        await tab.until("+document.getElementById('c-requests').textContent > 5")
        await tab.eval("document.getElementById('video').currentTime = 22; 1")
        await tab.until("document.getElementById('video').currentTime > 23")
        select = "document.getElementById('source').value='mp4';"
        await tab.eval(select + "document.getElementById('source').dispatchEvent(new Event('change')); 1")
        await tab.until("document.getElementById('video').currentSrc.includes('film.mp4') && video.currentTime > 0.5")
        await tab.eval("video.currentTime = 20; 1")
        await tab.until("video.currentTime > 20.5")
        await tab.eval("document.querySelector('#ranger button').click(); 1")
        said = await tab.until("document.getElementById('answer').textContent")
        assert str(said).startswith("206, bytes 1000-1999/")
        assert await tab.eval("document.getElementById('state').className") == ""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    process.send_signal(2)
    async with asyncio.timeout(10):
        assert await process.wait() == 0
    assert loop.time() - begun < 5
    assert not Path(cache).parent.exists()


def is_unreachable(said: str) -> bool:
    """Did npm end because it does not reach its registry?"""
    return any(
        word in said for word in ("ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH")
    )


@needs_chromium
async def test_hls_js_plays_through_the_edge(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: hls.js was not played")
    modules = tmp_path / "node"
    modules.mkdir()
    installed = subprocess.run(
        [npm, "install", "--loglevel", "error", "--no-audit", "--no-fund", "--prefix", str(modules), "hls.js@1"],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    if installed.returncode != 0 and is_unreachable(installed.stderr):
        pytest.skip("npm could not fetch hls.js: it was not played")
    assert installed.returncode == 0, installed.stderr
    script = (modules / "node_modules/hls.js/dist/hls.min.js").read_text()
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url) as edge:
        async with page(f"{edge.url}/demo/style.css", tmp_path / "profile") as tab:
            await tab.eval("document.body.replaceChildren(); 1")
            await tab.eval(script + "; 1")
            await tab.eval(
                "window.v = document.createElement('video'); v.muted = true; document.body.append(v);"
                "window.errors = []; window.h = new Hls(); h.on(Hls.Events.ERROR, (e, d) => errors.push(d.details));"
                f"h.loadSource('{edge.url}/film/master.m3u8'); h.attachMedia(v); v.play(); 1"
            )
            await tab.until("v.currentTime > 2")
            await tab.eval("v.currentTime = 24; 1")
            await tab.until("v.currentTime > 25")
            assert await tab.eval("errors.filter(e => e != 'bufferStalledError').length") == 0
