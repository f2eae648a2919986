"""The status page in a real browser, and `edge top`, beside a real edge."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.browser import needs_chromium, page
from tests.support.edgeproc import Edge, client, describing_origin, running_edge

SITE = '[[site]]\nname = "films"\nhosts = ["films.example"]\n'


@needs_chromium
async def test_the_status_page_shows_what_is_served_and_that_the_server_has_gone(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(SITE)
    flags = ("--config", str(tmp_path / "edge.toml"))
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url, *flags) as edge,
        client() as http,
        page(edge.admin + "/", tmp_path / "profile") as tab,
    ):
        await tab.until("document.getElementById('state').textContent === 'ready'")
        for _ in range(100):
            async with http.get(edge.url + "/s/100000/a.ts") as got:
                await got.read()
        await tab.until("document.querySelector('#sites td')?.textContent === 'films'")
        await tab.until("document.querySelector('#upstreams td')?.textContent.startsWith('origin 127.0.0.1:')")
        await tab.until("document.querySelector('#volumes td')?.textContent === 'cache'")
        assert await tab.eval("document.querySelectorAll('#facts dd').length") == 15
        fetched = "performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname).sort().join()"
        assert await tab.eval(fetched) == "/status.css,/status.js"
        await edge.stop()
        await tab.until("document.getElementById('state').textContent === 'no connection'")


def top(edge: Edge, *more: str) -> list[str]:
    return [sys.executable, "-m", "edge", "top", "--interval", "0.2", "--admin", edge.admin, *more]


async def test_top_shows_one_frame_of_a_running_edge(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
    ):
        process = await asyncio.create_subprocess_exec(*top(edge, "--once"), stdout=subprocess.PIPE)
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    assert process.returncode == 0
    for word in ("edge at", "requests/s", "hit ratio", "volumes", "cache", "upstreams", "origin 127.0.0.1:"):
        assert word in out.decode(), out.decode()
    assert "\x1b" not in out.decode()


async def test_top_prints_picture_after_picture_into_a_pipe_until_nobody_reads_it(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        asyncio.timeout(120),
    ):
        often = ("--interval", "0.2")
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        counted = await asyncio.create_subprocess_exec(*top(edge, *often, "--frames", "3"), **piped)  # type: ignore[arg-type]
        out, err = await counted.communicate()
        assert (counted.returncode, err) == (0, b"")
        assert out.decode().count("edge at") == 3
        endless = await asyncio.create_subprocess_exec(*top(edge, *often), **piped)  # type: ignore[arg-type]
        assert endless.stdout is not None
        assert endless.stderr is not None
        for _ in range(2):  # as they come, not when it ends
            while b"edge at" not in await endless.stdout.readline():
                pass
        endless.stdout._transport.close()  # type: ignore[attr-defined] # like `| head`
        assert await endless.stderr.read() == b""
        await endless.wait()
        stopped = await asyncio.create_subprocess_exec(
            *top(edge, *often),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
            **piped,  # type: ignore[arg-type]
        )
        assert stopped.stdout is not None
        while b"edge at" not in await stopped.stdout.readline():
            pass
        stopped.send_signal(signal.SIGINT)
        assert (await stopped.communicate())[1] == b""
        assert stopped.returncode == 0
