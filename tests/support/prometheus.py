"""A real Prometheus before a running edge, with the shipped rules; intervals are seconds instead of minutes."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"
LABELS = "{location: here, node: edge-1, role: edge}"


class Prometheus:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def ask(self, path: str, **said: str) -> Any:
        async with self._http.get(f"{self.url}/api/v1/{path}", params=said) as got:
            answer = await got.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def samples(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        return list((await self.ask("query", query=expression))["result"])


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """Scrapes `target` each second. Skips where the program is missing."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: no panel's query was run")
    (directory / "rules").mkdir()
    for path in RULES.glob("*.yml"):
        text = path.read_text().replace("interval: 30s", "interval: 1s")
        (directory / "rules" / path.name).write_text(text)
    config = directory / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules/*.yml]\nscrape_configs:\n"
        f"  - job_name: edge\n    static_configs:\n      - targets: ['{target}']\n        labels: {LABELS}\n"
    )
    process = await asyncio.create_subprocess_exec(
        program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
        "--web.listen-address=127.0.0.1:0", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        url = ""
        async with asyncio.timeout(30):
            while not url:
                line = (await process.stderr.readline()).decode()
                assert line, "prometheus has ended"
                if found := re.search(r'"Listening on" address=(\S+)', line):
                    url = f"http://{found[1]}"
        reading = asyncio.create_task(_drain(process.stderr))
        async with aiohttp.ClientSession() as http:
            async with asyncio.timeout(30):
                while True:  # until its rules are loaded and its first scrape is done
                    async with http.get(f"{url}/-/ready") as got:
                        if got.status == 200:
                            break
                    await asyncio.sleep(0.1)
            yield Prometheus(url, http)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass
